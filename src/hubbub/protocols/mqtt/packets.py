"""PUBLISH packets made for one client: to be kept until they are acknowledged, or its own alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from hubbub.protocols.mqtt import codec
from hubbub.protocols.mqtt.mapping import properties_of, remaining_seconds, spelled
from hubbub.protocols.mqtt.properties import (
    Property,
    encode_identifiers,
    encode_property,
    with_expiry,
)

if TYPE_CHECKING:
    from hubbub.model.message import Message
    from hubbub.protocols.mqtt.consumer import QueueConsumer
    from hubbub.protocols.mqtt.deliveries import Match
    from hubbub.protocols.mqtt.marks import Mark


# Topic Aliases that a connection has at most, and how long the names are that they stand for: 256 KiB.
MAX_ALIASES = 1024
MAX_ALIAS_BYTES = 256


class Client(NamedTuple):
    """What a client said of itself in CONNECT that decides what it is sent."""

    version: int
    receive_maximum: int
    maximum_packet_size: int | None = None
    topic_alias_maximum: int = 0


@dataclass(slots=True, eq=False)
class Sent:
    """A message on its way. ``offset`` and ``lease`` are of one that a queue handed out."""

    qos: int
    message: Message | None = None
    mark: Mark | None = None
    match: Match | None = None
    retain: bool = False
    consumer: QueueConsumer | None = None
    offset: int = -1
    lease: int = -1

    @property
    def is_given_back(self) -> bool:
        """Whether the queue is to hand it out again."""
        return self.consumer is not None and self.lease < 0

    def give_back(self) -> None:
        """The queue has it again; only the Packet Identifier is kept for it."""
        self.message = self.mark = self.match = None
        self.lease = -1


class Packets:
    """Makes the packets of one connection."""

    __slots__ = ("_aliases", "_client")

    def __init__(self, client: Client) -> None:
        self._client = client
        self._aliases: dict[bytes, int] = {}

    def publish(
        self, sent: Sent, packet_id: int, now_ms: int, most: int, *, duplicate: bool
    ) -> bytes | None:
        """The packet; None if the message has expired, or is more than ``most`` or the client takes.

        What was sent once does not expire any more: only the client may end it [MQTT-4.3.3-7].
        """
        message = sent.message
        if message is None or (not duplicate and message.is_expired(now_ms)):
            return None
        topic = name = spelled(message.address)
        if not topic:
            return None
        properties = b""
        if self._client.version == codec.MQTT_5:
            name, properties = self._alias(topic)
            properties += _properties(sent, message, now_ms)
        packet = codec.encode_publish(
            self._client.version,
            name,
            message.value or b"",
            properties,
            qos=sent.qos,
            retain=sent.retain,
            duplicate=duplicate,
            packet_id=packet_id,
        )
        if len(packet) > min(self._client.maximum_packet_size or most, most):
            if name:
                self._aliases.pop(topic, None)  # which the client has not heard of
            return None
        return packet

    def _alias(self, topic: bytes) -> tuple[bytes, bytes]:
        """The Topic Name to send, and the Topic Alias property beside it (section 3.3.2.3.4)."""
        if not self._client.topic_alias_maximum:
            return topic, b""
        alias = self._aliases.get(topic)
        if alias is not None:
            return b"", encode_property(Property.TOPIC_ALIAS, alias)
        most = min(self._client.topic_alias_maximum, MAX_ALIASES)
        if len(self._aliases) >= most or len(topic) > MAX_ALIAS_BYTES:
            return topic, b""
        alias = self._aliases[topic] = len(self._aliases) + 1
        return topic, encode_property(Property.TOPIC_ALIAS, alias)


def _properties(sent: Sent, message: Message, now_ms: int) -> bytes:
    identifiers = b"" if sent.match is None else encode_identifiers(sent.match.identifiers)
    mark = sent.mark
    if mark is None or mark.properties is None:
        return identifiers + properties_of(message, now_ms)
    if message.expiry_ms is None:
        return identifiers + mark.properties
    return identifiers + with_expiry(mark.properties, remaining_seconds(message, now_ms))
