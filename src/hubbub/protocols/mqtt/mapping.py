"""MQTT's concepts and ours: PUBLISH properties, and headers and slots of a message.

User properties are headers. Content Type, Response Topic, Correlation Data and Message Expiry
Interval are slots; a key is the user property ``hubbub-key``. What only MQTT has, the Payload Format
Indicator and that a message is to be retained, are headers that begin with ``mqtt-``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hubbub.model.errors import InvalidAddressError
from hubbub.model.message import Message
from hubbub.protocols.mqtt.fields import MAX_STRING_BYTES
from hubbub.protocols.mqtt.names import address_of, spelled
from hubbub.protocols.mqtt.properties import (
    PacketType,
    Property,
    decode_properties,
    encode_property,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.model.address import Address
    from hubbub.model.message import Headers
    from hubbub.protocols.mqtt.properties import Properties

__all__ = ["address_of", "message_of", "properties_of", "properties_to_slots", "spelled"]

KEY_HEADER = "hubbub-key"
MESSAGE_ID_HEADER = "message-id"
FORMAT_HEADER = "mqtt-payload-format"
RETAIN_HEADER = "mqtt-retain"
# What MQTT's own packets say in other places.
_MARKS = {FORMAT_HEADER, RETAIN_HEADER}


def message_of(
    address: Address, value: bytes, properties: bytes, timestamp_ms: int, *, retain: bool
) -> Message:
    """What a PUBLISH says, as an object. ``properties`` are encoded, without their length."""
    slots: dict[str, Any] = {}
    headers: Headers = ((RETAIN_HEADER, b"true"),) if retain else ()
    if properties:
        slots = properties_to_slots(decode_properties(properties, PacketType.PUBLISH))
        headers += slots.pop("headers", ())
    return Message(address, value, slots.pop("key", None), headers, timestamp_ms, **slots)


def properties_to_slots(properties: Properties) -> dict[str, Any]:
    """The slots and headers of a message that these properties fill."""
    slots: dict[str, Any] = {}
    headers: list[tuple[str, bytes | None]] = []
    for known, value in properties.items():
        if known is Property.USER_PROPERTY:
            for name, content in value:
                if name == KEY_HEADER and "key" not in slots:
                    slots["key"] = content.encode()
                else:
                    headers.append((name, content.encode()))
        elif known is Property.PAYLOAD_FORMAT_INDICATOR:
            headers.append((FORMAT_HEADER, b"%d" % value))
        elif known is Property.CONTENT_TYPE:
            slots["content_type"] = value
        elif known is Property.CORRELATION_DATA:
            slots["correlation_id"] = value
        elif known is Property.MESSAGE_EXPIRY_INTERVAL:
            slots["expiry_ms"] = value * 1000
        elif known is Property.RESPONSE_TOPIC:
            with suppress(InvalidAddressError):  # one with more levels than an address has
                slots["reply_to"] = address_of(value.encode())
    if headers:
        slots["headers"] = tuple(headers)
    return slots


def properties_of(message: Message, now_ms: int) -> bytes:
    """A message as PUBLISH properties, without their length."""
    found: list[bytes] = []
    if message.expiry_ms is not None:
        left = remaining_seconds(message, now_ms)
        found.append(encode_property(Property.MESSAGE_EXPIRY_INTERVAL, max(left, 0)))
    if message.content_type is not None and _fits(message.content_type):
        found.append(encode_property(Property.CONTENT_TYPE, message.content_type))
    if message.reply_to is not None:
        topic = spelled(message.reply_to)
        if topic:
            found.append(encode_property(Property.RESPONSE_TOPIC, topic.decode()))
    if message.correlation_id is not None and len(message.correlation_id) <= MAX_STRING_BYTES:
        found.append(encode_property(Property.CORRELATION_DATA, message.correlation_id))
    if message.headers:
        marks = dict(message.headers)
        if marks.get(FORMAT_HEADER) in {b"0", b"1"}:
            value = int(marks[FORMAT_HEADER] or b"0")
            found.insert(0, encode_property(Property.PAYLOAD_FORMAT_INDICATOR, value))
    pairs = list(_user_properties(message))
    if pairs:
        found.append(encode_property(Property.USER_PROPERTY, pairs))
    return b"".join(found)


def _user_properties(message: Message) -> Iterator[tuple[str, str]]:
    """Headers in their order; what a UTF-8 string cannot hold is replaced, what is too long left out."""
    slots: list[tuple[str, bytes | None]] = []
    if message.key is not None:
        slots.append((KEY_HEADER, message.key))
    if message.message_id is not None:
        slots.append((MESSAGE_ID_HEADER, message.message_id.encode("utf-8", "replace")))
    for name, content in (*slots, *message.headers):
        if name in _MARKS:
            continue
        key, value = _text(name), _text((content or b"").decode("utf-8", "replace"))
        if _fits(key) and _fits(value):
            yield key, value


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _fits(text: str) -> bool:
    return len(text.encode("utf-8", "replace")) <= MAX_STRING_BYTES and "\0" not in text


def remaining_seconds(message: Message, now_ms: int) -> int:
    """What is left of the Message Expiry Interval (section 3.3.2.3.3); below 1 it has expired."""
    expiry = message.expiry_ms or 0
    waited = max(now_ms - message.timestamp_ms, 0)
    return min(-(-(expiry - waited) // 1000) if waited < expiry else 0, 0xFFFFFFFF)
