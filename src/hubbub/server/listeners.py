"""The listeners there are: adding a protocol, or WebSocket to one, is one line here."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.broker import Broker
    from hubbub.server.connection import Listener


class Registration(NamedTuple):
    """Where a listener's class is, the port its clients expect, and what may be set."""

    module: str
    class_name: str
    default_port: int
    settings: tuple[str, ...] = ()

    def make(self, broker: Broker, settings: Mapping[str, Any]) -> Listener:
        """The listener; its modules are imported now, not before."""
        listener: Listener = getattr(import_module(self.module), self.class_name)(broker, settings)
        return listener


class OverWebSocket(NamedTuple):
    """A second way in to a listener, whose sessions share what those of the first have."""

    protocol: str  # the listener's name
    default_port: int
    subprotocols: tuple[str, ...]  # what a client offers, in the order of preference
    settings: tuple[str, ...] = ("origins", "max_frame_size")


LISTENERS: dict[str, Registration | OverWebSocket] = {
    "kafka": Registration(
        "hubbub.protocols.kafka.listener", "KafkaListener", 9092, ("advertised", "node_id")
    ),
    "redis": Registration(
        "hubbub.protocols.redis.listener", "RedisListener", 6379, ("requirepass", "maxclients")
    ),
    "nats": Registration(
        "hubbub.protocols.nats.listener",
        "NatsListener",
        4222,
        (
            "user",
            "password",
            "token",
            "max_payload",
            "max_control_line",
            "max_subscriptions",
            "max_pending",
            "ping_interval",
            "ping_max",
            "auth_timeout",
        ),
    ),
    "mqtt": Registration(
        "hubbub.protocols.mqtt.listener",
        "MqttListener",
        1883,
        (
            "user",
            "password",
            "receive_maximum",
            "topic_alias_maximum",
            "max_inflight_messages",
            "max_queued_messages",
            "max_packet_size",
            "max_subscriptions",
            "max_sessions",
            "max_retained_messages",
            "max_retained_bytes",
            "connect_timeout",
            "persistent_client_expiration",
            "sys_interval",
        ),
    ),
    # mosquitto's port; mqttv3.1 is what clients of MQTT 3.1 offer.
    "mqtt-ws": OverWebSocket("mqtt", 9001, ("mqtt", "mqttv3.1")),
    "amqp": Registration(
        "hubbub.protocols.amqp.listener",
        "AmqpListener",
        5672,
        (
            "default_user",
            "default_pass",
            "vhosts",
            "heartbeat",
            "frame_max",
            "channel_max",
            "max_message_size",
            "handshake_timeout",
        ),
    ),
    "bus": Registration("hubbub.protocols.bus.listener", "BusListener", 8221),
}
