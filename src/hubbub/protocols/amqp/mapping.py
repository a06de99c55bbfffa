"""AMQP's messages and ours: properties and slots, headers tables and headers."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hubbub.model.address import from_opaque
from hubbub.model.errors import InvalidAddressError
from hubbub.model.message import Message
from hubbub.protocols.amqp.addresses import COMMON_EXCHANGE, key_of
from hubbub.protocols.amqp.errors import SyntaxFailure
from hubbub.protocols.amqp.properties import Properties, decode_properties, encode_properties
from hubbub.protocols.amqp.tables import Field, Table, short_string

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.model.address import Address

KEY_HEADER = "hubbub-key"
_SHORT_STRING = 255
_TEXT = frozenset("Sx")
_PLAIN = frozenset("tbBsuIilLfdT")
PERSISTENT = 2
TRANSIENT = 1


def message_of(address: Address, value: bytes, properties: bytes, timestamp_ms: int) -> Message:
    """What a publish says, as an object for everybody else."""
    try:
        found = decode_properties(properties)
    except SyntaxFailure:
        found = Properties()  # a table inside that is no table: nothing else is wrong with it
    headers = dict(_headers(found.headers or {}))
    key = headers.pop(KEY_HEADER, None)
    slots: dict[str, Any] = {}
    if found.content_type is not None:
        slots["content_type"] = _clean(found.content_type)
    if found.message_id is not None:
        slots["message_id"] = _clean(found.message_id)
    if found.correlation_id is not None:
        slots["correlation_id"] = found.correlation_id.encode("utf-8", "surrogateescape")
    if found.expiration is not None and found.expiration.isdigit():
        slots["expiry_ms"] = int(found.expiration)
    if found.reply_to:
        with suppress(InvalidAddressError):
            slots["reply_to"] = from_opaque(found.reply_to.encode("utf-8", "surrogateescape"))
    return Message(address, value, key, tuple(headers.items()), timestamp_ms, **slots)


def _headers(table: Table) -> Iterable[tuple[str, bytes | None]]:
    """Headers that others can have: text and bytes as they are, numbers as text."""
    for name, (letter, value) in table.items():
        if letter in _TEXT:
            yield _clean(name), value
        elif letter == "t":
            yield _clean(name), b"true" if value else b"false"
        elif letter in _PLAIN:
            yield _clean(name), str(value).encode()


def _clean(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def mark_of(message: Message, *, persistent: bool) -> bytes:
    """Exchange, routing key and properties, as if an AMQP client had published it.

    Raises: InvalidAddressError.
    """
    key = key_of(message.address)
    routing = short_string(COMMON_EXCHANGE) + bytes([len(key)]) + key
    return routing + encode_properties(_properties(message, persistent=persistent))


def _properties(message: Message, *, persistent: bool) -> Properties:
    headers: Table = {}
    for name, value in message.headers:
        cut = name.encode("utf-8", "replace")[:_SHORT_STRING].decode("utf-8", "ignore")
        # A table has each name once: the first wins.
        headers.setdefault(cut, Field("S", value) if value is not None else Field("V", None))
    if message.key is not None:
        headers.setdefault(KEY_HEADER, Field("S", message.key))
    properties = Properties(
        delivery_mode=PERSISTENT if persistent else TRANSIENT,
        headers=headers or None,
        content_type=_short(message.content_type),
        message_id=_short(message.message_id),
        timestamp=message.timestamp_ms // 1000 if message.timestamp_ms >= 0 else None,
    )
    if message.correlation_id is not None and len(message.correlation_id) <= _SHORT_STRING:
        properties.correlation_id = message.correlation_id.decode("utf-8", "surrogateescape")
    if message.expiry_ms is not None:
        properties.expiration = str(message.expiry_ms)
    if message.reply_to is not None:
        with suppress(InvalidAddressError):
            properties.reply_to = key_of(message.reply_to).decode("utf-8", "surrogateescape")
    return properties


def _short(text: str | None) -> str | None:
    """A text that fits a short string; None for one that does not."""
    if text is None or len(text.encode("utf-8", "replace")) > _SHORT_STRING:
        return None
    return text.encode("utf-8", "replace").decode()
