from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from typing_extensions import Buffer

HEADER_BYTES: int

CONTROL: int
TRANSACTIONAL: int
APPEND_TIME: int

RawHeaders: TypeAlias = tuple[tuple[str, bytes | None], ...]
RecordParts: TypeAlias = tuple[
    int, bytes | None, bytes | None, Sequence[tuple[str | bytes, bytes | None]]
]

class BatchInfo:
    base_offset: int
    size: int
    leader_epoch: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int
    @property
    def next_offset(self) -> int: ...
    @property
    def compression(self) -> int: ...
    @property
    def is_control(self) -> bool: ...
    @property
    def is_transactional(self) -> bool: ...
    @property
    def log_append_time(self) -> bool: ...

class RawRecord(NamedTuple):
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: RawHeaders

def header(data: Buffer, at: int = 0) -> BatchInfo | None: ...
def scan(data: Buffer, start: int = 0, *, check_crc: bool = True) -> list[BatchInfo]: ...
def scan_whole(
    data: Buffer, start: int = 0, *, first_offset: int = 0
) -> tuple[list[BatchInfo], int, str | None]: ...
def find_batch(data: Buffer, start: int, first_offset: int) -> int: ...
def span(
    data: Buffer, offset: int, limit: int, max_bytes: int, *, at_least_one: bool
) -> tuple[int, int, str | None]: ...
def stamp(
    batch: Buffer, base_offset: int, *, leader_epoch: int = 0, append_time_ms: int = -1
) -> bytes: ...
def check_records(batch: Buffer, info: BatchInfo, max_decompressed: int = ...) -> bool: ...
def encode(
    records: Sequence[RecordParts],
    *,
    base_offset: int = 0,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    attributes: int = 0,
    offset_deltas: Sequence[int] | None = None,
) -> bytes: ...
def decode(data: Buffer) -> list[RawRecord]: ...
def keep(batch: Buffer, flags: Sequence[bool]) -> bytes: ...
