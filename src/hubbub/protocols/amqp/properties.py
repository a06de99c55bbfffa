"""The content header of class basic (AMQP 0-9-1 section 4.2.6.1): property flags and list.

Encoded properties are what follows the class, weight and body size in a content header. They go
through as they came; what reads and writes them is not on the way of most messages.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

from hubbub.protocols.amqp.errors import syntax_error
from hubbub.protocols.amqp.methods import BASIC_PROPERTIES
from hubbub.protocols.amqp.tables import Table, decode_table, encode_table, short_string, sized

_FLAGS = struct.Struct(">H")
_LONG = struct.Struct(">I")
_LONGLONG = struct.Struct(">Q")

# By name: the flag and the type.
_PROPERTIES = {name: (0x8000 >> index, kind) for index, (name, kind) in enumerate(BASIC_PROPERTIES)}
_KNOWN = sum(flag for flag, _ in _PROPERTIES.values())
_HEADERS = _PROPERTIES["headers"][0]

NONE = _FLAGS.pack(0)


class Properties(msgspec.Struct, omit_defaults=True):
    """The properties of a message; None is one that was not sent.

    Strings that are no UTF-8 hold their bytes as surrogates (PEP 383).
    """

    content_type: str | None = None
    content_encoding: str | None = None
    headers: Table | None = None
    delivery_mode: int | None = None  # 2: persistent
    priority: int | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None  # ms, in decimal digits
    message_id: str | None = None
    timestamp: int | None = None  # s since 1970
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    cluster_id: str | None = None


def decode_properties(encoded: bytes | memoryview) -> Properties:
    """The properties that these bytes are.

    Raises:
        SyntaxFailure: they are not whole, or there is more.
    """
    data = bytes(encoded)
    found = Properties()
    for name, kind, start, end in _spans(data):
        setattr(found, name, _value(kind, data[start:end]))
    return found


def check_properties(encoded: bytes | memoryview) -> None:
    """Raise SyntaxFailure if these are no properties. A table's inside is not looked at."""
    _spans(bytes(encoded))


def decode_headers(encoded: bytes | memoryview) -> Table | None:
    """The headers alone; None if there is no table of them. Raises SyntaxFailure."""
    data = bytes(encoded)
    for name, _, start, end in _spans(data):
        if name == "headers":
            return decode_table(data[start + 4 : end])
    return None


def encode_properties(properties: Properties) -> bytes:
    """Flags and list. Raises ValueError for what is too long for its type."""
    flags, parts = 0, [b""]
    for name, (flag, kind) in _PROPERTIES.items():
        value = getattr(properties, name)
        if value is not None:
            flags |= flag
            parts.append(_encoded(kind, value))
    parts[0] = _FLAGS.pack(flags)
    return b"".join(parts)


def replace_headers(encoded: bytes, headers: Table | None) -> bytes:
    """These properties with other headers, or with none; all else stays as it is."""
    return replace(encoded, headers=headers)


def replace(encoded: bytes, **changes: Any) -> bytes:
    """These properties with some of them changed, or with None taken out; all else byte by byte.

    Raises:
        SyntaxFailure: these are no properties.
        ValueError: a new value is too long for its type.
    """
    raw = {name: encoded[start:end] for name, _, start, end in _spans(encoded)}
    for name, value in changes.items():
        raw.pop(name, None)
        if value is not None:
            raw[name] = _encoded(_PROPERTIES[name][1], value)
    flags = sum(_PROPERTIES[name][0] for name in raw)
    ordered = (raw[name] for name in _PROPERTIES if name in raw)
    return _FLAGS.pack(flags) + b"".join(ordered)


def _spans(data: bytes) -> list[tuple[str, str, int, int]]:
    """Name, type, start and end of each property that is there."""
    if len(data) < _FLAGS.size:
        raise syntax_error("a content header ends before its property flags")
    [flags] = _FLAGS.unpack_from(data)
    if flags & ~_KNOWN:
        # The lowest bit announces more flags; class basic has no properties for them.
        raise syntax_error(f"no such property flags: 0x{flags & ~_KNOWN:04x}")
    spans = []
    at = _FLAGS.size
    for name, (flag, kind) in _PROPERTIES.items():
        if flags & flag:
            end = at + _size(kind, data, at)
            if end > len(data):
                raise syntax_error(f"a content header ends before its {name.replace('_', '-')}")
            spans.append((name, kind, at, end))
            at = end
    if at != len(data):
        raise syntax_error("a content header is longer than its properties")
    return spans


def _size(kind: str, data: bytes, at: int) -> int:
    """How long the property at ``at`` is, with its own size; more than is left if that is not."""
    if kind == "shortstr":
        return 1 + (data[at] if at < len(data) else 0)
    if kind == "table":
        return 4 + int.from_bytes(data[at : at + 4], "big")
    return 1 if kind == "octet" else 8


def _value(kind: str, raw: bytes) -> Any:
    if kind == "shortstr":
        return raw[1:].decode("utf-8", "surrogateescape")
    if kind == "table":
        return decode_table(raw[4:])
    return int.from_bytes(raw, "big")


def _encoded(kind: str, value: Any) -> bytes:
    if kind == "shortstr":
        return short_string(value)
    if kind == "table":
        return sized(encode_table(value))
    try:
        return bytes([value]) if kind == "octet" else _LONGLONG.pack(value)
    except struct.error as error:
        raise ValueError(f"{value} is no {kind}") from error
