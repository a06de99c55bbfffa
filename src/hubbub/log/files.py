"""The one door to the disk: everything the log does with files goes through ``FileSystem``.

Files belong to their owner alone (they hold messages), and nothing here survives power loss before
``sync`` of the file, or ``sync_directory`` for names, has returned.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from hubbub.model.errors import DataDirectoryLockedError

if TYPE_CHECKING:
    from pathlib import Path

_FILE_MODE = 0o600
_DIRECTORY_MODE = 0o700

# macOS: fsync leaves the data in the drive's cache, F_FULLFSYNC does not.
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)


class FileSystem:
    """The operating system's files; every method raises OSError. Handles are descriptors."""

    def make_directory(self, path: Path) -> bool:
        """Make ``path``, whose parent exists, and return true, unless it is there."""
        try:
            path.mkdir(mode=_DIRECTORY_MODE)
        except OSError:
            if path.is_dir():  # also where the parent is not ours to write to
                return False
            raise
        return True

    def names(self, directory: Path) -> list[str]:
        """What the directory holds."""
        return os.listdir(directory)  # noqa: PTH208 - names only, and without a Path for each

    def open_append(self, path: Path) -> int:
        """Open for ``append`` and ``read_at``, made if need be."""
        flags = os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        return os.open(path, flags, _FILE_MODE)

    def open_read(self, path: Path) -> int:
        """Open for ``read_at``. Raises FileNotFoundError."""
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self, handle: int) -> None:
        """Let go of the file."""
        os.close(handle)

    def append(self, handle: int, data: bytes) -> None:
        """Write all of ``data`` at the end; after an error part of it may be there."""
        written = os.write(handle, data)
        while written < len(data):
            written += os.write(handle, memoryview(data)[written:])

    def read_at(self, handle: int, size: int, position: int) -> bytes:
        """``size`` bytes from ``position``, fewer only at the end of the file."""
        data = os.pread(handle, size, position)
        if len(data) in {0, size}:
            return data
        parts = [data]
        missing = size - len(data)
        while missing and parts[-1]:
            parts.append(os.pread(handle, missing, position + size - missing))
            missing -= len(parts[-1])
        return b"".join(parts)

    def size(self, handle: int) -> int:
        """The length of the file."""
        return os.fstat(handle).st_size

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to its first ``size`` bytes."""
        os.ftruncate(handle, size)

    def sync(self, handle: int) -> None:
        """Return when the contents and the length are on the disk."""
        if _FULL_SYNC is None:
            os.fdatasync(handle)
        else:
            fcntl.fcntl(handle, _FULL_SYNC)

    def overwrite(self, path: Path, data: bytes) -> None:
        """Write ``data`` over the start of the file, made if need be. Not synced."""
        handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, _FILE_MODE)
        try:
            os.pwrite(handle, data, 0)
        finally:
            os.close(handle)

    def rename(self, path: Path, target: Path) -> None:
        """Give the file another name, in place of whatever had it."""
        path.replace(target)

    def unlink(self, path: Path) -> None:
        """Remove the file, if it is there."""
        path.unlink(missing_ok=True)

    def remove_directory(self, path: Path) -> None:
        """Remove the empty directory."""
        path.rmdir()

    def sync_directory(self, path: Path) -> None:
        """Return when the names in the directory are on the disk."""
        handle = self.open_directory(path)
        try:
            self.sync_names(handle)
        finally:
            self.close(handle)

    def open_directory(self, path: Path) -> int:
        """Open for ``sync_names``."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def sync_names(self, handle: int) -> None:
        """As ``sync_directory``, which may find no descriptor free."""
        os.fsync(handle)

    def free_space(self, path: Path) -> int:
        """Bytes that this process could still write where ``path`` is."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    def lock(self, path: Path) -> int:
        """Lock the file until the handle is closed or the process ends.

        Raises: DataDirectoryLockedError if another holds it.
        """
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise DataDirectoryLockedError(f"{path.parent} is in use by another process") from error
        return handle


def read_file(filesystem: FileSystem, path: Path) -> bytes | None:
    """The whole file, None if there is none."""
    try:
        handle = filesystem.open_read(path)
    except FileNotFoundError:
        return None
    try:
        return filesystem.read_at(handle, filesystem.size(handle), 0)
    finally:
        filesystem.close(handle)


def write_file(filesystem: FileSystem, path: Path, data: bytes, *, sync: bool) -> None:
    """Put ``data`` in place of the file, whole or not at all.

    ``sync`` makes it durable; without, a crash may leave any bytes, so they had better have a
    checksum.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    filesystem.unlink(temporary)
    handle = filesystem.open_append(temporary)
    try:
        filesystem.append(handle, data)
        if sync:
            filesystem.sync(handle)
    finally:
        filesystem.close(handle)
    filesystem.rename(temporary, path)
    if sync:
        filesystem.sync_directory(path.parent)


# What ends so is half written: recovery throws it away.
TEMPORARY_SUFFIX = ".tmp"
