"""A disk in memory that loses power: what was synced is there afterwards, the rest may be.

Crash states are sampled per file and per name: of contents that were not synced any 512-byte sectors
may have reached the disk, of names any changes whose directory was not synced, in no order between
files. Calls can fail: the N-th of a kind, once or from then on.
"""

from __future__ import annotations

import errno
from collections import Counter
from typing import TYPE_CHECKING

from hubbub.log.files import FileSystem
from hubbub.model.errors import DataDirectoryLockedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECTOR = 512


class Node:
    """A file: what its readers see, and what the disk holds for certain."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.durable = bytes(data)
        self.failed_sync = False  # its dirty pages were dropped and marked clean


class SimulatedDisk(FileSystem):
    def __init__(self, files: dict[str, Node | None] | None = None) -> None:
        self._names: dict[str, Node | None] = dict(files or {"/": None})  # None: directory
        self._durable_names = dict(self._names)
        self._pending: list[tuple[str, Node | None, str | None]] = []  # (new, node, old name)
        self._handles: dict[int, Node] = {}
        self._directories: dict[int, Path] = {}  # those of the handles that are open on one
        self._next_handle = 3
        self._locked: dict[int, str] = {}
        self.free = 1 << 40
        self.lies = False  # sync returns and does nothing
        self.watch: Callable[[], object] | None = None  # called before each change
        self.calls: Counter[str] = Counter()
        self._faults: dict[str, tuple[range, int]] = {}

    # --- faults -------------------------------------------------------------------------------

    def fail(self, kind: str, nth: int, code: int, times: int = 1) -> None:
        """Let calls of ``kind`` fail, ``times`` of them from the ``nth`` from now on, from 1."""
        first = self.calls[kind] + nth
        self._faults[kind] = (range(first, first + times), code)

    def heal(self) -> None:
        self._faults.clear()

    def _call(self, kind: str) -> None:
        if self.watch is not None and kind != "read":
            self.watch()
        self.calls[kind] += 1
        calls, code = self._faults.get(kind, (range(0), 0))
        if self.calls[kind] in calls:
            raise OSError(code, errno.errorcode[code])

    # --- crashes ------------------------------------------------------------------------------

    def crash(self, rng) -> SimulatedDisk:
        """One state that the disk may be in if power is lost now."""
        names = dict(self._durable_names)
        for new, node, old in self._sampled_names(rng):
            if old is not None:
                names.pop(old, None)
            if new != old:
                names[new] = node
        files = {
            path: None if node is None else Node(_contents(node, rng))
            for path, node in names.items()
            if all(parent in names for parent in _parents(path))
        }
        return SimulatedDisk(files)

    def kill(self) -> SimulatedDisk:
        """The disk as a process finds it that starts after this one was killed: nothing is lost yet."""
        copies: dict[int, Node] = {}

        def copy(node: Node | None) -> Node | None:
            if node is None:
                return None
            if id(node) not in copies:
                copies[id(node)] = Node(node.data)
                copies[id(node)].durable = node.durable
                copies[id(node)].failed_sync = node.failed_sync
            return copies[id(node)]

        survivor = SimulatedDisk({name: copy(node) for name, node in self._names.items()})
        survivor._durable_names = {name: copy(node) for name, node in self._durable_names.items()}
        survivor._pending = [(new, copy(node), old) for new, node, old in self._pending]
        return survivor

    def _sampled_names(self, rng):
        mode = rng.randrange(4)
        if mode == 0:
            return []
        if mode == 1:
            return self._pending
        if mode == 2:
            return self._pending[: rng.randint(0, len(self._pending))]
        return [change for change in self._pending if rng.random() < 0.5]

    # --- the files ----------------------------------------------------------------------------

    def _change(self, new: str, node: Node | None, old: str | None = None) -> None:
        """The name ``old`` becomes ``new``; the same one twice stands for an unlink."""
        if old is not None:
            del self._names[old]
        if new != old:
            self._names[new] = node
        self._pending.append((new, node, old))

    def make_directory(self, path: Path) -> bool:
        self._call("make_directory")
        if str(path) in self._names:
            return False
        if str(path.parent) not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no parent", str(path))
        self._change(str(path), None)
        return True

    def names(self, directory: Path) -> list[str]:
        if str(directory) not in self._names:
            raise FileNotFoundError(errno.ENOENT, "no directory", str(directory))
        prefix = f"{directory}/"
        below = [name[len(prefix) :] for name in self._names if name.startswith(prefix)]
        return [name for name in below if "/" not in name]

    def open_append(self, path: Path) -> int:
        self._call("open")
        if str(path) not in self._names:
            self._change(str(path), Node())
        return self.open_read(path)

    def open_read(self, path: Path) -> int:
        node = self._names.get(str(path))
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "no file", str(path))
        self._next_handle += 1
        self._handles[self._next_handle] = node
        return self._next_handle

    @property
    def open_handles(self) -> int:
        return len(self._handles)

    def close(self, handle: int) -> None:
        del self._handles[handle]
        self._directories.pop(handle, None)
        self._locked.pop(handle, None)

    def append(self, handle: int, data: bytes) -> None:
        node = self._handles[handle]
        try:
            self._call("append")
        except OSError:
            node.data += data[: len(data) // 2]
            raise
        node.data += data

    def read_at(self, handle: int, size: int, position: int) -> bytes:
        self._call("read")
        return bytes(self._handles[handle].data[position : position + size])

    def size(self, handle: int) -> int:
        return len(self._handles[handle].data)

    def truncate(self, handle: int, size: int) -> None:
        self._call("truncate")
        del self._handles[handle].data[size:]

    def sync(self, handle: int) -> None:
        node = self._handles[handle]
        try:
            self._call("sync")
        except OSError:
            node.failed_sync = True
            raise
        if not self.lies and not node.failed_sync:
            node.durable = bytes(node.data)

    def overwrite(self, path: Path, data: bytes) -> None:
        handle = self.open_append(path)
        try:
            self._call("overwrite")
            self._handles[handle].data[: len(data)] = data
        finally:
            self.close(handle)

    def rename(self, path: Path, target: Path) -> None:
        self._call("rename")
        old, new = str(path), str(target)
        self._change(new, self._names[old], old)
        for below in [name for name in self._names if name.startswith(f"{old}/")]:
            self._change(new + below[len(old) :], self._names[below], below)

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        if str(path) in self._names:
            self._change(str(path), None, str(path))

    def remove_directory(self, path: Path) -> None:
        self._call("unlink")
        if self.names(path):
            raise OSError(errno.ENOTEMPTY, "not empty", str(path))
        self._change(str(path), None, str(path))

    def open_directory(self, path: Path) -> int:
        self._call("open_directory")
        self._next_handle += 1
        self._handles[self._next_handle] = Node()
        self._directories[self._next_handle] = path
        return self._next_handle

    def sync_names(self, handle: int) -> None:
        path = self._directories[handle]
        self._call("sync_directory")
        if self.lies:
            return
        left = []
        for new, node, old in self._pending:
            if str(path) not in {_parent(new), _parent(old or new)}:
                left.append((new, node, old))
                continue
            if old is not None:
                self._durable_names.pop(old, None)
            if new != old:
                self._durable_names[new] = node
        self._pending = left

    def free_space(self, path: Path) -> int:
        return self.free

    def lock(self, path: Path) -> int:
        if str(path) in self._locked.values():
            raise DataDirectoryLockedError(str(path))
        handle = self.open_append(path)
        self._locked[handle] = str(path)
        return handle


def _parent(name: str) -> str:
    return name.rpartition("/")[0] or "/"


def _parents(name: str) -> list[str]:
    found = []
    while name != "/":
        name = _parent(name)
        found.append(name)
    return found


def _contents(node: Node, rng) -> bytes:
    """What the disk may hold of a file."""
    if node.data == node.durable:
        return node.durable
    mode = rng.randrange(5)
    if mode == 0:
        return node.durable
    if mode == 1 and not node.failed_sync:
        return bytes(node.data)
    size = rng.randint(*sorted((len(node.durable), len(node.data))))
    longest = max(len(node.durable), len(node.data))
    old = node.durable.ljust(longest, b"\0")
    new = bytes(node.data).ljust(longest, b"\0")
    if mode == 2:
        return new[:size]
    return b"".join(
        (new if rng.random() < (0.9 if mode == 3 else 0.5) else old)[at : at + SECTOR]
        for at in range(0, size, SECTOR)
    )[: max(size, 0)]
