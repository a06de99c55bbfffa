"""What MQTT wants back with a message that waited in a queue or was retained.

The QoS and the RETAIN flag that it was published with, by whom (for No Local), and its properties in
the order in which they stood. One byte of flags, the client identifier with its length in front,
and the properties without theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hubbub.log.records import MARK_HEADER
from hubbub.protocols.mqtt.fields import Reader, string
from hubbub.protocols.mqtt.reasons import MqttError

if TYPE_CHECKING:
    from hubbub.model.message import Message

_RETAIN = 4


class Mark(NamedTuple):
    """``properties`` of None: of a message that another protocol published."""

    qos: int
    retain: bool
    publisher: str
    properties: bytes | None


# Other protocols leave the QoS to whoever subscribes.
FOREIGN = Mark(2, retain=False, publisher="", properties=None)


def encode_mark(qos: int, retain: bool, publisher: str, properties: bytes) -> bytes:
    """The mark of a message as it was published."""
    return bytes([qos | (_RETAIN if retain else 0)]) + string(publisher) + properties


def decode_mark(encoded: bytes) -> Mark:
    """Inverse of ``encode_mark``; of bytes that are no mark, that of another protocol's message."""
    reader = Reader(encoded)
    try:
        flags = reader.byte()
        return Mark(flags & 3, bool(flags & _RETAIN), reader.string(), reader.rest())
    except MqttError:
        return FOREIGN


def mark_of(message: Message) -> Mark:
    """The mark of a message that waited in a queue."""
    for name, content in message.headers:
        if name == MARK_HEADER and content is not None:
            return decode_mark(content)
    return FOREIGN
