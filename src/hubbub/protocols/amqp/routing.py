"""Which queues a message goes to: from exchange to exchange, each once, in no circle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.amqp.arguments import comparables
from hubbub.protocols.amqp.carbon_copies import may_have_copies, routing_keys
from hubbub.protocols.amqp.exchanges import DEFAULT_EXCHANGE, Exchange
from hubbub.protocols.amqp.names import raw, text
from hubbub.protocols.amqp.properties import decode_headers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hubbub.protocols.amqp.arguments import Comparable
    from hubbub.protocols.amqp.bindings import Bindings
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.tables import Table

# Routing keys whose queues are remembered, over all exchanges of a virtual host: some tens of megabytes
# if each is of the longest, and more than a busy host publishes to. Beyond that all are forgotten.
MAX_CACHED = 100_000


class Routing:
    """The routes of one virtual host.

    ``exchanges`` and ``queues`` are its own, by name, and change as it does; whoever changes them or the
    bindings says so with ``changed``.
    """

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        queues: Mapping[str, AmqpQueue],
        bindings: Bindings,
    ) -> None:
        self._exchanges = exchanges
        self._queues = queues
        self._bindings = bindings
        self._cached = 0

    def route(self, exchange: Exchange, key: bytes, properties: bytes) -> tuple[AmqpQueue, ...]:
        """The queues of a message: the property flags and list are ``properties``.

        Raises: SyntaxFailure for headers that are none.
        """
        if may_have_copies(properties):
            headers = decode_headers(properties) or {}
            keys = routing_keys(key, headers)
            if len(keys) > 1:
                return self.route_to(exchange, keys, properties, headers)
        known = exchange.cache.get(key)
        if known is None:
            return self.route_to(exchange, (key,), properties)
        return known

    def route_to(
        self,
        exchange: Exchange,
        keys: Sequence[bytes],
        properties: bytes,
        headers: Table | None = None,
    ) -> tuple[AmqpQueue, ...]:
        """The queues of a message with these routing keys; ``headers``: as in ``properties``."""
        walk = _Walk(self._exchanges, self._queues, keys, properties, headers)
        walk.run(exchange)
        queues = tuple(walk.queues)
        if len(keys) == 1 and not walk.looked_at_headers:
            self._remember(exchange, keys[0], queues)
        return queues

    def changed(self, exchange: Exchange) -> None:
        """Messages of this exchange may go elsewhere now, and so those of whatever leads to it."""
        for each in self._bindings.upstream(exchange):
            self._cached -= len(each.cache)
            each.cache.clear()

    def queue_changed(self, name: str) -> None:
        """A queue came or went, which the default exchange finds by its name, and no other."""
        default = self._exchanges[DEFAULT_EXCHANGE]
        for each in self._bindings.upstream(default):
            if each is not default:
                self.changed(each)
        if default.cache.pop(raw(name), None) is not None:
            self._cached -= 1

    def _remember(self, exchange: Exchange, key: bytes, queues: tuple[AmqpQueue, ...]) -> None:
        if self._cached >= MAX_CACHED:
            for each in self._exchanges.values():
                each.cache.clear()
            self._cached = 0
        exchange.cache[key] = queues
        self._cached += 1


class _Walk:
    """One message's way through the exchanges."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        queues: Mapping[str, AmqpQueue],
        keys: Sequence[bytes],
        properties: bytes,
        headers: Table | None,
    ) -> None:
        self._exchanges = exchanges
        self._all_queues = queues
        self.keys = keys
        self._properties = properties
        self._headers = headers
        self._compared: dict[str, Comparable] | None = None
        self.queues: dict[AmqpQueue, None] = {}
        self.looked_at_headers = False

    def run(self, first: Exchange) -> None:
        """Find the queues."""
        seen = {first: None}
        waiting = [first]
        while waiting:
            for exchange in self._visit(waiting.pop()):
                if exchange not in seen:
                    seen[exchange] = None
                    waiting.append(exchange)

    @property
    def headers(self) -> Mapping[str, Comparable]:
        """See ``Routed``."""
        if self._compared is None:
            self._compared = comparables(self._decoded())
        return self._compared

    def _visit(self, exchange: Exchange) -> list[Exchange]:
        """Note the queues that an exchange finds; the exchanges that it finds."""
        if exchange.name == DEFAULT_EXCHANGE:
            return self._visit_default()
        if exchange.delayed is not None and exchange.delayed.takes(self._decoded()):
            self.queues[exchange.delayed.queue] = None
            return []
        found: list[Exchange] = []
        some = False
        for binding in exchange.matcher.match(self):
            some = True
            if isinstance(binding.destination, Exchange):
                found.append(binding.destination)
            else:
                self.queues[binding.destination] = None
        return found if some else self._alternate(exchange)

    def _visit_default(self) -> list[Exchange]:
        for key in self.keys:
            queue = self._all_queues.get(text(key))
            if queue is not None:
                self.queues[queue] = None
        return []

    def _alternate(self, exchange: Exchange) -> list[Exchange]:
        if exchange.alternate is None:
            return []
        alternate = self._exchanges.get(exchange.alternate)
        return [] if alternate is None else [alternate]

    def _decoded(self) -> Table:
        self.looked_at_headers = True
        if self._headers is None:
            self._headers = decode_headers(self._properties) or {}
        return self._headers
