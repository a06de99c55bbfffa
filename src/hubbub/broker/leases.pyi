from hubbub.broker.queue_log import QueueLog
from hubbub.broker.work_item import Item
from hubbub.broker.work_round import Noting

class Entry:
    """An item on lease: whoever has it settles it, gives it back or rejects it, once.

    ``offset`` is where it is stored (-1: nowhere), ``order`` its place in the queue, ``deliveries`` how
    often it was given back.
    """

    @property
    def queue(self) -> Lender: ...
    @property
    def offset(self) -> int: ...
    @property
    def order(self) -> int: ...
    @property
    def expires_ms(self) -> int:
        """Unix time; -1: never."""
    @property
    def deliveries(self) -> int: ...
    @property
    def redelivered(self) -> bool:
        """Whether somebody may have had it before, be it before a crash."""
    def item(self) -> Item:
        """The message, read again where it is not in memory. Raises StorageError."""

class Lender(Noting):
    """A queue, as far as those who have its entries need it."""

    @property
    def log(self) -> QueueLog | None:
        """Where it keeps what is persistent, if it is durable."""
    def settle(self, entry: Entry) -> int:
        """The entry is done with; ignored if it is already."""
    def give_back(self, entry: Entry, counts: bool) -> int:
        """Let it wait again in its old place; ``counts`` says whether that was a delivery."""
    def reject(self, entry: Entry) -> int:
        """Nobody can handle it: it is a dead letter."""

class Leases:
    """Entries that somebody has, in the order in which they were handed out."""
