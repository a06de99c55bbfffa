from collections.abc import Callable

from hubbub.broker.timers import Timers
from hubbub.broker.work_item import Held

class Noting:
    """Something that notes, to write and hand out when it is asked to."""

    failure: Exception | None
    """Why what was put since the flush before the last one could not be stored."""

class Round:
    """All who noted something since the last flush, which comes in the next turn at the latest.

    ``on_flushed`` is called at the end of each.
    """

    def __init__(self, timers: Timers, on_flushed: Callable[[], None] | None = None) -> None: ...
    @property
    def held(self) -> Held:
        """The messages that are in memory."""
    @property
    def timers(self) -> Timers: ...
    def flush(self) -> int:
        """Store what was noted, then deliver; what this brings up is carried out as well."""
