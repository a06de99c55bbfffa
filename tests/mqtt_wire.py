"""MQTT 3.1, 3.1.1 and 5 on the wire, as a client has it: what it sends, and a strict reader of answers.

Written from the specifications and sharing nothing with the listener's codec, so that neither hides
the other's mistakes. Whatever is encoded may be wrong on purpose; whatever is read may not.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

V31, V311, V5 = 3, 4, 5

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE = range(1, 9)
SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ_TYPE, PINGRESP_TYPE, DISCONNECT, AUTH = range(9, 16)

LONGEST_REMAINING = 268_435_455


class WireError(AssertionError):
    """What a server must not send."""


def require(is_so, *what):
    """Fail unless this is so."""
    if not is_so:
        raise WireError(*what)


# Properties (5, section 2.2.2)


class Property(NamedTuple):
    """One row of the specification's table of properties."""

    name: str
    number: int
    kind: str
    senders: dict[int, str]  # packet type -> who may send it there: c(lient), s(erver)


_REASON = dict.fromkeys((PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH), "cs")
_ANSWERS = {CONNACK: "s", SUBACK: "s", UNSUBACK: "s"}
_EVERYWHERE = _REASON | _ANSWERS | dict.fromkeys((PUBLISH,), "cs")
_ASKED = dict.fromkeys((CONNECT, SUBSCRIBE, UNSUBSCRIBE), "c")
WILL = 0  # stands for the will's own properties in CONNECT

PROPERTIES = [
    Property("payload_format_indicator", 0x01, "flag", {PUBLISH: "cs", WILL: "c"}),
    Property("message_expiry_interval", 0x02, "u32", {PUBLISH: "cs", WILL: "c"}),
    Property("content_type", 0x03, "string", {PUBLISH: "cs", WILL: "c"}),
    Property("response_topic", 0x08, "string", {PUBLISH: "cs", WILL: "c"}),
    Property("correlation_data", 0x09, "binary", {PUBLISH: "cs", WILL: "c"}),
    Property("subscription_identifier", 0x0B, "varint", {PUBLISH: "s", SUBSCRIBE: "c"}),
    Property("session_expiry_interval", 0x11, "u32", {CONNECT: "c", CONNACK: "s", DISCONNECT: "c"}),
    Property("assigned_client_identifier", 0x12, "string", {CONNACK: "s"}),
    Property("server_keep_alive", 0x13, "u16", {CONNACK: "s"}),
    Property("authentication_method", 0x15, "string", {CONNECT: "c", CONNACK: "s", AUTH: "cs"}),
    Property("authentication_data", 0x16, "binary", {CONNECT: "c", CONNACK: "s", AUTH: "cs"}),
    Property("request_problem_information", 0x17, "flag", {CONNECT: "c"}),
    Property("will_delay_interval", 0x18, "u32", {WILL: "c"}),
    Property("request_response_information", 0x19, "flag", {CONNECT: "c"}),
    Property("response_information", 0x1A, "string", {CONNACK: "s"}),
    Property("server_reference", 0x1C, "string", {CONNACK: "s", DISCONNECT: "s"}),
    Property("reason_string", 0x1F, "string", _REASON | _ANSWERS),
    Property("receive_maximum", 0x21, "u16", {CONNECT: "c", CONNACK: "s"}),
    Property("topic_alias_maximum", 0x22, "u16", {CONNECT: "c", CONNACK: "s"}),
    Property("topic_alias", 0x23, "u16", {PUBLISH: "cs"}),
    Property("maximum_qos", 0x24, "flag", {CONNACK: "s"}),
    Property("retain_available", 0x25, "flag", {CONNACK: "s"}),
    Property("user_property", 0x26, "pair", _EVERYWHERE | _ASKED | {WILL: "c"}),
    Property("maximum_packet_size", 0x27, "u32", {CONNECT: "c", CONNACK: "s"}),
    Property("wildcard_subscription_available", 0x28, "flag", {CONNACK: "s"}),
    Property("subscription_identifier_available", 0x29, "flag", {CONNACK: "s"}),
    Property("shared_subscription_available", 0x2A, "flag", {CONNACK: "s"}),
]
BY_NAME = {known.name: known for known in PROPERTIES}
BY_NUMBER = {known.number: known for known in PROPERTIES}
NEVER_ZERO = {"subscription_identifier", "receive_maximum", "topic_alias", "maximum_packet_size"}

# Reason codes that a server may send in each packet (5, sections 3.x.2 and 3.9.3, 3.11.3).

_REFUSED = {0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
REASONS = {
    CONNACK: {
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C,
        0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
    },
    PUBACK: {0x00, 0x10} | _REFUSED,
    PUBREC: {0x00, 0x10} | _REFUSED,
    PUBREL: {0x00, 0x92},
    PUBCOMP: {0x00, 0x92},
    SUBACK: {0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {
        0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95,
        0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    },
    AUTH: {0x00, 0x18},
}  # fmt: skip
OLD_CONNACK_CODES = range(6)
OLD_SUBACK_CODES = {V31: {0, 1, 2}, V311: {0, 1, 2, 0x80}}


# What a client sends


def varint(number, size=1):
    """A variable byte integer, in ``size`` bytes or more (too many are a mistake to send)."""
    out = bytearray()
    while number or len(out) < size:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out[-1] &= 0x7F
    return bytes(out)


def u16(number):
    return number.to_bytes(2, "big")


def binary(data):
    return u16(len(data)) + data


def string(text):
    """A string with its length; bytes are put as they are, be they UTF-8 or not."""
    return binary(text if isinstance(text, bytes) else text.encode())


_ENCODERS = {
    "flag": lambda value: bytes([value]),
    "u16": u16,
    "u32": lambda value: value.to_bytes(4, "big"),
    "varint": varint,
    "string": string,
    "binary": binary,
    "pair": lambda value: string(value[0]) + string(value[1]),
}


def property_bytes(name, value):
    """One property with its number; a list is the same property several times."""
    known = BY_NAME[name]
    values = value if isinstance(value, list) else [value]
    return b"".join(varint(known.number) + _ENCODERS[known.kind](each) for each in values)


def properties(props):
    """Properties by name with their length in front; bytes are put as they are."""
    if not isinstance(props, bytes):
        props = b"".join(property_bytes(name, value) for name, value in (props or {}).items())
    return varint(len(props)) + props


def packet(first, body=b""):
    """A packet whose first byte is ``first``."""
    return bytes([first]) + varint(len(body)) + body


class Will(NamedTuple):
    """What CONNECT leaves behind."""

    topic: str | bytes
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    props: dict | bytes | None = None


def connect(
    client_id="c", version=V5, *, clean=True, keep_alive=0, will=None, username=None,
    password=None, props=None, name=None, level=None, flags=None,
):  # fmt: skip
    """CONNECT; ``flags`` says other connect flags than those that fit the rest."""
    fitting = 0x02 if clean else 0
    payload = string(client_id)
    if will is not None:
        fitting |= 0x04 | will.qos << 3 | will.retain << 5
        if version == V5:
            payload += properties(will.props)
        payload += string(will.topic) + binary(will.payload)
    if username is not None:
        fitting |= 0x80
        payload += string(username)
    if password is not None:
        fitting |= 0x40
        payload += binary(password)
    head = string(name if name is not None else "MQIsdp" if version == V31 else "MQTT")
    head += bytes([version if level is None else level, fitting if flags is None else flags])
    head += u16(keep_alive) + (properties(props) if version == V5 else b"")
    return packet(CONNECT << 4, head + payload)


def publish(
    topic, payload=b"", qos=0, *, retain=False, dup=False, packet_id=None, props=None, version=V5
):
    first = PUBLISH << 4 | dup << 3 | qos << 1 | retain
    body = string(topic) + (b"" if packet_id is None else u16(packet_id))
    return packet(first, body + (properties(props) if version == V5 else b"") + payload)


def acknowledgement(kind, packet_id, reason=0, props=None, version=V5, flags=None):
    """PUBACK, PUBREC, PUBREL or PUBCOMP, as short as it may be."""
    if flags is None:
        flags = 0x02 if kind == PUBREL else 0
    body = u16(packet_id)
    if version == V5 and (reason or props is not None):
        body += bytes([reason]) + (b"" if props is None else properties(props))
    return packet(kind << 4 | flags, body)


def subscribe(packet_id, *filters, props=None, version=V5, flags=0x02):
    """SUBSCRIBE; a filter is a name, or a name and its options byte."""
    pairs = [each if isinstance(each, tuple) else (each, 0) for each in filters]
    body = b"".join(string(name) + bytes([options]) for name, options in pairs)
    head = u16(packet_id) + (properties(props) if version == V5 else b"")
    return packet(SUBSCRIBE << 4 | flags, head + body)


def unsubscribe(packet_id, *filters, props=None, version=V5, flags=0x02):
    head = u16(packet_id) + (properties(props) if version == V5 else b"")
    return packet(UNSUBSCRIBE << 4 | flags, head + b"".join(string(name) for name in filters))


def disconnect(reason=0, props=None, version=V5, flags=0):
    body = b""
    if version == V5 and (reason or props is not None):
        body = bytes([reason]) + (b"" if props is None else properties(props))
    return packet(DISCONNECT << 4 | flags, body)


def auth(reason=0x18, props=None, flags=0):
    return packet(AUTH << 4 | flags, bytes([reason]) + properties(props))


PINGREQ = packet(PINGREQ_TYPE << 4)


# What a server sends


class Connack(NamedTuple):
    reason: int
    session_present: bool
    props: dict


class Publish(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int | None
    props: dict


class Puback(NamedTuple):
    packet_id: int
    reason: int = 0
    props: dict = {}  # noqa: RUF012 - nobody writes to it


class Pubrec(NamedTuple):
    packet_id: int
    reason: int = 0
    props: dict = {}  # noqa: RUF012 - as above


class Pubrel(NamedTuple):
    packet_id: int
    reason: int = 0
    props: dict = {}  # noqa: RUF012 - as above


class Pubcomp(NamedTuple):
    packet_id: int
    reason: int = 0
    props: dict = {}  # noqa: RUF012 - as above


class Suback(NamedTuple):
    packet_id: int
    reasons: tuple[int, ...]
    props: dict = {}  # noqa: RUF012 - as above


class Unsuback(NamedTuple):
    packet_id: int
    reasons: tuple[int, ...]
    props: dict = {}  # noqa: RUF012 - as above


class Pingresp(NamedTuple):
    pass


class Disconnect(NamedTuple):
    reason: int = 0
    props: dict = {}  # noqa: RUF012 - as above


class Auth(NamedTuple):
    reason: int = 0
    props: dict = {}  # noqa: RUF012 - as above


class Cursor:
    """A packet's body, read from front to end."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        require(self.at + size <= len(self.data), "cut short", self.data)
        self.at += size
        return self.data[self.at - size : self.at]

    def rest(self):
        return self.take(len(self.data) - self.at)

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def varint(self):
        number, size = read_varint(self.data, self.at)
        require(size, "cut short", self.data)
        self.at += size
        return number

    def packet_id(self):
        number = self.number(2)
        require(number, "packet identifier 0")
        return number

    def binary(self):
        return self.take(self.number(2))

    def string(self):
        return text_of(self.binary())

    def done(self):
        require(self.at == len(self.data), "left over", self.data[self.at :])


def text_of(data):
    """UTF-8 without surrogates (which the codec refuses) and NUL."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise WireError("not UTF-8", data) from error
    require("\0" not in text, "NUL", data)
    return text


def topic_of(data):
    """A topic name, not a filter."""
    name = text_of(data)
    require(not set(name) & {"+", "#"}, "a wildcard in a topic", name)
    return name


def read_varint(data, at=0):
    """A number and how many bytes it takes, 0 if it goes on after the end of ``data``."""
    number = 0
    for size in range(1, 5):
        if at + size > len(data):
            return 0, 0
        byte = data[at + size - 1]
        number |= (byte & 0x7F) << 7 * (size - 1)
        if byte < 0x80:
            require(byte or size == 1, "a longer number than need be", data[at : at + size])
            return number, size
    raise WireError("a number of more than four bytes", data[at : at + 5])


_READERS = {
    "flag": lambda cursor: cursor.number(1),
    "u16": lambda cursor: cursor.number(2),
    "u32": lambda cursor: cursor.number(4),
    "varint": Cursor.varint,
    "string": Cursor.string,
    "binary": Cursor.binary,
    "pair": lambda cursor: (cursor.string(), cursor.string()),
}


def read_properties(cursor, kind):
    """The properties of a packet of this kind that a server sent."""
    inside = Cursor(cursor.take(cursor.varint()))
    found = {}
    while inside.at < len(inside.data):
        number = inside.varint()
        require(number in BY_NUMBER, "an unknown property", number)
        known = BY_NUMBER[number]
        require("s" in known.senders.get(kind, ""), "a property out of place", known.name, kind)
        value = _READERS[known.kind](inside)
        require(known.kind != "flag" or value in {0, 1}, "neither 0 nor 1", known.name, value)
        require(known.name not in NEVER_ZERO or value, "zero", known.name)
        many = known.kind == "pair" or (known.name, kind) == ("subscription_identifier", PUBLISH)
        require(many or known.name not in found, "twice", known.name)
        if many:
            found.setdefault(known.name, []).append(value)
        else:
            found[known.name] = value
    require("authentication_data" not in found or "authentication_method" in found, found)
    if "response_topic" in found:
        topic_of(found["response_topic"].encode())
    return found


def _connack(cursor, version, flags):
    acknowledge_flags, reason = cursor.number(1), cursor.number(1)
    require(acknowledge_flags in {0, 1}, "reserved flags", acknowledge_flags)
    require(not (reason and acknowledge_flags), "a session is present though it is refused")
    require(not (version == V31 and acknowledge_flags), "3.1 knows no session present")
    allowed = REASONS[CONNACK] if version == V5 else OLD_CONNACK_CODES
    require(reason in allowed, "an undefined reason", reason)
    props = read_properties(cursor, CONNACK) if version == V5 else {}
    return Connack(reason, bool(acknowledge_flags), props)


def _publish(cursor, version, flags):
    qos = flags >> 1 & 0x03
    require(qos != 3, "QoS 3")
    require(qos or not flags & 0x08, "DUP with QoS 0")
    topic = topic_of(cursor.binary())
    packet_id = cursor.packet_id() if qos else None
    props = read_properties(cursor, PUBLISH) if version == V5 else {}
    require(topic or "topic_alias" in props, "neither topic nor alias")
    return Publish(topic, cursor.rest(), qos, bool(flags & 1), bool(flags & 8), packet_id, props)


def _answer(made, kind):
    def read(cursor, version, flags):
        packet_id, reason, props = cursor.packet_id(), 0, {}
        if version == V5 and len(cursor.data) > 2:
            reason = cursor.number(1)
            require(reason in REASONS[kind], "an undefined reason", kind, reason)
            if len(cursor.data) > 3:
                props = read_properties(cursor, kind)
        return made(packet_id, reason, props)

    return read


def _suback(cursor, version, flags):
    packet_id = cursor.packet_id()
    props = read_properties(cursor, SUBACK) if version == V5 else {}
    reasons = tuple(cursor.rest())
    allowed = REASONS[SUBACK] if version == V5 else OLD_SUBACK_CODES[version]
    require(reasons and set(reasons) <= allowed, "undefined reasons", reasons)
    return Suback(packet_id, reasons, props)


def _unsuback(cursor, version, flags):
    packet_id = cursor.packet_id()
    if version != V5:
        return Unsuback(packet_id, ())
    props = read_properties(cursor, UNSUBACK)
    reasons = tuple(cursor.rest())
    require(reasons and set(reasons) <= REASONS[UNSUBACK], "undefined reasons", reasons)
    return Unsuback(packet_id, reasons, props)


def _with_reason(made, kind):
    def read(cursor, version, flags):
        require(version == V5, "only 5 has this packet from a server", kind)
        reason = cursor.number(1) if cursor.data else 0
        require(reason in REASONS[kind], "an undefined reason", kind, reason)
        return made(reason, read_properties(cursor, kind) if len(cursor.data) > 1 else {})

    return read


_PACKETS = {
    CONNACK: _connack,
    PUBLISH: _publish,
    PUBACK: _answer(Puback, PUBACK),
    PUBREC: _answer(Pubrec, PUBREC),
    PUBREL: _answer(Pubrel, PUBREL),
    PUBCOMP: _answer(Pubcomp, PUBCOMP),
    SUBACK: _suback,
    UNSUBACK: _unsuback,
    PINGRESP_TYPE: lambda _cursor, _version, _flags: Pingresp(),
    DISCONNECT: _with_reason(Disconnect, DISCONNECT),
    AUTH: _with_reason(Auth, AUTH),
}


def read_packet(first, body, version):
    """One packet of a server."""
    kind, flags = first >> 4, first & 0x0F
    require(kind in _PACKETS, "no packet of a server", first)
    if kind != PUBLISH:
        require(flags == (0x02 if kind == PUBREL else 0), "reserved flags", first)
    cursor = Cursor(body)
    found = _PACKETS[kind](cursor, version, flags)
    cursor.done()
    return found


def split(data):
    """The whole packets of ``data`` as (first byte, body), and what is left."""
    found, at = [], 0
    while at < len(data):
        size, length_size = read_varint(data, at + 1)
        start = at + 1 + length_size
        if not length_size or start + size > len(data):
            break
        found.append((data[at], data[start : start + size]))
        at = start + size
    return found, data[at:]


def read_packets(data, version=V5):
    """The packets that a server sent, whole and nothing else."""
    found, rest = split(data)
    require(not rest, "half a packet", rest)
    packets = [read_packet(first, body, version) for first, body in found]
    for before, after in pairwise(packets):
        require(not isinstance(before, Disconnect), "after DISCONNECT", after)
    return packets
