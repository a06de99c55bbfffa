"""The engine that keeps partitions in files below one directory.

``lock`` is locked while the engine is open, ``format`` names the layout, ``topics/N/P`` is partition
P of topic number N, ``quarantine`` keeps what recovery had to cut. Names of topics are nowhere.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from hubbub.log.commit import DiskSync
from hubbub.log.directory import PartitionDirectory
from hubbub.log.files import FileSystem, read_file, write_file
from hubbub.log.partition import DiskPartition
from hubbub.model.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from hubbub.log.damage import Damage
    from hubbub.log.seam import Sync
    from hubbub.model.settings import TopicSettings

logger = logging.getLogger(__name__)

_FORMAT = b"hubbub 1\n"

# A topic's directory while its files are being deleted; a start after a crash goes on with that.
_DELETED_SUFFIX = ".deleted"


class DiskLog:
    """See ``Log``.

    Raises:
        DataDirectoryLockedError: another process has the directory.
        StorageError: the directory cannot be used, or a newer version has written it.
    """

    def __init__(self, directory: Path, filesystem: FileSystem | None = None) -> None:
        self.on_dirty: Callable[[], None] = _nothing
        self.damages: list[Damage] = []  # found by recovery and by reads
        self._files = filesystem or FileSystem()
        self._directory = directory
        self._topics_path = directory / "topics"
        self._quarantine_path = directory / "quarantine"
        self._topics: dict[int, dict[int, DiskPartition]] = {}
        self._dirty: dict[DiskPartition, None] = {}
        try:
            for path in [*reversed(directory.parents), directory]:
                if self._files.make_directory(path):
                    self._files.sync_directory(path.parent)
            self._lock = self._files.lock(directory / "lock")
        except OSError as error:
            raise _unusable(error) from error
        try:
            self._prepare()
        except BaseException:
            self._files.close(self._lock)
            raise

    def open(self, number: int, partition: int, settings: TopicSettings) -> DiskPartition:
        """See ``Log.open``. Raises StorageError."""
        partitions = self._topics.setdefault(number, {})
        found = partitions.get(partition)
        if found is not None:
            found.settings = settings
            return found
        path = self._topics_path / str(number) / str(partition)
        try:
            self._make_directory(path.parent)
            self._make_directory(path)
            directory = PartitionDirectory(
                self._files, path, self._quarantine_path, number, partition, self._report
            )
            opened = partitions[partition] = DiskPartition(directory, settings, self._mark_dirty)
        except OSError as error:
            raise _unusable(error) from error
        return opened

    def remove(self, number: int) -> None:
        """See ``Log.remove``. What the disk refuses to delete is deleted by a later start."""
        for partition in self._topics.pop(number, {}).values():
            partition.abandon()
            self._dirty.pop(partition, None)
        path = self._topics_path / str(number)
        deleted = path.with_name(path.name + _DELETED_SUFFIX)
        with suppress(OSError):
            self._files.rename(path, deleted)
            self._files.sync_directory(self._topics_path)
            self._delete(deleted)

    def retain(self, numbers: Collection[int]) -> None:
        """See ``Log.retain``. What the disk refuses to delete is deleted by a later start."""
        newest = max(numbers, default=0)
        with suppress(OSError):
            for name in self._files.names(self._topics_path):
                # Only what this engine has named, and nothing newer than the caller knows of.
                number = int(name) if name.isascii() and name.isdigit() else newest
                if number < newest and number not in numbers and number not in self._topics:
                    self.remove(number)

    def begin_sync(self) -> Sync | None:
        """See ``Log.begin_sync``."""
        dirty = [partition for partition in self._dirty if partition.is_unsynced]
        self._dirty.clear()
        if not dirty:
            return None
        return DiskSync([(partition.begin_sync(), partition.finish_sync) for partition in dirty])

    def sizes(self, number: int) -> dict[int, int]:
        """See ``Log.sizes``."""
        return {index: log.size for index, log in self._topics.get(number, {}).items()}

    def close(self) -> None:
        """See ``Log.close``. No sync may be under way."""
        partitions = [log for topic in self._topics.values() for log in topic.values()]
        # All of them: those whose topics never ask for a sync get theirs now.
        self._dirty.update(dict.fromkeys(log for log in partitions if log.is_unsynced))
        sync = self.begin_sync()
        if sync is not None:
            sync.run()
            sync.note()
            sync.finish()
        for log in partitions:
            log.close()
        self._topics.clear()
        self._files.close(self._lock)

    def _mark_dirty(self, partition: DiskPartition) -> None:
        is_first = not self._dirty
        self._dirty[partition] = None
        if is_first:
            self.on_dirty()

    def _report(self, damage: Damage) -> None:
        logger.error("%s", damage)
        self.damages.append(damage)

    def _prepare(self) -> None:
        try:
            self._check_format()
            self._make_directory(self._topics_path)
            self._make_directory(self._quarantine_path)
            for name in self._files.names(self._topics_path):
                if name.endswith(_DELETED_SUFFIX):
                    self._delete(self._topics_path / name)
        except OSError as error:
            raise _unusable(error) from error

    def _check_format(self) -> None:
        path = self._directory / "format"
        found = read_file(self._files, path)
        if found is None:
            write_file(self._files, path, _FORMAT, sync=True)
        elif found != _FORMAT:
            shown = found[:40].decode("ascii", "replace").strip()
            raise StorageError(
                f"{self._directory} has the format {shown!r}; this version knows "
                f"{_FORMAT.decode().strip()!r} only"
            )

    def _make_directory(self, path: Path) -> None:
        if self._files.make_directory(path):
            self._files.sync_directory(path.parent)

    def _delete(self, path: Path) -> None:
        for partition in self._files.names(path):
            for name in self._files.names(path / partition):
                self._files.unlink(path / partition / name)
            self._files.remove_directory(path / partition)
        self._files.remove_directory(path)


def _unusable(error: OSError) -> StorageError:
    return StorageError(f"the data directory cannot be used: {error}")


def _nothing() -> None:
    """Nobody listens yet."""
