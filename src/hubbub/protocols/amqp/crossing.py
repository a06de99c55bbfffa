"""How what others publish comes to AMQP's queues.

To address A is published as to ``amq.topic`` with routing key A, to the fanout exchange named A, and
to the queue named A by the default exchange; a queue gets it once. Only the virtual host ``/`` has
part in it.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from hubbub.broker.observer import Subscriber
from hubbub.broker.publication import Lost
from hubbub.broker.work_item import Item
from hubbub.model.errors import HubbubError, InvalidAddressError, StorageError
from hubbub.protocols.amqp.addresses import COMMON_EXCHANGE, key_of, pattern_bound, pattern_named
from hubbub.protocols.amqp.deliveries import routing_size
from hubbub.protocols.amqp.exchanges import DEFAULT_EXCHANGE
from hubbub.protocols.amqp.inward import Inward
from hubbub.protocols.amqp.mapping import mark_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hubbub.broker.broker import Broker
    from hubbub.broker.publication import Durable
    from hubbub.model.message import Message
    from hubbub.model.pattern import Pattern
    from hubbub.protocols.amqp.bindings import Binding
    from hubbub.protocols.amqp.exchanges import Exchange
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.vhost import VirtualHost

logger = logging.getLogger(__name__)

_NO_EXPIRY = -1


class Crossing:
    """One virtual host's; it is told what is bound and unbound there."""

    def __init__(self, broker: Broker, reply_queues: Mapping[bytes, AmqpQueue]) -> None:
        self._broker = broker
        self._reply_queues = reply_queues
        self._vhost: VirtualHost | None = None
        self._wanted: Counter[Pattern] = Counter()
        self.inward = Inward(Subscriber("amqp", "queues", asks_later=True), self._arrived)

    def watch(self, vhost: VirtualHost) -> None:
        """Let the queues of this virtual host have what others publish."""
        self._vhost = vhost
        vhost.watcher = self
        for exchange in vhost.exchanges.values():
            self.exchange_added(exchange)
            for binding in vhost.bindings.of_source(exchange):
                self.bound(binding)
        for name in vhost.queues:
            self.declared(name)

    def bound(self, binding: Binding) -> None:
        """Something was bound to an exchange."""
        if binding.source.name == COMMON_EXCHANGE:
            self._want(pattern_bound(binding.source, binding.key))

    def unbound(self, binding: Binding) -> None:
        """Something was unbound."""
        if binding.source.name == COMMON_EXCHANGE:
            self._forget(pattern_bound(binding.source, binding.key))

    def exchange_added(self, exchange: Exchange) -> None:
        """An exchange was declared."""
        if exchange.type == "fanout":
            self.declared(exchange.name)

    def exchange_removed(self, exchange: Exchange) -> None:
        """And is deleted."""
        if exchange.type == "fanout":
            self.deleted(exchange.name)

    def declared(self, name: str) -> None:
        """A queue came, or a fanout exchange."""
        self._want(pattern_named(name))

    def deleted(self, name: str) -> None:
        """And is gone."""
        self._forget(pattern_named(name))

    def _want(self, pattern: Pattern | None) -> None:
        if pattern is not None:
            self._wanted[pattern] += 1
            if self._wanted[pattern] == 1:
                self._broker.observers.add(pattern, self.inward)

    def _forget(self, pattern: Pattern | None) -> None:
        if pattern is not None:
            self._wanted[pattern] -= 1
            if not self._wanted[pattern]:
                del self._wanted[pattern]
                self._broker.observers.remove(pattern, self.inward)

    def _arrived(self, message: Message, is_wanted_surely: bool) -> Sequence[Durable]:
        if self._vhost is None:
            return ()
        try:
            key = key_of(message.address)
            mark = mark_of(message, persistent=is_wanted_surely)
        except InvalidAddressError as error:
            logger.debug("amqp: %s: %s", message.address, error)
            return ()
        item = Item(
            message.value or b"",
            mark,
            message.timestamp_ms,
            _NO_EXPIRY if message.expiry_ms is None else message.expiry_ms,
            0,
            is_wanted_surely,
        )
        kept = [_kept(queue, item) for queue in self._queues(self._vhost, key, mark)]
        return [each for each in kept if each is not None] if is_wanted_surely else ()

    def _queues(self, vhost: VirtualHost, key: bytes, mark: bytes) -> Iterable[AmqpQueue]:
        """Where AMQP's own publishes to this address would come, each queue once."""
        reply_queue = self._reply_queues.get(key)
        if reply_queue is not None:
            return (reply_queue,)
        properties = mark[routing_size(mark) :]
        exchanges = [vhost.exchanges[COMMON_EXCHANGE], vhost.exchanges[DEFAULT_EXCHANGE]]
        named = vhost.exchanges.get(key.decode("utf-8", "surrogateescape"))
        if named is not None and named.type == "fanout":
            exchanges.append(named)
        found: dict[AmqpQueue, None] = {}
        for exchange in exchanges:
            found.update(dict.fromkeys(vhost.route(exchange, key, properties)))
        return found


def _kept(queue: AmqpQueue, item: Item) -> Durable | None:
    """Put a message; what its publisher has to wait for. Of what a full disk takes from it, it hears."""
    try:
        return queue.keep(item)
    except StorageError as error:
        return Lost(error)
    except HubbubError as error:  # what a queue refuses by its settings is its own affair
        logger.warning("amqp: queue %s: %s", queue.name, error)
        return None
