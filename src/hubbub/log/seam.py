"""The seam between the broker and where messages are kept.

An engine holds partitions, each an append-only sequence of RecordBatch v2 (``log.batch``). Appends
return at once; ``durable_offset`` follows when a sync covers them. Syncs may run in any thread, all
else belongs to one thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hubbub.model.settings import TopicSettings


class Appended(NamedTuple):
    """Where a batch stands. A duplicate of an idempotent producer stands where it stood before."""

    base_offset: int
    next_offset: int
    append_time_ms: int  # -1 where the topic keeps the publisher's timestamps
    duplicate: bool = False


class TimePoint(NamedTuple):
    """A record found by time."""

    offset: int
    timestamp_ms: int


class PartitionLog(Protocol):
    """One partition."""

    settings: TopicSettings  # may be replaced at any time

    @property
    def start_offset(self) -> int:
        """Of the first record kept."""

    @property
    def end_offset(self) -> int:
        """Of the next record appended."""

    @property
    def durable_offset(self) -> int:
        """All before it survives power loss; readers see no further."""

    def append(self, batch: bytes | bytearray, now_ms: int, *, own: bool = False) -> Appended:
        """Append one whole batch, giving it its offsets.

        Its checksum and contents are checked, unless it is the broker's ``own`` make.

        Raises: CorruptBatchError, MessageTooLargeError, OutOfOrderSequenceError,
            DuplicateSequenceError, ProducerFencedError, StorageError, StorageFullError.
        """

    def read(self, offset: int, max_bytes: int, *, at_least_one: bool = True) -> bytes:
        """Whole durable batches from the one that holds ``offset``, empty at the end.

        At most ``max_bytes``, but the first batch always when ``at_least_one`` (KIP-74).

        Raises: OffsetOutOfRangeError, CorruptLogError, StorageError.
        """

    def find_time(self, timestamp_ms: int) -> TimePoint | None:
        """The first durable record at or after the time."""

    def when_durable(self, offset: int, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once ``durable_offset >= offset`` (at once if so), or with the failure."""

    def truncate_before(self, offset: int) -> None:
        """Forget records before ``offset`` (Kafka's DeleteRecords); durable with the next sync."""

    def clean(self, now_ms: int) -> bool:
        """Apply retention by time and size, and take one step of compaction.

        Returns whether another call would go on with it: the caller lets others have a turn first.
        """


class Sync(Protocol):
    """One group commit under way: ``run`` in any thread, then ``finish`` in the log's own.

    ``note`` follows ``run`` in the same thread, and nobody has to wait for it.
    """

    def run(self) -> None:
        """Sync (fdatasync) every file that was appended to; keep failures for ``finish``."""

    def note(self) -> None:
        """Write down what makes the next start quicker and surer."""

    def finish(self) -> None:
        """Move ``durable_offset`` on and call those who wait, or fail the partition for good."""


class Log(Protocol):
    """An engine."""

    on_dirty: Callable[[], None]  # called when the first append since the last sync is made

    def open(self, number: int, partition: int, settings: TopicSettings) -> PartitionLog:
        """The partition ``partition`` of topic ``number``, recovered or new. Raises StorageError."""

    def remove(self, number: int) -> None:
        """Forget all partitions of the topic."""

    def retain(self, numbers: Collection[int]) -> None:
        """Forget the partitions of every topic whose number is not among these.

        It is what a crash kept from being removed; topics that are open, or have a higher number
        than all of these, stay.
        """

    def begin_sync(self) -> Sync | None:
        """A sync of all that was appended since the last one; None if nothing was."""

    def sizes(self, number: int) -> dict[int, int]:
        """Bytes kept, by partition of the topic."""

    def close(self) -> None:
        """Sync, write what makes the next start quick, and let go of the directory."""
