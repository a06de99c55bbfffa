"""Who listens on a port, where Linux lets one see it: the first question after "port is taken"."""

from __future__ import annotations

import contextlib
from pathlib import Path

_LISTEN = "0A"  # TCP_LISTEN, as /proc/net/tcp writes the state


def port_owner(port: int) -> str:
    """``redis-server (pid 812)``; empty where nobody listens, or whoever does is hidden from us."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        # Processes end while one looks, and those of other users show nothing.
        with contextlib.suppress(OSError):
            if any(str(handle.readlink()) in sockets for handle in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes
