"""The engine that keeps everything in memory: what is appended is as durable as it will ever be."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from hubbub.log import batch as batches
from hubbub.log.admission import admit
from hubbub.log.compaction import Compaction, is_worthwhile
from hubbub.log.producers import ProducerTable
from hubbub.log.seam import Appended, Sync, TimePoint
from hubbub.log.waiting import Waiting
from hubbub.model.errors import OffsetOutOfRangeError
from hubbub.model.settings import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hubbub.log.batch import BatchInfo
    from hubbub.model.settings import TopicSettings


class _Entry(NamedTuple):
    data: bytes
    info: BatchInfo
    newest_ms: int  # its last record's time, or when it was appended


class MemoryPartition:
    """A list of batches."""

    def __init__(self, settings: TopicSettings) -> None:
        self.settings = settings
        self.start_offset = 0
        self.end_offset = 0
        self.size = 0
        self._entries: list[_Entry] = []
        self._next_offsets: list[int] = []  # one per entry, for the search
        self._producers = ProducerTable()
        self._waiting = Waiting()
        self._compacted_to = 0

    @property
    def durable_offset(self) -> int:
        """The end: there is nothing to wait for."""
        return self.end_offset

    def append(self, batch: bytes | bytearray, now_ms: int, *, own: bool = False) -> Appended:
        """See ``PartitionLog.append``."""
        admitted = admit(batch, self.settings, self._producers, self.end_offset, now_ms, own=own)
        data, info, appended = admitted
        if appended.duplicate:
            return appended
        newest_ms = info.max_timestamp if info.max_timestamp >= 0 else now_ms
        self._entries.append(_Entry(data, info, newest_ms))
        self._next_offsets.append(appended.next_offset)
        self.size += len(data)
        self.end_offset = appended.next_offset
        self._producers.record(info, appended.base_offset, appended.append_time_ms, now_ms)
        self._waiting.reached(self.end_offset)
        return appended

    def read(self, offset: int, max_bytes: int, *, at_least_one: bool = True) -> bytes:
        """See ``PartitionLog.read``."""
        if not self.start_offset <= offset <= self.end_offset:
            raise OffsetOutOfRangeError(offset, self.start_offset, self.end_offset)
        first = bisect_right(self._next_offsets, offset)
        found: list[bytes] = []
        for index in range(first, len(self._entries)):
            data = self._entries[index].data
            if len(data) > max_bytes and (found or not at_least_one):
                break
            found.append(data)
            max_bytes -= len(data)
        return b"".join(found)

    def find_time(self, timestamp_ms: int) -> TimePoint | None:
        """See ``PartitionLog.find_time``."""
        for entry in self._entries:
            if entry.info.max_timestamp >= timestamp_ms:
                for record in batches.decode(entry.data):
                    if record.timestamp_ms >= timestamp_ms and record.offset >= self.start_offset:
                        return TimePoint(record.offset, record.timestamp_ms)
        return None

    def when_durable(self, offset: int, done: Callable[[Exception | None], None]) -> None:
        """See ``PartitionLog.when_durable``."""
        if offset <= self.end_offset:
            done(None)
        else:
            self._waiting.add(offset, done)

    def truncate_before(self, offset: int) -> None:
        """See ``PartitionLog.truncate_before``."""
        if not self.start_offset <= offset <= self.end_offset:
            raise OffsetOutOfRangeError(offset, self.start_offset, self.end_offset)
        self._forget(bisect_right(self._next_offsets, offset))
        self.start_offset = offset

    def clean(self, now_ms: int) -> bool:
        """See ``PartitionLog.clean``; here all is done at once."""
        self._producers.expire(now_ms)
        if self.settings.delete_old:
            self._retain(now_ms)
        if self.settings.compact:
            self._compact(now_ms)
        return False

    def _retain(self, now_ms: int) -> None:
        settings = self.settings
        gone = 0
        size = self.size
        for entry in self._entries:
            expired = FOREVER != settings.retention_ms < now_ms - entry.newest_ms
            too_much = FOREVER != settings.retention_bytes <= size - len(entry.data)
            if not expired and not too_much:
                break
            gone += 1
            size -= len(entry.data)
        if gone:
            self.start_offset = max(self.start_offset, self._next_offsets[gone - 1])
            self._forget(gone)

    def _compact(self, now_ms: int) -> None:
        closed = self._entries[:-1]  # the last one stays, and with it the end
        fresh = sum(
            len(entry.data) for entry in closed if entry.info.base_offset >= self._compacted_to
        )
        if not is_worthwhile(fresh, sum(len(entry.data) for entry in closed)):
            return
        compaction = Compaction(now_ms, self.settings.delete_retention_ms)
        for data, info, _ in closed:
            compaction.note(data, info)
        kept: list[_Entry] = []
        for data, info, newest_ms in closed:
            smaller = compaction.compact(data, info, keep_empty=False)
            if smaller:
                kept.append(_Entry(smaller, batches.scan(smaller)[0], newest_ms))
        self._compacted_to = closed[-1].info.next_offset
        self._entries = [*kept, self._entries[-1]]
        self._next_offsets = [entry.info.next_offset for entry in self._entries]
        self.size = sum(len(entry.data) for entry in self._entries)

    def _forget(self, count: int) -> None:
        self.size -= sum(len(entry.data) for entry in self._entries[:count])
        del self._entries[:count]
        del self._next_offsets[:count]


class MemoryLog:
    """All partitions, while the process lives."""

    def __init__(self) -> None:
        self.on_dirty: Callable[[], None] = _nothing
        self._topics: dict[int, dict[int, MemoryPartition]] = {}

    def open(self, number: int, partition: int, settings: TopicSettings) -> MemoryPartition:
        """See ``Log.open``."""
        partitions = self._topics.setdefault(number, {})
        found = partitions.setdefault(partition, MemoryPartition(settings))
        found.settings = settings
        return found

    def remove(self, number: int) -> None:
        """See ``Log.remove``."""
        self._topics.pop(number, None)

    def retain(self, numbers: Collection[int]) -> None:
        """See ``Log.retain``: a crash leaves nothing here."""

    def begin_sync(self) -> Sync | None:
        """There is never anything to sync."""
        return None

    def sizes(self, number: int) -> dict[int, int]:
        """See ``Log.sizes``."""
        return {index: log.size for index, log in self._topics.get(number, {}).items()}

    def close(self) -> None:
        """Let go of everything."""
        self._topics.clear()


def _nothing() -> None:
    """Nobody listens yet."""
