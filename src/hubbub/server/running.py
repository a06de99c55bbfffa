"""Where a server says what it is bound to: the ready file, and the note of who runs here."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path


class Note(msgspec.Struct):
    """A server of this user."""

    pid: int
    listeners: dict[str, str]


def write_ready_file(path: Path, bound: dict[str, str]) -> None:
    """Write ``{"kafka": "127.0.0.1:9092", ...}``; whoever sees the file sees all of it.

    Raises OSError.
    """
    _write_whole(path, bound)


def note_path() -> Path:
    """Where the server of this user that started first is noted."""
    import platformdirs

    return platformdirs.user_state_path("hubbub", appauthor=False) / "running.json"


def running() -> dict[str, str]:
    """What the noted server is bound to, by listener; empty if none runs."""
    note = _read_note()
    return note.listeners if note and _is_alive(note.pid) else {}


def take_note(bound: dict[str, str]) -> None:
    """Note this process as the running server, unless another is noted and alive."""
    # Only a convenience for shells: no server fails to start for want of a home directory.
    with contextlib.suppress(OSError):
        if not running():
            note_path().parent.mkdir(parents=True, exist_ok=True)
            _write_whole(note_path(), Note(os.getpid(), bound))


def remove_note() -> None:
    """Undo ``take_note``."""
    note = _read_note()
    if note and note.pid == os.getpid():
        note_path().unlink(missing_ok=True)


def _read_note() -> Note | None:
    try:
        return msgspec.json.decode(note_path().read_bytes(), type=Note)
    except (OSError, msgspec.DecodeError):
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write_whole(path: Path, content: object) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(msgspec.json.encode(content) + b"\n")
    partial.replace(path)
