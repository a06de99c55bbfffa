import asyncio

from hubbub.broker.timers import Timers

class Flushable:
    """What has something to send at the end of a turn."""

class Turn:
    """Every entry from the loop calls ``begin``; the end of the turn follows by itself.

    Outboxes are flushed there, once, so that what many publishers sent meets in one write.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timers: Timers) -> None: ...
    @property
    def timers(self) -> Timers: ...
    def begin(self) -> None:
        """Set the moment, fire what is due, and see to it that the turn ends."""
    def ready(self, connection: Flushable) -> None:
        """Flush the connection's outbox at the end of this turn."""
