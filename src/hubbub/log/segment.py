"""A segment: one file of batches, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.log import batch as batches
from hubbub.log.damage import Damage
from hubbub.log.files import read_file
from hubbub.log.index import INTERVAL_BYTES, SegmentIndex, decode_index
from hubbub.model.errors import CorruptLogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.log.batch import BatchInfo
    from hubbub.log.directory import PartitionDirectory

# A scan reads so much at once: enough that Python's share of the work vanishes.
SCAN_BYTES = 4 * 1024 * 1024


class Segment:
    """Batches from ``base_offset`` on. Only the newest of a partition is appended to."""

    def __init__(self, directory: PartitionDirectory, base_offset: int) -> None:
        self.directory = directory
        self.base_offset = base_offset
        self.index = SegmentIndex(base_offset)
        self.damages: list[Damage] = []
        self.path = directory.log_path(base_offset)
        self._files = directory.filesystem
        self._handle = -1  # open while it is appended to, or synced
        self._syncs = 0
        self._closing = False

    @property
    def size(self) -> int:
        """In bytes."""
        return self.index.size

    @property
    def next_offset(self) -> int:
        """The offset after its last."""
        return self.index.next_offset

    @property
    def is_open(self) -> bool:
        """Whether it may still be appended to or synced."""
        return self._handle >= 0

    # --- the file -----------------------------------------------------------------------------

    def open(self) -> None:
        """Make ready for ``append``, making the file if need be."""
        if self._handle < 0:
            self._handle = self._files.open_append(self.path)

    def close(self) -> None:
        """Close the file, once no sync needs it any more."""
        if self._syncs:
            self._closing = True
        elif self._handle >= 0:
            self._files.close(self._handle)
            self._handle = -1

    def begin_sync(self) -> int:
        """The handle to sync, which stays open until ``end_sync``."""
        self._syncs += 1
        return self._handle

    def end_sync(self) -> None:
        """The sync is over."""
        self._syncs -= 1
        if self._closing and not self._syncs:
            self.close()

    def sync(self) -> None:
        """Make the open file durable, now."""
        self._files.sync(self._handle)

    def append(self, data: bytes, info: BatchInfo, now_ms: int) -> None:
        """Write one batch. After an OSError the file may hold part of it."""
        self._files.append(self._handle, data)
        self.index.note((info,), now_ms)

    def cut(self) -> None:
        """Cut the open file to where the last good batch ends."""
        self._files.truncate(self._handle, self.index.size)

    def file_size(self) -> int:
        """The file's real length, which damage can make differ from ``size``."""
        handle = self._files.open_read(self.path)
        try:
            return self._files.size(handle)
        finally:
            self._files.close(handle)

    def bytes_at(self, position: int, size: int) -> bytes:
        """What stands at ``position``; less than ``size`` at the end of the file."""
        if self._handle >= 0:
            return self._files.read_at(self._handle, size, position)
        handle = self._files.open_read(self.path)
        try:
            return self._files.read_at(handle, size, position)
        finally:
            self._files.close(handle)

    def load_index(self, file_size: int) -> bytes | None:
        """Take what the index file says, and return its producers; None if it says nothing."""
        data = read_file(self._files, self.directory.index_path(self.base_offset))
        found = decode_index(data, self.base_offset, file_size) if data is not None else None
        if found is None:
            return None
        self.index, producers = found
        return producers

    # --- reading ------------------------------------------------------------------------------

    def read(self, offset: int, limit: int, max_bytes: int, *, at_least_one: bool) -> bytes:
        """Whole batches from the one with ``offset`` on, below the offset ``limit``.

        Raises: CorruptLogError, with what is lost in ``damages``.
        """
        entry_offset, position = self.index.floor(offset)
        want = max_bytes + INTERVAL_BYTES
        while True:
            self._check_damage(offset)
            data = self.bytes_at(position, min(want, self.size - position))
            begin, end, fault = batches.span(
                data, offset, limit, max_bytes, at_least_one=at_least_one
            )
            if end > begin or fault is None:
                return data[begin:end] if begin or end < len(data) else data
            if begin:
                passed = batches.scan(data[:begin], check_crc=False)
                entry_offset, position = passed[-1].next_offset, position + begin
            need = _bytes_needed(data, begin)
            if begin + need > len(data) and position + need <= self.size:
                want = max(want, need)  # the read cut the batch off, not the file
            else:
                entry_offset, position = self.pass_damage(entry_offset, position, fault)

    def each_batch(self) -> Iterator[tuple[bytes, BatchInfo]]:
        """Every batch, checked. Raises CorruptBatchError."""
        position = 0
        want = SCAN_BYTES
        while position < self.size:
            data = self.bytes_at(position, min(want, self.size - position))
            infos, end, _ = batches.scan_whole(data, first_offset=self.base_offset)
            at = 0
            for info in infos:
                yield data[at : at + info.size], info
                at += info.size
            need = _bytes_needed(data, end)
            if not infos and len(data) >= need:
                batches.scan(data)  # raises: it is not the read that cut it off
            position += end
            want = max(SCAN_BYTES, need)

    def _check_damage(self, offset: int) -> None:
        for damage in self.damages:
            if damage.first_lost <= offset < damage.next_good:
                raise CorruptLogError(str(damage), damage.first_lost, damage.next_good)

    def pass_damage(self, first_lost: int, position: int, why: str) -> tuple[int, int]:
        """Note what is lost from ``position`` on: offset and position of the next good batch.

        They are the segment's end where there is none.
        """
        rest = self.bytes_at(position, self.size - position)
        found = batches.find_batch(rest, 1, first_lost)
        after = batches.header(rest, found) if found >= 0 else None
        if after is None:
            self.add_damage(first_lost, self.next_offset, why)
            return self.next_offset, self.size
        self.add_damage(first_lost, after.base_offset, why)
        self.index.insert(after.base_offset, position + found)
        return after.base_offset, position + found

    def add_damage(self, first_lost: int, next_good: int, why: str) -> None:
        """Note offsets that cannot be read from here, and report them."""
        number, partition = self.directory.topic, self.directory.partition
        damage = Damage(number, partition, first_lost, next_good, why)
        self.damages.append(damage)
        self.directory.report(damage)


def _bytes_needed(data: bytes, at: int) -> int:
    """How many bytes the batch at ``at`` has, or must have before that can be told."""
    header = batches.header(data, at)
    return batches.HEADER_BYTES if header is None else header.size
