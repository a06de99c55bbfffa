"""The listeners there are: adding a protocol is one folder and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.broker import Broker
    from hubbub.server.connection import Listener


class Registration(NamedTuple):
    """Where a listener's class is and the port its clients expect."""

    module: str
    class_name: str
    default_port: int

    def make(self, broker: Broker, settings: Mapping[str, Any]) -> Listener:
        """The listener; its modules are imported now, not before."""
        listener: Listener = getattr(import_module(self.module), self.class_name)(broker, settings)
        return listener


LISTENERS: dict[str, Registration] = {
    "kafka": Registration("hubbub.protocols.kafka.listener", "KafkaListener", 9092),
    "redis": Registration("hubbub.protocols.redis.listener", "RedisListener", 6379),
    "bus": Registration("hubbub.protocols.bus.listener", "BusListener", 8221),
}
