"""Control packets but for PUBLISH and its acknowledgements, whose hot path is native.

A packet is decoded from its body, what follows the fixed header (MQTT 5 section 2.1). Decoders
raise MqttError for what breaks a rule of the specification.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub.protocols.mqtt.fields import Reader, binary, variable
from hubbub.protocols.mqtt.properties import (
    PacketType,
    Properties,
    Property,
    decode_properties,
    read_properties,
    without_property,
    write_properties,
)
from hubbub.protocols.mqtt.reasons import RETURN_CODES, MqttError, Reason, malformed, protocol_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MQTT_3_1 = 3
MQTT_3_1_1 = 4
MQTT_5 = 5

# Topic filters that one packet may have: carrying it out takes some tenths of a second.
MAX_FILTERS = 5000

_NAMES = {MQTT_3_1: b"MQIsdp", MQTT_3_1_1: b"MQTT", MQTT_5: b"MQTT"}

PINGRESP = bytes([PacketType.PINGRESP << 4, 0])


class Will(NamedTuple):
    """What CONNECT says of the Will Message (section 3.1.2.5).

    ``properties`` are those that are published with it, encoded as they stood.
    """

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    delay: int  # seconds
    properties: bytes


class Connect(NamedTuple):
    """CONNECT (section 3.1)."""

    version: int
    client_id: str
    clean_start: bool
    keep_alive: int  # seconds; 0: none
    will: Will | None
    user_name: str | None
    password: bytes | None
    properties: Properties


class TopicFilter(NamedTuple):
    """One entry of SUBSCRIBE: a topic filter and its Subscription Options (section 3.8.3.1)."""

    text: bytes
    qos: int
    no_local: bool
    retain_as_published: bool
    retain_handling: int


class Subscribe(NamedTuple):
    """SUBSCRIBE (section 3.8)."""

    packet_id: int
    filters: tuple[TopicFilter, ...]
    identifier: int | None


class Unsubscribe(NamedTuple):
    """UNSUBSCRIBE (section 3.10)."""

    packet_id: int
    filters: tuple[bytes, ...]


class Disconnect(NamedTuple):
    """DISCONNECT (section 3.14)."""

    reason: int
    properties: Properties


def level_of(body: bytes) -> int:
    """The Protocol Version that a CONNECT begins with, 0 if there is none."""
    reader = Reader(body)
    try:
        reader.binary()
        return reader.byte()
    except MqttError:
        return 0


def has_return_code(reason: Reason) -> bool:
    """Whether CONNACK had a word for it before version 5."""
    return reason in RETURN_CODES


# --- what clients send --------------------------------------------------------------------------


def decode_connect(body: bytes) -> Connect:
    """CONNECT; a version that there is none of is refused before anything behind it is looked at."""
    reader = Reader(body)
    name, version = reader.binary(), reader.byte()
    if name not in _NAMES.values():
        raise malformed("no protocol of this name")  # [MQTT-3.1.2-1]
    if _NAMES.get(version) != name:
        raise MqttError(Reason.UNSUPPORTED_PROTOCOL_VERSION, f"no version {version}")
    flags = reader.byte()
    keep_alive = reader.integer(2)
    _check_connect_flags(flags, version)
    properties: Properties = {}
    if version == MQTT_5:
        properties = read_properties(reader, PacketType.CONNECT)
    client_id = reader.string()
    will = _read_will(reader, flags, version) if flags & 0x04 else None
    user_name = reader.string() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    reader.finish()
    return Connect(
        version, client_id, bool(flags & 0x02), keep_alive, will, user_name, password, properties
    )


def _check_connect_flags(flags: int, version: int) -> None:
    if flags & 0x01 and version != MQTT_3_1:
        raise malformed("the reserved flag of CONNECT is 0")  # [MQTT-3.1.2-3]
    has_will, qos = flags & 0x04, flags >> 3 & 3
    if qos == 3:
        raise malformed("a will has QoS 0, 1 or 2")  # [MQTT-3.1.2-12]
    if not has_will and flags & 0x38:
        raise malformed("flags of a will, and no will")  # [MQTT-3.1.2-11, MQTT-3.1.2-13]
    # [MQTT-3.1.2-22] of 3.1.1; version 5 has passwords without user names.
    if version == MQTT_3_1_1 and flags & 0x40 and not flags & 0x80:
        raise malformed("a password, and no user name")


def _read_will(reader: Reader, flags: int, version: int) -> Will:
    delay, encoded = 0, b""
    if version == MQTT_5:
        encoded = reader.part(reader.variable()).rest()
        properties = decode_properties(encoded, PacketType.WILL)
        check_response_topic(properties)
        delay = properties.get(Property.WILL_DELAY_INTERVAL, 0)
        encoded = without_property(encoded, Property.WILL_DELAY_INTERVAL)
    topic = reader.string().encode()
    payload = reader.binary()
    return Will(topic, payload, flags >> 3 & 3, bool(flags & 0x20), delay, encoded)


def decode_subscribe(body: bytes, version: int) -> Subscribe:
    """SUBSCRIBE."""
    reader = Reader(body)
    packet_id = _packet_id(reader)
    identifier = None
    if version == MQTT_5:
        properties = read_properties(reader, PacketType.SUBSCRIBE)
        identifier = properties.get(Property.SUBSCRIPTION_IDENTIFIER)
    filters = []
    while reader.left:
        text = reader.string().encode()
        filters.append(_topic_filter(text, reader.byte(), version))
        _check_count(filters)
    if not filters:
        raise protocol_error("a SUBSCRIBE without a topic filter")  # [MQTT-3.8.3-2]
    return Subscribe(packet_id, tuple(filters), identifier)


def _check_count(filters: Sequence[object]) -> None:
    if len(filters) > MAX_FILTERS:
        raise MqttError(Reason.QUOTA_EXCEEDED, "too many topic filters at once")


def _topic_filter(text: bytes, options: int, version: int) -> TopicFilter:
    qos = options & 3
    # [MQTT-3.8.3-4], and [MQTT-3.8.3-5] the reserved bits: before version 5 all but the QoS.
    if qos == 3 or options & (0xC0 if version == MQTT_5 else 0xFC):
        raise malformed("no such subscription options")
    handling = options >> 4 & 3
    if handling == 3:
        raise protocol_error("no such Retain Handling")
    return TopicFilter(text, qos, bool(options & 4), bool(options & 8), handling)


def decode_unsubscribe(body: bytes, version: int) -> Unsubscribe:
    """UNSUBSCRIBE."""
    reader = Reader(body)
    packet_id = _packet_id(reader)
    if version == MQTT_5:
        read_properties(reader, PacketType.UNSUBSCRIBE)
    filters = []
    while reader.left:
        filters.append(reader.string().encode())
        _check_count(filters)
    if not filters:
        raise protocol_error("an UNSUBSCRIBE without a topic filter")  # [MQTT-3.10.3-2]
    return Unsubscribe(packet_id, tuple(filters))


def _packet_id(reader: Reader) -> int:
    packet_id = reader.integer(2)
    if packet_id == 0:
        raise malformed("a Packet Identifier is not 0")  # [MQTT-2.2.1-3]
    return packet_id


def decode_acknowledgement(body: bytes, packet: PacketType, version: int) -> tuple[int, int]:
    """Packet Identifier and reason of PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7)."""
    reader = Reader(body)
    packet_id, reason = _packet_id(reader), 0
    if version == MQTT_5 and reader.left:
        reason = reader.byte()
        if reader.left:
            read_properties(reader, packet)
        if reason not in _ACKNOWLEDGED[packet]:
            raise protocol_error(f"{packet.name} has no reason 0x{reason:02X}")
    reader.finish()
    return packet_id, reason


_TAKEN_OR_NOT = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
_ACKNOWLEDGED = {
    PacketType.PUBACK: _TAKEN_OR_NOT,
    PacketType.PUBREC: _TAKEN_OR_NOT,
    PacketType.PUBREL: {0x00, 0x92},
    PacketType.PUBCOMP: {0x00, 0x92},
}

# What a client may say in DISCONNECT (section 3.14.2.1).
_CLIENT_LEAVES = {0x00, 0x04, *range(0x80, 0x84), 0x90, *range(0x93, 0x9A)}


def decode_disconnect(body: bytes, version: int) -> Disconnect:
    """DISCONNECT."""
    reader = Reader(body)
    reason, properties = 0, {}
    if version == MQTT_5 and reader.left:
        reason = reader.byte()
        if reason not in _CLIENT_LEAVES:
            raise protocol_error(f"DISCONNECT has no reason 0x{reason:02X}")
        if reader.left:
            properties = read_properties(reader, PacketType.DISCONNECT)
    reader.finish()
    return Disconnect(reason, properties)


# --- what the server sends ----------------------------------------------------------------------


def encode_connack(
    version: int,
    reason: Reason,
    *,
    session_present: bool = False,
    properties: Mapping[Property, Any] | None = None,
) -> bytes:
    """CONNACK (section 3.2)."""
    # Before 3.1.1 the first byte is reserved.
    present = session_present and version != MQTT_3_1
    if version == MQTT_5:
        return _packet(
            PacketType.CONNACK, bytes([present, reason]) + write_properties(properties or {})
        )
    return _packet(PacketType.CONNACK, bytes([present, RETURN_CODES[reason]]))


def encode_suback(version: int, packet_id: int, reasons: Sequence[int]) -> bytes:
    """SUBACK (section 3.9); before version 5 there is one word for all failures."""
    if version != MQTT_5:
        reasons = [min(reason, 0x80) for reason in reasons]
    return _answer(PacketType.SUBACK, version, packet_id, reasons)


def encode_unsuback(version: int, packet_id: int, reasons: Sequence[int]) -> bytes:
    """UNSUBACK (section 3.11); before version 5 it has no reasons."""
    return _answer(PacketType.UNSUBACK, version, packet_id, reasons if version == MQTT_5 else ())


def _answer(packet: PacketType, version: int, packet_id: int, reasons: Sequence[int]) -> bytes:
    properties = b"\0" if version == MQTT_5 else b""
    return _packet(packet, packet_id.to_bytes(2) + properties + bytes(reasons))


def encode_acknowledgement(packet: PacketType, packet_id: int, reason: int = 0) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP; a reason only to a client of version 5."""
    body = packet_id.to_bytes(2) + (bytes([reason]) if reason else b"")
    return bytes([packet << 4 | (0x02 if packet is PacketType.PUBREL else 0), len(body)]) + body


def encode_disconnect(reason: Reason) -> bytes:
    """DISCONNECT of a server (section 3.14), which only version 5 has."""
    return _packet(PacketType.DISCONNECT, bytes([reason]))


def encode_publish(
    version: int,
    topic: bytes,
    payload: bytes,
    properties: bytes = b"",
    *,
    qos: int = 0,
    retain: bool = False,
    duplicate: bool = False,
    packet_id: int = 0,
) -> bytes:
    """PUBLISH (section 3.3). ``properties`` are encoded, without their length."""
    head = PacketType.PUBLISH << 4 | duplicate << 3 | qos << 1 | retain
    parts = [binary(topic)]
    if qos:
        parts.append(packet_id.to_bytes(2))
    if version == MQTT_5:
        parts += (variable(len(properties)), properties)
    parts.append(payload)
    size = sum(map(len, parts))
    return b"".join((bytes([head]), variable(size), *parts))


def _packet(packet: PacketType, body: bytes) -> bytes:
    return bytes([packet << 4]) + variable(len(body)) + body


# Properties up to this size are remembered once they were read: 1,024 of them are half a megabyte.
_WORTH_REMEMBERING = 512


def publish_properties(encoded: bytes) -> tuple[int, bytes]:
    """The Topic Alias of these properties of a PUBLISH, 0 if none, and the properties without it."""
    read = _publish_properties
    return read(encoded) if len(encoded) <= _WORTH_REMEMBERING else read.__wrapped__(encoded)


@lru_cache(maxsize=1024)
def _publish_properties(encoded: bytes) -> tuple[int, bytes]:
    properties = decode_properties(encoded, PacketType.PUBLISH)
    check_response_topic(properties)
    alias = properties.get(Property.TOPIC_ALIAS)
    if alias is None:
        return 0, encoded
    if alias == 0:
        raise MqttError(Reason.TOPIC_ALIAS_INVALID, "a Topic Alias is not 0")  # [MQTT-3.3.2-8]
    return alias, without_property(encoded, Property.TOPIC_ALIAS)


def check_response_topic(properties: Properties) -> None:
    """[MQTT-3.3.2-14] no wildcards, and [MQTT-4.7.3-1] at least one character."""
    topic = properties.get(Property.RESPONSE_TOPIC)
    if topic is not None and (not topic or "+" in topic or "#" in topic):
        raise protocol_error("a Response Topic is a topic name")
