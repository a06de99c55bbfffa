from collections.abc import Callable

from hubbub.broker.timers import Timers
from hubbub.broker.work_item import Held
from hubbub.broker.work_queue import WorkQueue

class Noting:
    """Something that notes, to write and hand out when it is asked to."""

    failure: Exception | None
    """Why what was put since the flush before the last one could not be stored."""

class Round:
    """All who noted something since the last flush, which comes in the next turn at the latest.

    ``on_flushed`` is called at the end of those in which a stored dead letter was handed over, or
    after which there is more or less in memory than said to ``attend``.
    """

    def __init__(self, timers: Timers, on_flushed: Callable[[], None] | None = None) -> None: ...
    @property
    def held(self) -> Held:
        """The messages that are in memory."""
    @property
    def timers(self) -> Timers: ...
    def attend(self, low: int, high: int) -> None:
        """From ``low`` to ``high`` bytes in memory are nothing to speak of."""
    def take_buried(self) -> list[tuple[WorkQueue, int, int, list[WorkQueue]]]:
        """Stored dead letters since the last call: (queue, offset, size, where they were put)."""
    def flush(self) -> int:
        """Store what was noted, then deliver; what this brings up is carried out as well."""
