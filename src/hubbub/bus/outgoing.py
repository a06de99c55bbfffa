"""Frames on their way from the threads that make calls to the one that sends them."""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import TYPE_CHECKING

from hubbub.bus.errors import ClosedError, ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Callable

# What may wait while the server is slow or gone; who publishes more waits until there is room.
MAX_UNSENT_BYTES = 32 * 1024 * 1024
# The number of what is not answered, and worth nothing on another connection.
NOTICE = 0


class Outgoing:
    """A bounded queue of (number of the call, frame), which wakes its reader once per batch."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._room = Condition()
        self._frames: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._woken = False
        self._closed = False

    def add(self, number: int, frame: bytes, timeout: float) -> None:
        """Queue a frame, waiting ``timeout`` seconds for room. Raises ConnectionLostError, ClosedError."""
        with self._room:
            if not self._room.wait_for(self._has_room, timeout):
                raise ConnectionLostError(f"nothing could be sent for {timeout:g} s")
            if self._closed:
                raise ClosedError("the broker is closed")
            self._frames.append((number, frame))
            self._bytes += len(frame)
            wake, self._woken = not self._woken, True
        if wake:
            self._wake()

    def take(self) -> list[bytes]:
        """All frames, which are the caller's to send."""
        with self._room:
            frames = [frame for _, frame in self._frames]
            self._frames.clear()
            self._bytes = 0
            self._woken = False
            self._room.notify_all()
        return frames

    def drop_notices(self) -> None:
        """Forget what meant a connection that is no more."""
        with self._room:
            self._frames = deque(pair for pair in self._frames if pair[0] != NOTICE)
            self._bytes = sum(len(frame) for _, frame in self._frames)

    def calls(self) -> set[int]:
        """The calls that are not sent yet."""
        with self._room:
            return {number for number, _ in self._frames}

    def close(self) -> None:
        """Take nothing more in."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def _has_room(self) -> bool:
        return self._closed or self._bytes < MAX_UNSENT_BYTES
