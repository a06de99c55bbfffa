"""Messages on their way from hubbub's threads to the program's."""

from __future__ import annotations

from collections import deque
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.bus.message import Message

# Live messages that wait for a slow handler; what comes beyond that is dropped, and counted.
MAX_WAITING = 65_536


class Mailbox:
    """A bounded queue. Whoever finds it empty leaves word how to be told of the next message."""

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self.dropped = 0
        self.closed = False
        self._limit = limit
        self._lock = Lock()
        self._messages: deque[Message] = deque()
        self._waiters: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> bool:
        """Add a message and tell one of those who wait; False if there was no room for it."""
        with self._lock:
            if self.closed or len(self._messages) >= self._limit:
                self.dropped += not self.closed
                return False
            self._messages.append(message)
            wake = self._waiters.popleft() if self._waiters else None
        if wake is not None:
            wake()
        return True

    def take(self) -> Message | None:
        """The oldest message, if any."""
        with self._lock:
            return self._messages.popleft() if self._messages else None

    def when_ready(self, call: Callable[[], None]) -> None:
        """Call ``call`` once, when there is something to take or nothing will ever be."""
        with self._lock:
            waits = not self._messages and not self.closed
            if waits:
                self._waiters.append(call)
        if not waits:
            call()

    def forget(self, call: Callable[[], None]) -> bool:
        """Undo ``when_ready``; False if the call was made already."""
        with self._lock:
            if call not in self._waiters:
                return False
            self._waiters.remove(call)
            return True

    def pass_on(self) -> None:
        """Tell the next one who waits, in place of one who was told and then gave up."""
        with self._lock:
            wake = self._waiters.popleft() if self._messages and self._waiters else None
        if wake is not None:
            wake()

    def get(self, timeout: float | None = None) -> Message | None:
        """The oldest message, waited for; None once closed. Raises TimeoutError."""
        deadline = None if timeout is None else monotonic() + timeout
        while True:
            message = self.take()
            if message is not None or self.closed:
                return message
            ready = Event()
            wake = ready.set
            self.when_ready(wake)
            left = None if deadline is None else max(0.0, deadline - monotonic())
            if not ready.wait(left) and self.forget(wake):
                raise TimeoutError(f"no message within {timeout} s")

    def clear(self) -> None:
        """Forget what waits."""
        with self._lock:
            self._messages.clear()

    def close(self) -> None:
        """Take nothing more in, and let nobody wait."""
        with self._lock:
            self.closed = True
            waiters, self._waiters = self._waiters, deque()
        for wake in waiters:
            wake()
