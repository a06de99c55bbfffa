"""Requests read by Kafka's own schemas, as kio has them.

kio's native reader is not used: it aborts the process on an array whose claimed length does not fit
in memory, and refuses tagged fields that it does not know, which KIP-482 says to skip. This one
believes no length that the bytes at hand do not bear out, and goes no deeper than the schema does.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
import types
import typing
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from kio.schema.errors import ErrorCode

from hubbub.model.errors import HubbubError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    # From the bytes and where the value begins, the value and where it ends.
    Reader: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
    # As Reader, of a length or count that stands before what it counts; None is Kafka's null.
    LengthReader: TypeAlias = Callable[[bytes, int], tuple[int | None, int]]

# A 32-bit varint takes five bytes; longer ones would only cost time.
_MAX_VARINT_BYTES = 5
_MAX_INT32 = 2**31 - 1
_MAX_STRING_BYTES = 2**15 - 1  # Kafka's clients and brokers read no longer strings

_UUID_BYTES = 16
_NULL_UUID = bytes(_UUID_BYTES)


class MalformedRequestError(HubbubError):
    """Bytes that are no request of the schema they claim to follow."""


def read_varint(data: bytes, offset: int) -> tuple[int, int]:
    """An unsigned varint."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if offset >= len(data):
            raise MalformedRequestError("the request ends inside a varint")
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            break
    if byte >= 0x80 or value > _MAX_INT32:
        raise MalformedRequestError("a varint has more than 31 bits")
    return value, offset


def skip_tagged_fields(data: bytes, offset: int) -> int:
    """Where a section of tagged fields, all of them unknown, ends."""
    return _tagged_fields({}, {}, data, offset)


@functools.cache
def entity_reader(entity: type) -> Reader:
    """A reader of one of kio's entities; it raises MalformedRequestError."""
    flexible: bool = entity.__flexible__  # type: ignore[attr-defined]
    plain: list[tuple[str, Reader]] = []
    tagged: dict[int, tuple[str, Reader]] = {}
    hints = typing.get_type_hints(entity)
    for field in dataclasses.fields(entity):
        reader = _field_reader(field.metadata.get("kafka_type"), hints[field.name], flexible)
        if "tag" in field.metadata:
            tagged[field.metadata["tag"]] = (field.name, reader)
        else:
            plain.append((field.name, reader))

    def read(data: bytes, offset: int) -> tuple[Any, int]:
        values: dict[str, Any] = {}
        for name, reader in plain:
            values[name], offset = reader(data, offset)
        if flexible:
            offset = _tagged_fields(tagged, values, data, offset)
        return entity(**values), offset

    return read


def _tagged_fields(
    known: Mapping[int, tuple[str, Reader]], values: dict[str, Any], data: bytes, offset: int
) -> int:
    count, offset = read_varint(data, offset)
    for _ in range(count):
        tag, offset = read_varint(data, offset)
        size, offset = read_varint(data, offset)
        end = offset + size
        if end > len(data):
            raise MalformedRequestError("a tagged field is longer than the request")
        if tag in known:  # KIP-482: others are from a newer client and are skipped
            name, reader = known[tag]
            values[name], read_end = reader(data, offset)
            if read_end != end:
                raise MalformedRequestError(f"tagged field {tag} is not as long as it says")
        offset = end
    return offset


def _field_reader(kafka_type: str | None, hint: Any, flexible: bool) -> Reader:
    hint, nullable = _strip_none(hint)
    if typing.get_origin(hint) is tuple:
        element, _ = _strip_none(typing.get_args(hint)[0])
        # Nothing but uuids may be null inside an array, and _uuid sees to that itself.
        item = _value_reader(kafka_type, element, flexible, nullable=False)
        length = _compact_length if flexible else _legacy_length
        reader: Reader = functools.partial(_array, item, length)
        return reader if nullable else _required(reader)
    return _value_reader(kafka_type, hint, flexible, nullable=nullable)


def _value_reader(kafka_type: str | None, hint: Any, flexible: bool, *, nullable: bool) -> Reader:
    if kafka_type is None:
        reader = entity_reader(hint)
        return functools.partial(_nullable_entity, reader) if nullable else reader
    if kafka_type in _FIXED:
        return _FIXED[kafka_type]
    length, body = _VARIABLE[kafka_type, flexible]
    reader = functools.partial(body, length)
    return reader if nullable else _required(reader)


def _strip_none(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) not in {types.UnionType, typing.Union}:
        return hint, False
    (inner,) = (argument for argument in typing.get_args(hint) if argument is not types.NoneType)
    return inner, True


def _required(reader: Reader) -> Reader:
    def read(data: bytes, offset: int) -> tuple[Any, int]:
        value, offset = reader(data, offset)
        if value is None:
            raise MalformedRequestError("null stands where the schema wants a value")
        return value, offset

    return read


def _nullable_entity(reader: Reader, data: bytes, offset: int) -> tuple[Any, int]:
    marker, offset = _INT8(data, offset)
    return (None, offset) if marker < 0 else reader(data, offset)  # KIP-893


def _fixed(layout: str, convert: Callable[[Any], Any] | None = None) -> Reader:
    unpack = struct.Struct(layout)

    def read(data: bytes, offset: int) -> tuple[Any, int]:
        try:
            (value,) = unpack.unpack_from(data, offset)
            return (value if convert is None else convert(value)), offset + unpack.size
        except (struct.error, ValueError, OverflowError) as error:
            raise MalformedRequestError(f"no value of the schema: {error}") from error

    return read


def _uuid(raw: bytes) -> uuid.UUID | None:
    return None if raw == _NULL_UUID else uuid.UUID(bytes=raw)


def _milliseconds(value: int) -> timedelta:
    return timedelta(milliseconds=value)


_INT8 = _fixed(">b")
_INT16 = _fixed(">h")
_INT32 = _fixed(">i")

_FIXED: Mapping[str, Reader] = {
    "int8": _INT8,
    "int16": _INT16,
    "int32": _INT32,
    "int64": _fixed(">q"),
    "uint16": _fixed(">H"),
    "uint32": _fixed(">I"),
    "float64": _fixed(">d"),
    "bool": _fixed(">?"),
    "uuid": _fixed(f">{_UUID_BYTES}s", _uuid),
    "error_code": _fixed(">h", ErrorCode),
    "timedelta_i32": _fixed(">i", _milliseconds),
    "timedelta_i64": _fixed(">q", _milliseconds),
}


def _compact_length(data: bytes, offset: int) -> tuple[int | None, int]:
    value, offset = read_varint(data, offset)
    return (value - 1 if value else None), offset


def _legacy_length(data: bytes, offset: int) -> tuple[int | None, int]:
    return _signed_length(_INT32, data, offset)


def _legacy_string_length(data: bytes, offset: int) -> tuple[int | None, int]:
    return _signed_length(_INT16, data, offset)


def _signed_length(reader: Reader, data: bytes, offset: int) -> tuple[int | None, int]:
    value, offset = reader(data, offset)
    if value < -1:
        raise MalformedRequestError(f"a length is {value}")
    return (None if value == -1 else value), offset


def _blob(length: LengthReader, data: bytes, offset: int) -> tuple[bytes | None, int]:
    size, offset = length(data, offset)
    if size is None:
        return None, offset
    end = offset + size
    if end > len(data):
        raise MalformedRequestError("a field is longer than the request")
    return data[offset:end], end


def _string(length: LengthReader, data: bytes, offset: int) -> tuple[str | None, int]:
    raw, offset = _blob(length, data, offset)
    if raw is None:
        return None, offset
    if len(raw) > _MAX_STRING_BYTES:
        raise MalformedRequestError(f"a string has more than {_MAX_STRING_BYTES} bytes")
    try:
        return raw.decode(), offset
    except UnicodeDecodeError as error:
        raise MalformedRequestError("a string is not UTF-8") from error


def _array(
    item: Reader, length: LengthReader, data: bytes, offset: int
) -> tuple[tuple[Any, ...] | None, int]:
    count, offset = length(data, offset)
    if count is None:
        return None, offset
    # No element takes less than a byte, so a larger count is refused before anything is built.
    if count > len(data) - offset:
        raise MalformedRequestError("an array has more elements than the request has bytes")
    items = []
    for _ in range(count):
        value, offset = item(data, offset)
        items.append(value)
    return tuple(items), offset


_VARIABLE: Mapping[tuple[str, bool], tuple[LengthReader, Callable[..., tuple[Any, int]]]] = {
    ("string", True): (_compact_length, _string),
    ("string", False): (_legacy_string_length, _string),
    ("bytes", True): (_compact_length, _blob),
    ("bytes", False): (_legacy_length, _blob),
    ("records", True): (_compact_length, _blob),
    ("records", False): (_legacy_length, _blob),
}
