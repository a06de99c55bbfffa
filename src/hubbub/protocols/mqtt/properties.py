"""Properties of MQTT 5 (section 2.2.2): which there are, where they may stand and what they hold."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub.protocols.mqtt.fields import Reader, binary, string, variable
from hubbub.protocols.mqtt.reasons import malformed, protocol_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class PacketType(IntEnum):
    """MQTT control packets (section 2.1.2), and the will, which has properties of its own."""

    WILL = 0
    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Property(IntEnum):
    """Property identifiers (section 2.2.2.2)."""

    PAYLOAD_FORMAT_INDICATOR = 0x01
    MESSAGE_EXPIRY_INTERVAL = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY_INTERVAL = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY_INTERVAL = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


Properties = dict[Property, Any]
"""Values by property; of User Property a list of pairs, in order (section 3.3.2.3.7)."""


class _Kind(NamedTuple):
    read: Callable[[Reader], Any]
    write: Callable[[Any], bytes]


_BYTE = _Kind(Reader.byte, lambda value: bytes([value]))
_TWO = _Kind(lambda reader: reader.integer(2), lambda value: value.to_bytes(2))
_FOUR = _Kind(lambda reader: reader.integer(4), lambda value: value.to_bytes(4))
_VARIABLE = _Kind(Reader.variable, variable)
_STRING = _Kind(Reader.string, string)
_BINARY = _Kind(Reader.binary, binary)
_PAIR = _Kind(
    lambda reader: (reader.string(), reader.string()),
    lambda pair: string(pair[0]) + string(pair[1]),
)

_P = PacketType
_ACKS = {_P.PUBACK, _P.PUBREC, _P.PUBREL, _P.PUBCOMP}
_MESSAGES = {_P.PUBLISH, _P.WILL}

# What a client may send and where: a server's own properties are no client's.
_FROM_CLIENTS: dict[Property, tuple[_Kind, set[PacketType]]] = {
    Property.PAYLOAD_FORMAT_INDICATOR: (_BYTE, _MESSAGES),
    Property.MESSAGE_EXPIRY_INTERVAL: (_FOUR, _MESSAGES),
    Property.CONTENT_TYPE: (_STRING, _MESSAGES),
    Property.RESPONSE_TOPIC: (_STRING, _MESSAGES),
    Property.CORRELATION_DATA: (_BINARY, _MESSAGES),
    Property.SUBSCRIPTION_IDENTIFIER: (_VARIABLE, {_P.SUBSCRIBE}),
    Property.SESSION_EXPIRY_INTERVAL: (_FOUR, {_P.CONNECT, _P.DISCONNECT}),
    Property.AUTHENTICATION_METHOD: (_STRING, {_P.CONNECT, _P.AUTH}),
    Property.AUTHENTICATION_DATA: (_BINARY, {_P.CONNECT, _P.AUTH}),
    Property.REQUEST_PROBLEM_INFORMATION: (_BYTE, {_P.CONNECT}),
    Property.WILL_DELAY_INTERVAL: (_FOUR, {_P.WILL}),
    Property.REQUEST_RESPONSE_INFORMATION: (_BYTE, {_P.CONNECT}),
    Property.REASON_STRING: (_STRING, _ACKS | {_P.DISCONNECT, _P.AUTH}),
    Property.RECEIVE_MAXIMUM: (_TWO, {_P.CONNECT}),
    Property.TOPIC_ALIAS_MAXIMUM: (_TWO, {_P.CONNECT}),
    Property.TOPIC_ALIAS: (_TWO, {_P.PUBLISH}),
    Property.USER_PROPERTY: (
        _PAIR,
        _MESSAGES | _ACKS | {_P.CONNECT, _P.SUBSCRIBE, _P.UNSUBSCRIBE, _P.DISCONNECT, _P.AUTH},
    ),
    Property.MAXIMUM_PACKET_SIZE: (_FOUR, {_P.CONNECT}),
}

_FLAGS = {
    Property.PAYLOAD_FORMAT_INDICATOR,
    Property.REQUEST_PROBLEM_INFORMATION,
    Property.REQUEST_RESPONSE_INFORMATION,
}
_NOT_ZERO = {
    Property.SUBSCRIPTION_IDENTIFIER,
    Property.RECEIVE_MAXIMUM,
    Property.MAXIMUM_PACKET_SIZE,
}

_WRITERS: dict[Property, Callable[[Any], bytes]] = {
    **{known: kind.write for known, (kind, _) in _FROM_CLIENTS.items()},
    Property.ASSIGNED_CLIENT_IDENTIFIER: string,
    Property.SERVER_KEEP_ALIVE: _TWO.write,
}


def read_properties(reader: Reader, packet: PacketType) -> Properties:
    """The properties that a packet, or its will, has next. Raises MqttError."""
    return _read(reader.part(reader.variable()), packet)


def decode_properties(encoded: bytes, packet: PacketType) -> Properties:
    """The same, of properties without their length."""
    return _read(Reader(encoded), packet)


def _read(inside: Reader, packet: PacketType) -> Properties:
    found: Properties = {}
    while inside.left:
        # [2.2.2.2] an identifier that is none, or has no place in this packet, is malformed.
        number = inside.variable()
        kind, packets = _FROM_CLIENTS.get(number, (None, ()))  # type: ignore[call-overload]
        if kind is None or packet not in packets:
            raise malformed(f"no property 0x{number:02X} in {packet.name}")
        known = Property(number)
        value = kind.read(inside)
        if known is Property.USER_PROPERTY:
            found.setdefault(known, []).append(value)
            continue
        if known in found:
            raise protocol_error(f"{known.name} stands twice")
        if (known in _FLAGS and value > 1) or (known in _NOT_ZERO and value == 0):
            raise protocol_error(f"{known.name} cannot be {value}")
        found[known] = value
    return found


def with_expiry(encoded: bytes, seconds: int) -> bytes:
    """Properties of a message, checked before, with what is left of its expiry [MQTT-3.3.2-6]."""
    first, after = _find(encoded, Property.MESSAGE_EXPIRY_INTERVAL)
    if first == after:
        return encoded
    expiry = encode_property(Property.MESSAGE_EXPIRY_INTERVAL, seconds)
    return encoded[:first] + expiry + encoded[after:]


def without_property(encoded: bytes, known: Property) -> bytes:
    """Properties, checked before, without this one."""
    first, after = _find(encoded, known)
    return encoded[:first] + encoded[after:]


def _find(encoded: bytes, wanted: Property) -> tuple[int, int]:
    """Where a property stands; an empty place at the end if it does not."""
    reader = Reader(encoded)
    while reader.left:
        first = len(encoded) - reader.left
        known = Property(reader.variable())
        _FROM_CLIENTS[known][0].read(reader)
        if known is wanted:
            return first, len(encoded) - reader.left
    return len(encoded), len(encoded)


def encode_identifiers(identifiers: Iterable[int]) -> bytes:
    """Subscription Identifiers, of which a PUBLISH may have several (section 3.3.2.3.8)."""
    return b"".join(
        encode_property(Property.SUBSCRIPTION_IDENTIFIER, identifier) for identifier in identifiers
    )


def write_properties(properties: Mapping[Property, Any]) -> bytes:
    """Properties with their length in front."""
    encoded = b"".join(encode_property(known, value) for known, value in properties.items())
    return variable(len(encoded)) + encoded


def encode_property(known: Property, value: Any) -> bytes:
    """One property; of User Property all pairs."""
    write = _WRITERS[known]
    if known is Property.USER_PROPERTY:
        return b"".join(bytes([known]) + write(pair) for pair in value)
    return bytes([known]) + write(value)
