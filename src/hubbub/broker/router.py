"""Address -> who is interested: exact addresses, wildcards and globs behind one cached look-up."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Generic, TypeVar

from hubbub.broker.trie import Trie
from hubbub.model.address import to_opaque
from hubbub.model.pattern import Exact, Wildcard

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.model.address import Address
    from hubbub.model.pattern import Glob, Pattern

V = TypeVar("V")

# Addresses whose routes are remembered; reply inboxes are used once, so the cache must not grow
# with them. 64 Ki routes of ordinary addresses take about 10 MB; long ones are looked up each time.
MAX_CACHED_ROUTES = 65_536
MAX_CACHED_LENGTH = 256


class Router(Generic[V]):
    """Values by pattern: observers in one instance, the topics that capture in another.

    A value is found once for each pattern it is under, exact ones first, the others in the order
    they were added.
    """

    def __init__(self) -> None:
        self._order = count()
        self._exact: dict[Address, dict[V, int]] = {}
        self._wildcards: Trie[V] = Trie()
        self._globs: dict[Glob, dict[V, int]] = {}
        self._routes: dict[Address, tuple[V, ...]] = {}
        self._watchers: list[Callable[[Pattern], None]] = []

    def watch(self, call: Callable[[Pattern], None]) -> None:
        """Call ``call`` with each pattern that a value is added under or removed from."""
        self._watchers.append(call)

    def add(self, pattern: Pattern, value: V) -> None:
        """Send what matches ``pattern`` to ``value``, once however often it is added."""
        if isinstance(pattern, Exact):
            self._exact.setdefault(pattern.address, {}).setdefault(value, next(self._order))
        elif isinstance(pattern, Wildcard):
            self._wildcards.add(pattern, value, next(self._order))
        else:
            self._globs.setdefault(pattern, {}).setdefault(value, next(self._order))
        self._changed(pattern)

    def remove(self, pattern: Pattern, value: V) -> None:
        """Undo ``add``; nothing happens if it was not there."""
        if isinstance(pattern, Exact):
            values = self._exact.get(pattern.address, {})
            values.pop(value, None)
            if not values:
                self._exact.pop(pattern.address, None)
        elif isinstance(pattern, Wildcard):
            self._wildcards.remove(pattern, value)
        elif pattern in self._globs:
            self._globs[pattern].pop(value, None)
            if not self._globs[pattern]:
                del self._globs[pattern]
        self._changed(pattern)

    def route(self, address: Address) -> tuple[V, ...]:
        """Everyone interested in ``address``."""
        found = self._routes.get(address)
        if found is None:
            found = self.match(address)
            if len(self._routes) >= MAX_CACHED_ROUTES:
                self._routes.clear()
            if len(address) <= MAX_CACHED_LENGTH:
                self._routes[address] = found
        return found

    def match(self, address: Address) -> tuple[V, ...]:
        """As ``route``, found anew and not remembered: for those who remember more than that."""
        found = (*self._exact.get(address, ()), *self._by_pattern(address))
        # Whoever is interested for several reasons is told once.
        return found if len(found) < 2 else tuple(dict.fromkeys(found))

    def _changed(self, pattern: Pattern) -> None:
        if isinstance(pattern, Exact):
            self._routes.pop(pattern.address, None)
        else:
            self._routes.clear()
        for call in self._watchers:
            call(pattern)

    def _by_pattern(self, address: Address) -> list[V]:
        found = self._wildcards.match(address)
        if self._globs:
            name = to_opaque(address)
            for glob, values in self._globs.items():
                if glob.matches_name(name):
                    found.extend((order, value) for value, order in values.items())
        if len(found) > 1:
            found.sort(key=lambda pair: pair[0])
        return [value for _, value in found]
