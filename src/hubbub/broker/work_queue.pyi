from collections.abc import Callable

from hubbub.broker.leases import Entry, Lender
from hubbub.broker.queue_log import QueueLog
from hubbub.broker.takers import Taker
from hubbub.broker.work_item import Item
from hubbub.broker.work_round import Round
from hubbub.broker.work_settings import WorkQueueSettings

class WorkQueue(Lender):
    """Messages in the order in which they came, each for one taker."""

    on_dead: Callable[[Entry, str], None] | None
    """Gets what is "rejected", "expired", too much ("maxlen") or back too often ("delivery_limit"),
    before it is settled here; what it puts into other queues is stored before."""
    on_consumers_gone: Callable[[], None] | None
    """The last taker has left."""

    held_most: int
    """Bytes of stored messages that it keeps in memory while they wait, and as many on lease."""

    def __init__(
        self,
        name: str,
        settings: WorkQueueSettings,
        work_round: Round,
        attributes: bytes = b"",
        log: QueueLog | None = None,
        on_grown: Callable[[WorkQueue], None] | None = None,
    ) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> WorkQueueSettings: ...
    @property
    def attributes(self) -> bytes: ...
    @property
    def deleted(self) -> bool: ...
    @property
    def ready(self) -> int:
        """Messages that wait."""
    @property
    def ready_bytes(self) -> int:
        """Of the values of what waits."""
    @property
    def unsettled(self) -> int:
        """Messages on lease."""
    @property
    def takers(self) -> list[Taker]:
        """Those of higher priorities first."""
    @property
    def active(self) -> Taker | None:
        """The only one to get anything, where that is so."""
    def put(self, item: Item) -> int:
        """Add an item, at the next flush; 0 if the queue is full and refuses it, else 1."""
    def has_room(self, count: int, size: int) -> bool:
        """Whether so many messages of ``size`` bytes in all would be taken, if nobody takes others."""
    def get(self) -> Entry | None:
        """Lease the first of what waits, whoever else wants it."""
    def join(self, taker: Taker, priority: int = 0) -> None:
        """Let ``taker`` have its share from the next flush on."""
    def leave(self, taker: Taker) -> None:
        """Give ``taker`` nothing more; what it has is still its own to settle or to give back."""
    def wake(self) -> int:
        """A taker has room again: look at the next flush."""
    def purge(self) -> int:
        """Forget what waits; how many that were."""
    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once all that was put and settled survives power loss, or with the failure.

        What is not stored at all is as safe as it will be.
        """
    def page_out(self, most: int) -> None:
        """Let go of stored messages that wait until so many bytes of them are in memory."""
    def rewrite(self, limit: int) -> bool:
        """Store some messages from before ``limit`` anew; whether there were any left to be.

        Raises: StorageError.
        """
    def settle_stored(self, offset: int, size: int) -> None:
        """A dead letter, of a value of ``size`` bytes, is safe where it is now."""
    def rest(self) -> None:
        """The broker stops: note what was delivered, for ``redelivered`` to know. Raises StorageError."""
    def close(self) -> None:
        """The queue is gone, and what it holds with it."""
