"""The AMQP listener: what its connections share."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from hubbub.broker.routes import NameCache
from hubbub.protocols.amqp.addresses import ExchangeNames
from hubbub.protocols.amqp.connection import PROTOCOL, AmqpConnection
from hubbub.protocols.amqp.contents import AmqpPublisher
from hubbub.protocols.amqp.crossing import Crossing
from hubbub.protocols.amqp.inward import AmqpOrigin
from hubbub.protocols.amqp.settings import parse_settings
from hubbub.protocols.amqp.vhost import VirtualHost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.session import Peer
    from hubbub.protocols.amqp.exchanges import Exchange
    from hubbub.protocols.amqp.queue import AmqpQueue

# The virtual host whose names are everybody's.
COMMON_VHOST = "/"


class AmqpListener:
    """One broker's AMQP. ``settings`` are those of ``hubbub.protocols.amqp.settings``.

    Raises:
        InvalidSettingsError: a setting that does not exist, or a value that it cannot have.
    """

    name = PROTOCOL
    COMMON_VHOST = COMMON_VHOST
    default_port = 5672

    def __init__(self, broker: Broker, settings: Mapping[str, Any] | None = None) -> None:
        self.broker = broker
        self.timers = broker.timers
        self.settings = parse_settings(settings or {})
        self.connections: set[AmqpConnection] = set()
        self.slow_consumers = 0
        self.is_memory_short = False
        self.reply_queues: dict[bytes, AmqpQueue] = {}
        self.crossing = Crossing(broker, self.reply_queues)
        self.publisher = AmqpPublisher(broker, AmqpOrigin(), self.crossing.inward)
        self.vhosts = {
            name: VirtualHost(broker, name, _queue_deleted) for name in self.settings.vhosts
        }
        if COMMON_VHOST in self.vhosts:
            self.crossing.watch(self.vhosts[COMMON_VHOST])
        broker.work_queues.memory.on_pressure = self._memory_is_short

    def session(self, peer: Peer, outbox: Outbox) -> AmqpConnection:
        """The state machine of a new connection."""
        connection = AmqpConnection(self, peer, outbox)
        self.connections.add(connection)
        return connection

    def may_log_in(self, user: str, password: str) -> bool:
        """Whether there is such a user."""
        given, known = (user, password), (self.settings.default_user, self.settings.default_pass)
        same = [
            hmac.compare_digest(
                one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape")
            )
            for one, other in zip(given, known, strict=True)
        ]
        return all(same)

    def names_of(self, vhost: VirtualHost, exchange: Exchange) -> NameCache | None:
        """What an exchange's routing keys are to others; None where that is nothing."""
        if exchange.names is None and vhost.name == COMMON_VHOST:
            exchange.names = NameCache(self.broker.routes, ExchangeNames(exchange))
        return exchange.names

    def _memory_is_short(self, is_short: bool) -> None:
        self.is_memory_short = is_short
        for connection in tuple(self.connections):
            connection.memory_is_short(is_short)


def _queue_deleted(queue: AmqpQueue) -> None:
    """Tell those who took from it."""
    for consumer in tuple(queue.members):
        consumer.cancelled()
