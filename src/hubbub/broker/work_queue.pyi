from collections.abc import Callable

from hubbub.broker.observer import Subscriber
from hubbub.broker.queue_log import QueueLog
from hubbub.broker.takers import Creditor
from hubbub.broker.work_item import Item
from hubbub.broker.work_round import Noting, Round
from hubbub.broker.work_settings import WorkQueueSettings

class Entry:
    """An item on lease: whoever has it settles it, gives it back or rejects it, once.

    ``offset`` is where it is stored (-1: nowhere), ``order`` its place in the queue, ``deliveries`` how
    often it was given back.
    """

    @property
    def queue(self) -> WorkQueue: ...
    @property
    def offset(self) -> int: ...
    @property
    def order(self) -> int: ...
    @property
    def expires_ms(self) -> int:
        """Unix time; -1: never."""
    @property
    def deliveries(self) -> int: ...
    def item(self) -> Item:
        """The message, read again where it is not in memory. Raises StorageError."""

class Taker(Creditor):
    """Somebody who takes from queues; native code overrides ``credit`` and ``deliver``."""

    subscriber: Subscriber | None

class OpenTaker(Taker):
    """A taker in Python."""

    @property
    def room(self) -> int:
        """How many more it takes right now."""
    def take(self, entry: Entry) -> None:
        """Take one. Never raises; it may settle it at once."""

class WorkQueue(Noting):
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
    def log(self) -> QueueLog | None:
        """Where it keeps what is persistent, if it is durable."""
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
    def settle(self, entry: Entry) -> int:
        """The entry is done with; ignored if it is already."""
    def give_back(self, entry: Entry, counts: bool) -> int:
        """Let it wait again in its old place; ``counts`` says whether that was a delivery."""
    def reject(self, entry: Entry) -> int:
        """Nobody can handle it: it is a dead letter."""
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
    def close(self) -> None:
        """The queue is gone, and what it holds with it."""
