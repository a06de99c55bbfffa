"""A partition on disk: appends to the newest segment, reads from all, syncs in groups."""

from __future__ import annotations

import errno
from bisect import bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING

from hubbub.log import batch as batches
from hubbub.log import retention, rewriting
from hubbub.log.admission import admit
from hubbub.log.commit import PartitionSync
from hubbub.log.compaction import Compaction, is_worthwhile
from hubbub.log.recovery import recover
from hubbub.log.seam import Appended, TimePoint
from hubbub.log.segment import Segment
from hubbub.log.waiting import Waiting
from hubbub.model.errors import (
    CorruptBatchError,
    CorruptLogError,
    OffsetOutOfRangeError,
    StorageError,
    StorageFullError,
    UnknownTopicError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubbub.log.batch import BatchInfo
    from hubbub.log.directory import PartitionDirectory
    from hubbub.model.settings import TopicSettings

_FULL = {errno.ENOSPC, errno.EDQUOT}
_NO_DESCRIPTOR = {errno.EMFILE, errno.ENFILE}

# After the disk was full, appends wait for this much space: below it they would soon fail again, and
# what little is there is better left to offsets and other small state.
RESERVE_BYTES = 16 * 1024 * 1024

# A step of compaction reads so much for its keys, so that others get their turn soon.
_STEP_BYTES = 64 * 1024 * 1024

# A search by time reads little: the index has brought it close.
_SEARCH_BYTES = 64 * 1024


class DiskPartition:
    """Segments in a directory. See ``PartitionLog``."""

    def __init__(
        self,
        directory: PartitionDirectory,
        settings: TopicSettings,
        on_dirty: Callable[[DiskPartition], None],
    ) -> None:
        recovered = recover(directory)
        self.settings = settings
        self.segments = recovered.segments
        self.start_offset = recovered.start_offset
        self.end_offset = self.durable_offset = self.segments[-1].next_offset
        self._directory = directory
        self._on_dirty = on_dirty
        self._producers = recovered.producers
        self._waiting = Waiting()
        self._failure: StorageError | None = None
        self._full = False
        self._unsynced: dict[Segment, None] = {}
        self._names: int | None = None  # the directory's handle, once a name in it is new
        self._start_changed = False
        self._indexes: dict[int, bytes] = {}  # of segments rolled since the last sync
        self._compacted_to = 0
        self._compaction: Iterator[bool] | None = None  # the pass under way

    @property
    def size(self) -> int:
        """Bytes kept."""
        return sum(segment.size for segment in self.segments)

    @property
    def is_unsynced(self) -> bool:
        """Whether a sync would find something to do; what failed is never synced again."""
        return self._failure is None and bool(
            self._unsynced or self._names is not None or self._start_changed
        )

    # --- appending ----------------------------------------------------------------------------

    def append(self, batch: bytes | bytearray, now_ms: int, *, own: bool = False) -> Appended:
        """See ``PartitionLog.append``."""
        if self._failure is not None:
            raise self._failure
        admitted = admit(batch, self.settings, self._producers, self.end_offset, now_ms, own=own)
        data, info, appended = admitted
        if appended.duplicate:
            return appended
        try:
            self._write(data, info, now_ms)
        except OSError as error:
            raise self._refusal(error) from error
        self._producers.record(info, appended.base_offset, appended.append_time_ms, now_ms)
        self.end_offset = appended.next_offset
        # Whoever chose another mode does not wait for the sync (it comes all the same for
        # "interval"; for "never" it comes with the next segment).
        if self.settings.fsync != "group":
            self._advance(self.end_offset)
        return appended

    def _write(self, data: bytes, info: BatchInfo, now_ms: int) -> None:
        if self._full:
            if self._directory.filesystem.free_space(self._directory.path) < RESERVE_BYTES:
                raise OSError(errno.ENOSPC, "no space left beyond the reserve")
            self._full = False
        active = self.segments[-1]
        if active.size and (
            active.size + len(data) > self.settings.segment_bytes
            or now_ms - active.index.first_ms >= self.settings.segment_ms
        ):
            active = self._roll()
        active.append(data, info, now_ms)
        self._unsynced[active] = None
        if self.settings.fsync != "never":
            self._on_dirty(self)

    def _roll(self) -> Segment:
        """Begin a new segment; the one before is synced in any mode, which its index relies on."""
        # Both handles before any change: a sync must not be what finds no descriptor free.
        if self._names is None:
            self._names = self._directory.filesystem.open_directory(self._directory.path)
        fresh = Segment(self._directory, self.end_offset)
        fresh.open()
        before = self.segments[-1]
        if not before.damages:
            self._indexes[before.base_offset] = before.index.encode(self._producers.snapshot())
        self._unsynced[before] = None
        self.segments.append(fresh)
        self._unsynced[fresh] = None
        self._on_dirty(self)
        return fresh

    def _refusal(self, error: OSError) -> StorageError:
        """What an append that failed means for the partition."""
        if error.errno in _NO_DESCRIPTOR:  # a roll was refused, and nothing was written
            return StorageError("too many open files")
        if error.errno in _FULL:
            try:
                self.segments[-1].cut()
            except OSError as worse:
                return self._fail(worse)
            self._full = True
            return StorageFullError(f"no space left on the disk: {error.strerror}")
        return self._fail(error)

    def _fail(self, error: OSError) -> StorageError:
        # After a failed write or sync nobody knows what the disk holds, and a sync that is tried
        # again may lie (ATC'20: the kernel marks the lost pages clean).
        self._failure = StorageError(f"the disk failed: {error.strerror or error}")
        self._waiting.failed(self._failure)
        return self._failure

    # --- syncing ------------------------------------------------------------------------------

    def begin_sync(self) -> PartitionSync:
        """Everything appended so far, to be synced."""
        sync = PartitionSync(
            self._directory,
            list(self._unsynced),
            self.end_offset,
            names=self._names,
            start=self.start_offset if self._start_changed else None,
            indexes=self._indexes,
        )
        self._unsynced = {}
        self._names = None
        self._start_changed = False
        self._indexes = {}
        return sync

    def finish_sync(self, sync: PartitionSync) -> None:
        """Take note of what ``sync`` did."""
        if self._failure is not None:
            return
        if sync.failure is not None:
            self._fail(sync.failure)
            return
        for segment in self.segments[:-1]:
            if segment not in self._unsynced:
                segment.close()
        if sync.start_failure is not None:
            self._start_changed = True  # again with the next sync
        elif sync.start is not None:
            with suppress(OSError):  # files that stay are found again after a start, by ``clean``
                self._drop(retention.before(self.segments, sync.start))
        self._advance(sync.reached)

    def _advance(self, offset: int) -> None:
        if offset > self.durable_offset:
            self.durable_offset = offset
            self._waiting.reached(offset)

    def when_durable(self, offset: int, done: Callable[[Exception | None], None]) -> None:
        """See ``PartitionLog.when_durable``."""
        if offset <= self.durable_offset:
            done(None)
        elif self._failure is not None:
            done(self._failure)
        else:
            self._waiting.add(offset, done)

    # --- reading ------------------------------------------------------------------------------

    def read(self, offset: int, max_bytes: int, *, at_least_one: bool = True) -> bytes:
        """See ``PartitionLog.read``; StorageError where the disk cannot be read."""
        if not self.start_offset <= offset <= self.end_offset:
            raise OffsetOutOfRangeError(offset, self.start_offset, self.end_offset)
        if offset >= self.durable_offset:
            return b""
        segment = next(
            segment
            for segment in self.segments[self._segment_at(offset) :]
            if segment.next_offset > offset
        )
        try:
            return segment.read(offset, self.durable_offset, max_bytes, at_least_one=at_least_one)
        except OSError as error:
            raise StorageError(f"the disk cannot be read: {error.strerror}") from error

    def find_time(self, timestamp_ms: int) -> TimePoint | None:
        """See ``PartitionLog.find_time``."""
        for segment in self.segments:
            if segment.index.max_timestamp >= timestamp_ms:
                offset = max(segment.index.floor_time(timestamp_ms), self.start_offset)
                found = self._find_time(offset, segment.next_offset, timestamp_ms)
                if found is not None:
                    return found
        return None

    def _find_time(self, offset: int, end: int, timestamp_ms: int) -> TimePoint | None:
        while offset < min(end, self.durable_offset):
            try:
                data = self.read(offset, _SEARCH_BYTES)
            except CorruptLogError as damage:
                offset = damage.next_good
                continue
            at = 0
            for info in batches.scan(data, check_crc=False):
                if info.max_timestamp >= timestamp_ms:
                    for record in batches.decode(data[at : at + info.size]):
                        if record.timestamp_ms >= timestamp_ms and record.offset >= offset:
                            return TimePoint(record.offset, record.timestamp_ms)
                at += info.size
                offset = info.next_offset
        return None

    def _segment_at(self, offset: int) -> int:
        """The index of the last segment that does not begin after ``offset``."""
        bases = [segment.base_offset for segment in self.segments]
        return max(0, bisect_right(bases, offset) - 1)

    # --- forgetting ---------------------------------------------------------------------------

    def truncate_before(self, offset: int) -> None:
        """See ``PartitionLog.truncate_before``."""
        if not self.start_offset <= offset <= self.durable_offset:
            raise OffsetOutOfRangeError(offset, self.start_offset, self.durable_offset)
        if offset > self.start_offset:
            self.start_offset = offset
            self._start_changed = True
            self._on_dirty(self)

    def clean(self, now_ms: int) -> bool:
        """See ``PartitionLog.clean``. What the disk refuses waits for the next time."""
        if self._failure is not None:
            self._compaction = None
            return False
        self._producers.expire(now_ms)
        with suppress(OSError):
            if not self._start_changed:  # and so stored
                self._drop(retention.before(self.segments, self.start_offset))
            if self.settings.delete_old:
                self._retain(now_ms)
            if self.settings.compact:
                return self._compact(now_ms)
        self._compaction = None
        return False

    def _retain(self, now_ms: int) -> None:
        active = self.segments[-1]
        if active.size and retention.is_expired(active, self.settings, now_ms):
            self._roll()
        closed = [
            segment for segment in self.segments[:-1] if segment.next_offset <= self.durable_offset
        ]
        self._drop(retention.beyond(closed, self.size, self.settings, now_ms))

    def _drop(self, segments: list[Segment]) -> None:
        """Delete the oldest segments."""
        if segments and self._names is not None:
            # What follows them must be found before they are gone: it holds the end offset.
            self._directory.sync()
        for segment in segments:
            self.segments.remove(segment)
            self._unsynced.pop(segment, None)
            self._indexes.pop(segment.base_offset, None)
            self.start_offset = max(self.start_offset, segment.next_offset)
            segment.close()
            self._directory.remove_segment(segment.base_offset)
            # One by one, so that a crash leaves no gap.
            self._directory.sync()

    def _compact(self, now_ms: int) -> bool:
        """Go one step further in the pass under way, or in a new one."""
        if self._compaction is None:
            self._compaction = self._compaction_pass(now_ms)
        goes_on = next(self._compaction, False)
        if not goes_on:
            self._compaction = None
        return goes_on

    def _compaction_pass(self, now_ms: int) -> Iterator[bool]:
        """Yield true after each step; between them segments may be appended and dropped."""
        closed = [
            segment
            for segment in self.segments[:-1]
            if segment.next_offset <= self.durable_offset
            and segment not in self._unsynced
            and not segment.is_open
        ]
        fresh = sum(segment.size for segment in closed if segment.base_offset >= self._compacted_to)
        if not is_worthwhile(fresh, sum(segment.size for segment in closed)):
            return
        with suppress(CorruptBatchError):  # what is damaged stays as it is
            compaction = Compaction(now_ms, self.settings.delete_retention_ms)
            seen = 0
            for segment in closed:
                for data, info in segment.each_batch():
                    compaction.note(data, info)
                    seen += len(data)
                    if seen >= _STEP_BYTES:
                        seen = 0
                        yield True
            for planned in rewriting.groups(closed, self.settings.segment_bytes):
                group = [segment for segment in planned if segment in self.segments]
                if group:
                    at = self.segments.index(group[0])
                    self.segments[at : at + len(group)] = [rewriting.rewrite(group, compaction)]
                    yield True
        self._compacted_to = closed[-1].next_offset

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what makes the next start quick, and close the files. All is synced, or failed."""
        active = self.segments[-1]
        if self._failure is None and not active.damages:
            with suppress(OSError):
                self._directory.write_index(
                    active.base_offset, active.index.encode(self._producers.snapshot())
                )
        self._close_files()

    def abandon(self) -> None:
        """The topic is gone: nobody waits any longer, and nothing can be appended."""
        self._failure = StorageError("the topic was deleted")
        self._waiting.failed(UnknownTopicError("the topic was deleted"))
        self._close_files()

    def _close_files(self) -> None:
        for segment in self.segments:
            segment.close()
        if self._names is not None:
            self._directory.filesystem.close(self._names)
            self._names = None
