from collections.abc import Callable, Iterator

from hubbub.broker.leases import Entry
from hubbub.broker.observer import Subscriber
from hubbub.broker.work_item import Item

class Taker:
    """Somebody who takes from queues; native code overrides ``credit`` and ``deliver``."""

    subscriber: Subscriber | None
    may_have: Callable[[Item], bool] | None
    """Asked before each delivery; None: it may have everything. Set before it joins a queue."""

class OpenTaker(Taker):
    """A taker in Python."""

    @property
    def room(self) -> int:
        """How many more it takes right now."""
    def take(self, entry: Entry) -> None:
        """Take one; it may settle it at once."""

class Takers:
    """Whose turn it is: equals take turns one by one, and higher priorities come first.

    With ``single`` the first who came is the only one until they leave.
    """

    def __init__(self, single: bool = False) -> None: ...
    def __iter__(self) -> Iterator[Taker]: ...
    @property
    def active(self) -> Taker | None:
        """Who is the only one to get anything, where that is so."""
    @property
    def count(self) -> int: ...
