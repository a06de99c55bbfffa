"""What MQTT wants back with a message that waited in a queue or was retained.

The QoS and the RETAIN flag that it was published with, by whom (for No Local), and its properties in
the order in which they stood. One byte of flags, the client identifier with its length in front,
and the properties without theirs.
"""

from __future__ import annotations

from typing import NamedTuple

from hubbub.protocols.mqtt.fields import Reader, string

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
    """Inverse of ``encode_mark``; without a mark, that of another protocol's message."""
    if not encoded:
        return FOREIGN
    reader = Reader(encoded)
    flags = reader.byte()
    return Mark(flags & 3, bool(flags & _RETAIN), reader.string(), reader.rest())
