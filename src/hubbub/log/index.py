"""What is known of a segment without reading it: its extent, and every so often where a batch is."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import msgspec

from hubbub.log.hashing import crc32c

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.log.batch import BatchInfo

# One entry per so many bytes: a read hops over at most this much to find its first batch, and a
# full segment of 64 MiB has 8,192 entries of 24 bytes.
INTERVAL_BYTES = 8 * 1024

_VERSION = 1
_CHECKSUM_BYTES = 4


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    version: int
    base_offset: int
    size: int
    next_offset: int
    max_timestamp: int
    first_ms: int
    newest_ms: int
    offsets: list[int]
    positions: list[int]
    times: list[int]
    producers: bytes


class SegmentIndex:
    """Grows with the segment: ``note`` each batch as it is appended or scanned."""

    def __init__(self, base_offset: int) -> None:
        self.base_offset = base_offset
        self.size = 0  # in bytes
        self.next_offset = base_offset
        self.max_timestamp = -1
        self.first_ms = -1  # when its first batch came, as far as is known
        self.newest_ms = -1  # the time of its newest record, or when that came
        self._offsets = array("q")
        self._positions = array("q")
        self._times = array("q")  # the largest timestamp before the entry
        self._next_entry = 0  # the position from which the next batch gets an entry

    def note(self, infos: Iterable[BatchInfo], now_ms: int) -> None:
        """These batches follow; ``now_ms`` stands in for records without a time, -1 if unknown."""
        position = self.size
        latest = self.max_timestamp
        info = None
        for info in infos:
            if position >= self._next_entry:
                self._offsets.append(info.base_offset)
                self._positions.append(position)
                self._times.append(latest)
                self._next_entry = position + INTERVAL_BYTES
            position += info.size
            latest = max(latest, info.max_timestamp)
        if info is None:
            return
        if self.first_ms < 0:
            self.first_ms = now_ms if now_ms >= 0 else latest
        self.size = position
        self.next_offset = info.next_offset
        self.max_timestamp = latest
        self.newest_ms = max(self.newest_ms, latest if latest >= 0 else now_ms)

    def skip(self, position: int, next_offset: int) -> None:
        """Nothing up to ``position`` can be read; ``next_offset`` is the next that may be there."""
        self.size = position
        self.next_offset = next_offset
        self._next_entry = position

    def insert(self, offset: int, position: int) -> None:
        """One more entry in the middle, for the batch behind a damaged one."""
        at = bisect_left(self._positions, position)
        self._offsets.insert(at, offset)
        self._positions.insert(at, position)
        # Too early a time only makes a search by time begin earlier.
        self._times.insert(at, self._times[at - 1] if at else -1)

    def floor(self, offset: int) -> tuple[int, int]:
        """Offset and position of the last entry that is not after ``offset``."""
        at = bisect_right(self._offsets, offset) - 1
        return (self._offsets[at], self._positions[at]) if at >= 0 else (self.base_offset, 0)

    def floor_time(self, timestamp_ms: int) -> int:
        """An offset at or before that of the first record at or after the time."""
        at = bisect_left(self._times, timestamp_ms) - 1
        return self._offsets[at] if at >= 0 else self.base_offset

    def encode(self, producers: bytes) -> bytes:
        """The bytes of the index file; ``producers`` is the table as of the segment's end."""
        stored = _Stored(
            _VERSION,
            self.base_offset,
            self.size,
            self.next_offset,
            self.max_timestamp,
            self.first_ms,
            self.newest_ms,
            self._offsets.tolist(),
            self._positions.tolist(),
            self._times.tolist(),
            producers,
        )
        payload = msgspec.msgpack.encode(stored)
        return crc32c(payload).to_bytes(_CHECKSUM_BYTES, "big") + payload


def decode_index(data: bytes, base_offset: int, size: int) -> tuple[SegmentIndex, bytes] | None:
    """The index of the segment of ``size`` bytes at ``base_offset``, and its producers.

    None for anything else: an index can always be made anew.
    """
    payload = data[_CHECKSUM_BYTES:]
    if crc32c(payload).to_bytes(_CHECKSUM_BYTES, "big") != data[:_CHECKSUM_BYTES]:
        return None
    try:
        stored = msgspec.msgpack.decode(payload, type=_Stored)
    except msgspec.DecodeError:
        return None
    if (stored.version, stored.base_offset, stored.size) != (_VERSION, base_offset, size):
        return None
    index = SegmentIndex(base_offset)
    index.size = size
    index.next_offset = stored.next_offset
    index.max_timestamp = stored.max_timestamp
    index.first_ms = stored.first_ms
    index.newest_ms = stored.newest_ms
    index._offsets = array("q", stored.offsets)  # noqa: SLF001 - this is its constructor
    index._positions = array("q", stored.positions)  # noqa: SLF001
    index._times = array("q", stored.times)  # noqa: SLF001
    index._next_entry = (stored.positions[-1] if stored.positions else 0) + INTERVAL_BYTES  # noqa: SLF001
    return index, stored.producers
