"""Opening a partition after whatever happened to it.

Segments with an index were synced whole before the index was written, and are taken at its word;
others are scanned, checksums and all. Where a scan meets bytes that are no batch, there are two
cases. At or above the offset that is known to be synced, nothing was acknowledged: a torn write,
which is cut off together with everything behind it. Below it, acknowledged messages are lost: that
is reported, the rest stays readable, and no byte is touched. Nothing is ever deleted: what is cut
goes into quarantine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hubbub.log import batch as batches
from hubbub.log.producers import ProducerTable
from hubbub.log.segment import SCAN_BYTES, Segment

if TYPE_CHECKING:
    from hubbub.log.batch import BatchInfo
    from hubbub.log.directory import PartitionDirectory


class Recovered(NamedTuple):
    """A partition as it was found. The last segment is open for appends, and all of it durable."""

    segments: list[Segment]
    start_offset: int
    producers: ProducerTable


def recover(directory: PartitionDirectory) -> Recovered:
    """Read the partition, mend its end and make what is there durable. Raises OSError."""
    recovery = _Recovery(directory)
    try:
        return recovery.run()
    except BaseException:
        recovery.close()
        raise


class _Recovery:
    def __init__(self, directory: PartitionDirectory) -> None:
        self._directory = directory
        self._producers = ProducerTable()
        self._segments: list[Segment] = []  # those that stay
        self._unsynced: list[Segment] = []
        self._indexes: dict[int, bytes] = {}  # of segments that were scanned
        self._lossy: Segment | None = None  # the last one that something is missing from
        self._start = directory.read_start()
        self._synced = max(self._start, directory.read_synced())

    def run(self) -> Recovered:
        self._directory.remove_leftovers()
        found = [Segment(self._directory, base) for base in self._directory.base_offsets()]
        snapshots = [self._load(segment) for segment in found]
        for position, (segment, producers) in enumerate(zip(found, snapshots, strict=True)):
            if self._is_merged(segment):
                self._set_aside([segment])
                continue
            if not self._follows(segment):
                self._set_aside(found[position:])
                break
            self._segments.append(segment)
            if producers is not None:
                self._producers.restore(producers)
            elif not self._scan(segment):
                self._set_aside(found[position + 1 :])
                self._cut(segment)
                break
            elif segment is not self._lossy:
                self._indexes[segment.base_offset] = segment.index.encode(
                    self._producers.snapshot()
                )
        self._finish()
        start = max(self._start, self._segments[0].base_offset)
        return Recovered(self._segments, start, self._producers)

    def close(self) -> None:
        """Let go of what is open: the partition cannot be used."""
        for segment in self._segments:
            segment.close()

    def _load(self, segment: Segment) -> bytes | None:
        producers = segment.load_index(segment.file_size())
        if producers is not None:
            self._synced = max(self._synced, segment.next_offset)
        return producers

    def _is_merged(self, segment: Segment) -> bool:
        """Whether compaction has moved the contents to the segment before, and was then cut short."""
        return bool(self._segments) and segment.base_offset < self._segments[-1].next_offset

    def _follows(self, segment: Segment) -> bool:
        """Whether no offset that was never acknowledged is missing before the segment."""
        if not self._segments:
            return True
        before = self._segments[-1]
        if before.next_offset < segment.base_offset:
            if before.next_offset >= self._synced:
                return False
            self._lose(before, segment.base_offset, "a segment's file is missing or cut short")
        return True

    def _scan(self, segment: Segment) -> bool:
        """Index the segment and learn its producers; False if its end was torn."""
        self._unsynced.append(segment)
        file_size = segment.file_size()
        while (fault := self._scan_good(segment, file_size)) is not None:
            index = segment.index
            if index.next_offset >= self._synced:
                return False
            rest = segment.bytes_at(index.size, file_size - index.size)
            found = batches.find_batch(rest, 1, index.next_offset)
            after = batches.header(rest, found) if found >= 0 else None
            if after is None:
                self._lose(segment, self._end_of(segment), fault)
                index.skip(file_size, index.next_offset)
                return True
            self._lose(segment, after.base_offset, fault)
            index.skip(index.size + found, after.base_offset)
        return True

    def _scan_good(self, segment: Segment, file_size: int) -> str | None:
        """Index whole batches from where the index ends; why that stopped before the file's end."""
        index = segment.index
        want = SCAN_BYTES
        while index.size < file_size:
            left = file_size - index.size
            data = segment.bytes_at(index.size, min(want, left))
            infos, end, fault = batches.scan_whole(data, first_offset=index.next_offset)
            index.note(infos, -1)
            self._learn(infos)
            header = batches.header(data, end)
            need = end + (batches.HEADER_BYTES if header is None else header.size)
            # Unless the read cut the batch off, the file did, or it is damaged.
            if fault is not None and (need <= len(data) or need > left):
                return fault
            want = max(SCAN_BYTES, need - end)
        return None

    def _learn(self, infos: list[BatchInfo]) -> None:
        for info in infos:
            if info.producer_id >= 0:
                append_time_ms = info.max_timestamp if info.log_append_time else -1
                self._producers.record(
                    info, info.base_offset, append_time_ms, now_ms=info.max_timestamp
                )

    def _end_of(self, segment: Segment) -> int:
        """Where the offsets of a segment end whose last batches are lost."""
        bases = [base for base in self._directory.base_offsets() if base > segment.base_offset]
        return min([*bases[:1], self._synced]) if bases else self._synced

    def _lose(self, segment: Segment, next_good: int, why: str) -> None:
        self._lossy = segment
        if next_good > max(self._start, segment.next_offset):
            segment.add_damage(segment.next_offset, next_good, why)
        segment.index.skip(segment.size, next_good)

    def _cut(self, segment: Segment) -> None:
        torn = segment.bytes_at(segment.size, segment.file_size() - segment.size)
        self._directory.quarantine_bytes(segment.next_offset, torn)
        segment.open()
        segment.cut()

    def _set_aside(self, segments: list[Segment]) -> None:
        # From behind, so that a crash leaves no new gap.
        for segment in reversed(segments):
            self._directory.set_aside(segment.base_offset)
            self._directory.sync()

    def _finish(self) -> None:
        """Leave a segment that can be appended to, and everything durable."""
        end = max([self._synced, *(segment.next_offset for segment in self._segments)])
        last = self._segments[-1] if self._segments else None
        if last is not None and last.next_offset < end:
            self._lose(last, end, "the end of the log is missing")
        # What follows damage goes into a file of its own, where it is found without a search.
        if last is None or last is self._lossy:
            self._segments.append(Segment(self._directory, end))
            self._unsynced.append(self._segments[-1])
        for segment in self._unsynced:
            segment.open()
            segment.sync()
            segment.close()
        if self._unsynced:
            self._directory.sync()
            self._directory.write_synced(end)
        self._segments[-1].open()
        for segment in self._segments[:-1]:
            if segment.base_offset in self._indexes:
                self._directory.write_index(segment.base_offset, self._indexes[segment.base_offset])
