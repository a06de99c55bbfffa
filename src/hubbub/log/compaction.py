"""Log compaction: of the records with one key only the last stays, and offsets never change.

Control batches and transactional ones are left as they are: whether a transactional record counts
depends on a marker that comes later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.log import batch as batches

if TYPE_CHECKING:
    from hubbub.log.batch import BatchInfo, RawRecord

# Keys of one pass, held in memory with 100 to 200 bytes each; keys beyond wait for a later pass,
# which keeps more records than it must and never fewer.
MAX_KEYS = 1_000_000


def is_worthwhile(fresh_bytes: int, closed_bytes: int) -> bool:
    """Whether half of what could be compacted is new (Kafka's min.cleanable.dirty.ratio)."""
    return fresh_bytes > 0 and closed_bytes <= 2 * fresh_bytes


class Compaction:
    """One pass over closed segments: ``note`` every batch in order, then ``compact`` each."""

    def __init__(self, now_ms: int, delete_retention_ms: int, max_keys: int = MAX_KEYS) -> None:
        self._last: dict[bytes, int] = {}
        self._tombstones_from_ms = now_ms - delete_retention_ms
        self._max_keys = max_keys

    def note(self, data: bytes, info: BatchInfo) -> None:
        """Learn which keys the batch has. Raises CorruptBatchError."""
        if _is_left_alone(info):
            return
        for record in batches.decode(data):
            key = record.key
            if key is not None and (len(self._last) < self._max_keys or key in self._last):
                self._last[key] = record.offset

    def compact(self, data: bytes, info: BatchInfo, *, keep_empty: bool) -> bytes:
        """The batch without what is superseded, empty when nothing remains.

        ``keep_empty`` keeps at least its header, which says which offsets are in use.

        Raises: CorruptBatchError.
        """
        if _is_left_alone(info):
            return data
        flags = [self._stays(record) for record in batches.decode(data)]
        if all(flags) and (flags or keep_empty):
            return data
        return batches.keep(data, flags) if any(flags) or keep_empty else b""

    def _stays(self, record: RawRecord) -> bool:
        # Keyless records are from before the topic was compacted.
        if record.key is not None and self._last.get(record.key, -1) > record.offset:
            return False
        return record.value is not None or record.timestamp_ms >= self._tombstones_from_ms


def _is_left_alone(info: BatchInfo) -> bool:
    return info.is_control or info.is_transactional
