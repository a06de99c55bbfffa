"""The directory of one partition: which file is what.

``<20 digits>.log`` is the segment that begins with this offset, ``.index`` beside it what is known
of it. ``start`` holds the first offset that is kept, where that is not a segment's first. ``synced``
holds an offset before which all is known to be on the disk: it is written after each sync and not
synced itself, so it may be old, never wrong. It tells bytes that were lost from bytes that never
were acknowledged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.log.files import TEMPORARY_SUFFIX, read_file, write_file
from hubbub.log.hashing import crc32c

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hubbub.log.damage import Damage
    from hubbub.log.files import FileSystem

LOG_SUFFIX = ".log"
INDEX_SUFFIX = ".index"
_OFFSET_DIGITS = 20
_NUMBER_BYTES = 8
_CHECKSUM_BYTES = 4


class PartitionDirectory:
    """Names and small files of partition ``partition`` of topic ``topic``."""

    def __init__(
        self,
        filesystem: FileSystem,
        path: Path,
        quarantine: Path,
        topic: int,
        partition: int,
        report: Callable[[Damage], None],
    ) -> None:
        self.filesystem = filesystem
        self.path = path
        self.topic = topic
        self.partition = partition
        self.report = report  # called with what is found to be lost
        self._quarantine = quarantine

    def log_path(self, base_offset: int) -> Path:
        """The segment's batches."""
        return self.path / f"{base_offset:0{_OFFSET_DIGITS}}{LOG_SUFFIX}"

    def index_path(self, base_offset: int) -> Path:
        """The segment's index."""
        return self.path / f"{base_offset:0{_OFFSET_DIGITS}}{INDEX_SUFFIX}"

    def base_offsets(self) -> list[int]:
        """Of all segments, rising."""
        return sorted(
            int(name.removesuffix(LOG_SUFFIX))
            for name in self.filesystem.names(self.path)
            if name.endswith(LOG_SUFFIX) and name.removesuffix(LOG_SUFFIX).isdigit()
        )

    def remove_leftovers(self) -> None:
        """Remove half-written files, and indexes whose segment is gone."""
        names = set(self.filesystem.names(self.path))
        for name in names:
            orphan = name.endswith(INDEX_SUFFIX) and (
                name.removesuffix(INDEX_SUFFIX) + LOG_SUFFIX not in names
            )
            if orphan or name.endswith(TEMPORARY_SUFFIX):
                self.filesystem.unlink(self.path / name)

    def sync(self) -> None:
        """Make the names durable."""
        self.filesystem.sync_directory(self.path)

    def read_start(self) -> int:
        """The stored start, 0 if none."""
        return self._read_number(self.path / "start")

    def write_start(self, offset: int) -> None:
        """Store the start, durably."""
        write_file(self.filesystem, self.path / "start", _encode(offset), sync=True)

    def read_synced(self) -> int:
        """An offset before which all was synced."""
        return self._read_number(self.path / "synced")

    def write_synced(self, offset: int) -> None:
        """Note that all before ``offset`` is synced."""
        self.filesystem.overwrite(self.path / "synced", _encode(offset))

    def write_index(self, base_offset: int, data: bytes) -> None:
        """Store a segment's index; not synced."""
        write_file(self.filesystem, self.index_path(base_offset), data, sync=False)

    def remove_segment(self, base_offset: int) -> None:
        """Remove a segment and its index. Not synced."""
        self.filesystem.unlink(self.index_path(base_offset))
        self.filesystem.unlink(self.log_path(base_offset))

    def set_aside(self, base_offset: int) -> None:
        """Move a segment into quarantine; its index goes."""
        self.filesystem.rename(self.log_path(base_offset), self._quarantine_path(base_offset))
        self.filesystem.unlink(self.index_path(base_offset))
        self.filesystem.sync_directory(self._quarantine)

    def quarantine_bytes(self, offset: int, data: bytes) -> None:
        """Keep bytes that are about to be cut from where ``offset`` would be."""
        write_file(self.filesystem, self._quarantine_path(offset), data, sync=True)

    def _quarantine_path(self, offset: int) -> Path:
        taken = set(self.filesystem.names(self._quarantine))
        stem = f"{self.topic}-{self.partition}-{offset:0{_OFFSET_DIGITS}}"
        count = 0
        while f"{stem}-{count}{LOG_SUFFIX}" in taken:
            count += 1
        return self._quarantine / f"{stem}-{count}{LOG_SUFFIX}"

    def _read_number(self, path: Path) -> int:
        data = read_file(self.filesystem, path)
        if data is None or len(data) != _NUMBER_BYTES + _CHECKSUM_BYTES:
            return 0
        offset = int.from_bytes(data[:_NUMBER_BYTES], "big")
        return offset if _encode(offset) == data else 0


def _encode(offset: int) -> bytes:
    number = offset.to_bytes(_NUMBER_BYTES, "big")
    return number + crc32c(number).to_bytes(_CHECKSUM_BYTES, "big")
