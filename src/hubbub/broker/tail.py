"""Following topics from a chosen place: replay first, then whatever comes, in one order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from hubbub.log import batch
from hubbub.log.reader import READ_BYTES
from hubbub.model.errors import CorruptLogError, HubbubError, OffsetOutOfRangeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.partition import Partition
    from hubbub.broker.timers import Timer, Timers


class Placed(Protocol):
    """A record, decoded as far as whoever takes it needs."""

    @property
    def offset(self) -> int:
        """Where it stands."""


R = TypeVar("R", bound=Placed)


class FromTime(msgspec.Struct, frozen=True, tag="time"):
    """Start at the first record at or after a Unix time in milliseconds."""

    timestamp_ms: int


class FromOffset(msgspec.Struct, frozen=True, tag="offset"):
    """Start at an offset, in each partition."""

    offset: int


Start: TypeAlias = Literal["beginning", "new"] | FromTime | FromOffset


def start_offset(partition: Partition, start: Start) -> int:
    """Where ``start`` is in the partition; never before the first record or after the last."""
    log = partition.log
    if start == "beginning":
        return log.start_offset
    if isinstance(start, FromTime):
        found = log.find_time(start.timestamp_ms)
        return log.durable_offset if found is None else found.offset
    if isinstance(start, FromOffset):
        return min(max(start.offset, log.start_offset), log.durable_offset)
    return log.end_offset


class Tail(Generic[R]):
    """Hands the durable records of one partition to ``take``, from ``offset`` on, until closed.

    ``take`` says whether it wants more; after a False the tail rests until ``resume``. Each turn
    reads one chunk, so that a long replay leaves the others their time.
    """

    def __init__(
        self,
        partition: Partition,
        offset: int,
        take: Callable[[R], bool],
        timers: Timers,
        decode: Callable[[bytes, Partition], list[R]],
    ) -> None:
        self.partition = partition
        self.offset = offset
        self._take = take
        self._timers = timers
        self._decode = decode
        self._ready: list[R] = []  # decoded and not yet taken, last one first
        self._turn: Timer | None = None
        self._closed = False
        partition.watch(self.resume)
        self.resume()

    def resume(self) -> None:
        """Go on in the next turn; harmless when there is nothing to read."""
        if not self._closed and self._turn is None:
            self._turn = self._timers.after(0, self._run)

    def close(self) -> None:
        """Hand over nothing more."""
        self._closed = True
        self.partition.unwatch(self.resume)

    def _run(self) -> None:
        self._turn = None
        if self._closed or (not self._ready and not self._fill()):
            return
        while self._ready and not self._closed:
            record = self._ready[-1]
            if not self._take(record):
                return
            self._ready.pop()
            self.offset = record.offset + 1
        self.resume()

    def _fill(self) -> bool:
        """Read a chunk; False at the end or where the partition cannot be read any more."""
        log = self.partition.log
        try:
            data = log.read(self.offset, READ_BYTES)
        except OffsetOutOfRangeError as error:
            # Retention overtook a slow reader: what is left begins at the new start.
            if self.offset >= error.start:
                return False
            self.offset = error.start
            return self._fill()
        except CorruptLogError as damage:
            self.offset = damage.next_good
            return self._fill()
        except HubbubError:
            return False
        if not data:
            return False
        records = self._decode(data, self.partition)
        self._ready = [record for record in reversed(records) if record.offset >= self.offset]
        if not self._ready:  # nothing but control records, or records before the offset
            self.offset = batch.scan(data, check_crc=False)[-1].next_offset
            return self._fill()
        return True
