"""Which clients of this listener are subscribed to what, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from hubbub.broker.observer import Observer


class ChannelTable:
    """Observers by the name they asked for; a name nobody wants any more is gone.

    The broker routes channels and patterns itself, and the table is what ``PUBSUB`` lists. Sharded
    channels are a name space of Redis alone, and the table is also their route.
    """

    def __init__(self) -> None:
        self._observers: dict[bytes, dict[Observer, None]] = {}

    def __len__(self) -> int:
        return len(self._observers)

    def add(self, name: bytes, observer: Observer) -> None:
        """Note that ``observer`` is subscribed to ``name``."""
        self._observers.setdefault(name, {})[observer] = None

    def remove(self, name: bytes, observer: Observer) -> None:
        """Undo ``add``."""
        observers = self._observers[name]
        del observers[observer]
        if not observers:
            del self._observers[name]

    def names(self) -> Collection[bytes]:
        """Every name that somebody is subscribed to."""
        return self._observers.keys()

    def observers(self, name: bytes) -> tuple[Observer, ...]:
        """Who is subscribed to exactly this name, in the order in which they came."""
        return tuple(self._observers.get(name, ()))

    def count(self, name: bytes) -> int:
        """How many are subscribed to exactly this name."""
        return len(self._observers.get(name, ()))
