"""One turn of the event loop: time moves, what is due fires, and what was written is sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hubbub.model.faults import contain

if TYPE_CHECKING:
    import asyncio

    from hubbub.broker.timers import Timers
    from hubbub.server.connection import Connection


class Turn:
    """Every entry from the loop calls ``begin``; the end of the turn follows by itself.

    Outboxes are flushed there, once, so that what many publishers sent meets in one write.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timers: Timers) -> None:
        self._loop = loop
        self._timers = timers
        self._ready: dict[Connection, None] = {}
        self._ending = False
        self._alarm: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Set the moment, fire what is due, and see to it that the turn ends."""
        self._timers.advance(self._loop.time(), time.time_ns() // 1_000_000)
        self._end_soon()

    def ready(self, connection: Connection) -> None:
        """Flush the connection's outbox at the end of this turn."""
        self._ready[connection] = None
        self._end_soon()

    def _end_soon(self) -> None:
        if not self._ending:
            self._ending = True
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        self._timers.advance(self._loop.time(), time.time_ns() // 1_000_000)
        self._ending = False
        ready, self._ready = self._ready, {}
        for connection in ready:
            contain(connection.flush)
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        due = self._timers.next_due()
        if due is None:
            return
        if due <= self._loop.time():
            self._end_soon()
        else:
            self._alarm = self._loop.call_at(due, self.begin)
