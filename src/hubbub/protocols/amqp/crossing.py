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
from hubbub.broker.work_queue import Item
from hubbub.model.address import from_opaque
from hubbub.model.errors import HubbubError, InvalidAddressError
from hubbub.model.pattern import Exact
from hubbub.protocols.amqp.inward import Inward
from hubbub.protocols.amqp.mapping import mark_of
from hubbub.protocols.amqp.addresses import COMMON_EXCHANGE, key_of, pattern_of

if TYPE_CHECKING:
    from hubbub.broker.broker import Broker
    from hubbub.model.message import Message
    from hubbub.model.pattern import Pattern
    from hubbub.protocols.amqp.vhost import VirtualHost

logger = logging.getLogger(__name__)

_NO_EXPIRY = -1


class Crossing:
    """One virtual host's; it is told what is bound and unbound there."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._vhost: VirtualHost | None = None
        self._wanted: Counter[Pattern] = Counter()
        self.inward = Inward(Subscriber("amqp", "queues"), self._arrived)

    def watch(self, vhost: VirtualHost) -> None:
        """Let the queues of this virtual host have what others publish."""
        self._vhost = vhost
        vhost.watch(self)

    def bound(self, exchange: str, key: bytes) -> None:
        """Something was bound to an exchange."""
        if exchange == COMMON_EXCHANGE:
            self._want(_topic_pattern(key))

    def unbound(self, exchange: str, key: bytes) -> None:
        """Something was unbound."""
        if exchange == COMMON_EXCHANGE:
            self._forget(_topic_pattern(key))

    def declared(self, name: str) -> None:
        """A queue, or a fanout exchange, was declared."""
        self._want(_name_pattern(name))

    def deleted(self, name: str) -> None:
        """And is deleted."""
        self._forget(_name_pattern(name))

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

    def _arrived(self, message: Message, is_wanted_surely: bool) -> None:
        if self._vhost is None:
            return
        try:
            key = key_of(message.address)
            mark = mark_of(message, persistent=is_wanted_surely)
        except InvalidAddressError as error:
            logger.debug("amqp: %s: %s", message.address, error)
            return
        item = Item(
            message.value or b"",
            mark,
            message.timestamp_ms,
            _NO_EXPIRY if message.expiry_ms is None else message.expiry_ms,
            0,
            is_wanted_surely,
        )
        for queue in self._vhost.queues_for(key, mark):
            try:
                queue.put(item)
            except HubbubError as error:
                logger.warning("amqp: queue %s: %s", queue.name, error)


def _topic_pattern(key: bytes) -> Pattern | None:
    try:
        return pattern_of(key)
    except InvalidAddressError:
        return None  # which nothing of another protocol matches


def _name_pattern(name: str) -> Pattern | None:
    try:
        return Exact(from_opaque(name.encode("utf-8", "surrogateescape")))
    except InvalidAddressError:
        return None
