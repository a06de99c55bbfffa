"""What queues left in the log, read again by offset when they have room for it."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from hubbub.log import batch
from hubbub.log.records import record_of
from hubbub.model.errors import (
    CorruptLogError,
    HubbubError,
    OffsetOutOfRangeError,
    StorageError,
)

if TYPE_CHECKING:
    from hubbub.broker.partition import Partition
    from hubbub.broker.queue import Queue
    from hubbub.broker.timers import Timer, Timers
    from hubbub.log.batch import RawRecord
    from hubbub.model.message import Record

# One read for a queue whose messages stand close together.
CHUNK_BYTES = 64 * 1024
# Chunks that stay decoded: queues that come back together mostly want the same ones.
MAX_CHUNKS = 8
# How many chunks are read in a turn, which leaves the others theirs: some milliseconds.
READS_A_TURN = 4
# And how many queues have their turn in it, where nothing needs to be read.
QUEUES_A_TURN = 256
# How often a disk that cannot be read is tried again, in seconds.
_READ_AGAIN_AFTER = 1.0


class Chunk:
    """The records at offsets from ``first`` to before ``after``, those that are left of them."""

    __slots__ = ("_partition", "_records", "after", "first")

    def __init__(
        self, partition: Partition, first: int, after: int, records: list[RawRecord]
    ) -> None:
        self.first = first
        self.after = after
        self._partition = partition
        self._records = records

    def record(self, offset: int) -> Record | None:
        """The one at the offset; None where it is gone."""
        at = bisect_left(self._records, offset, key=_offset)
        if at == len(self._records) or self._records[at].offset != offset:
            return None
        return record_of(self._records[at], self._partition.topic.name, self._partition.index)


class Backlogs:
    """Serves the queues that have room for their backlog, one after the other, some each turn."""

    def __init__(self, partition: Partition, timers: Timers) -> None:
        self._partition = partition
        self._timers = timers
        self._hungry: dict[Queue, None] = {}
        self._chunks: deque[Chunk] = deque(maxlen=MAX_CHUNKS)
        self._reads = 0
        self._turn: Timer | None = None

    def refill(self, queue: Queue) -> None:
        """Let the queue have what it has room for, from the next turn on."""
        self._hungry[queue] = None
        self._later(0)

    def forget(self, queue: Queue) -> None:
        """The queue is no more."""
        self._hungry.pop(queue, None)

    def chunk_at(self, offset: int, dense: bool) -> Chunk:
        """A chunk that holds the offset. Raises HubbubError where it cannot be read now."""
        for chunk in self._chunks:
            if chunk.first <= offset < chunk.after:
                return chunk
        self._reads += 1
        chunk = self._read(offset, CHUNK_BYTES if dense else 1)
        self._chunks.append(chunk)
        return chunk

    def _later(self, seconds: float) -> None:
        if self._turn is None:
            self._turn = self._timers.after(seconds, self._run)

    def _run(self) -> None:
        self._turn = None
        self._reads = 0
        for queue in tuple(self._hungry)[:QUEUES_A_TURN]:
            del self._hungry[queue]
            try:
                if queue.refill(self.chunk_at):
                    self._hungry[queue] = None
            except HubbubError:
                self._timers.after(_READ_AGAIN_AFTER, partial(self.refill, queue))
            if self._reads >= READS_A_TURN:
                break
        if self._hungry:
            self._later(0)

    def _read(self, offset: int, size: int) -> Chunk:
        try:
            data = self._partition.log.read(offset, size)
        except OffsetOutOfRangeError as error:
            if offset >= error.start:
                raise
            return Chunk(self._partition, offset, error.start, [])
        except CorruptLogError as damage:
            return Chunk(self._partition, offset, damage.next_good, [])
        if not data:
            raise StorageError(f"nothing at offset {offset}")
        records = batch.decode(data)
        after = batch.scan(data, check_crc=False)[-1].next_offset
        first = min(offset, records[0].offset) if records else offset
        return Chunk(self._partition, first, after, records)


def _offset(record: RawRecord) -> int:
    return record.offset
