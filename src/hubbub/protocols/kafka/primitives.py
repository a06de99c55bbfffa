"""Kafka's primitive types as bytes, for the responses that we encode ourselves.

Flexible versions (KIP-482) count strings and arrays with an unsigned varint of length + 1, older
ones with a fixed-width signed length; a null is 0 in the former and -1 in the latter.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import uuid

INT16 = struct.Struct(">h")
INT32 = struct.Struct(">i")

NO_TAGS = b"\x00"
_ZERO_UUID = bytes(16)


def unsigned_varint(value: int) -> bytes:
    """Seven bits a byte, the low ones first."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def string(text: str | None, *, flexible: bool) -> bytes:
    """STRING and NULLABLE_STRING, or their compact forms."""
    if text is None:
        return b"\x00" if flexible else b"\xff\xff"
    raw = text.encode()
    return (unsigned_varint(len(raw) + 1) if flexible else INT16.pack(len(raw))) + raw


def length(count: int | None, *, flexible: bool) -> bytes:
    """What stands before the elements of an array, or before BYTES or RECORDS."""
    if flexible:
        return unsigned_varint(0 if count is None else count + 1)
    return INT32.pack(-1 if count is None else count)


def topic_id(value: uuid.UUID | None) -> bytes:
    """UUID; zero says that there is none."""
    return _ZERO_UUID if value is None else value.bytes


def tags(*, flexible: bool) -> bytes:
    """The end of a structure: no tagged fields, where the version has them at all."""
    return NO_TAGS if flexible else b""
