"""Who is bound to whom: each binding once, found by its source and by its destination."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.protocols.amqp.exchanges import Exchange
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.tables import Table

    Destination = AmqpQueue | Exchange
    Identity = tuple[Exchange, Destination, bytes, bytes]

K = TypeVar("K")
V = TypeVar("V")


class Binding:
    """From an exchange to a queue or another exchange, with a routing key and arguments.

    ``fingerprint``: the arguments in an order of their own, encoded. Two bindings that differ in
    nothing else are two.
    """

    __slots__ = ("arguments", "destination", "fingerprint", "key", "source")

    def __init__(
        self,
        source: Exchange,
        destination: Destination,
        key: bytes,
        arguments: Table,
        fingerprint: bytes,
    ) -> None:
        self.source = source
        self.destination = destination
        self.key = key
        self.arguments = arguments
        self.fingerprint = fingerprint

    @property
    def identity(self) -> Identity:
        """What no two bindings share."""
        return self.source, self.destination, self.key, self.fingerprint

    @property
    def durable(self) -> bool:
        """Whether it comes back after a restart: as both its ends do."""
        return self.source.durable and self.destination.durable


class Bindings:
    """All bindings of a virtual host, the implicit ones of the default exchange not among them."""

    def __init__(self) -> None:
        self._all: dict[Identity, Binding] = {}
        self._from: dict[Exchange, dict[Binding, None]] = {}
        self._to: dict[Destination, dict[Binding, None]] = {}
        self._alternates: dict[str, dict[Exchange, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def get(self, identity: Identity) -> Binding | None:
        """The binding, if there is one."""
        return self._all.get(identity)

    def add(self, binding: Binding) -> None:
        """Note a new binding, and tell its source."""
        self._all[binding.identity] = binding
        self._from.setdefault(binding.source, {})[binding] = None
        self._to.setdefault(binding.destination, {})[binding] = None
        binding.source.matcher.add(binding)

    def remove(self, binding: Binding) -> None:
        """Forget a binding, and tell its source."""
        del self._all[binding.identity]
        _drop(self._from, binding.source, binding)
        _drop(self._to, binding.destination, binding)
        binding.source.matcher.remove(binding)

    def of_source(self, source: Exchange) -> tuple[Binding, ...]:
        """Those that lead away from an exchange."""
        return tuple(self._from.get(source, ()))

    def of_destination(self, destination: Destination) -> tuple[Binding, ...]:
        """Those that lead to a queue or an exchange."""
        return tuple(self._to.get(destination, ()))

    def exchange_declared(self, exchange: Exchange) -> None:
        """Note whose alternate an exchange names."""
        if exchange.alternate is not None:
            self._alternates.setdefault(exchange.alternate, {})[exchange] = None

    def exchange_deleted(self, exchange: Exchange) -> None:
        """Forget what ``exchange_declared`` noted."""
        if exchange.alternate is not None:
            _drop(self._alternates, exchange.alternate, exchange)

    def upstream(self, exchange: Exchange) -> Iterable[Exchange]:
        """The exchange and every other whose messages can come to it: whose routes it is part of."""
        found = {exchange: None}
        waiting = [exchange]
        while waiting:
            nearer = waiting.pop()
            sources = [binding.source for binding in self._to.get(nearer, ())]
            sources += self._alternates.get(nearer.name, ())
            for source in sources:
                if source not in found:
                    found[source] = None
                    waiting.append(source)
        return found


def _drop(index: dict[K, dict[V, None]], key: K, value: V) -> None:
    entries = index[key]
    del entries[value]
    if not entries:
        del index[key]
