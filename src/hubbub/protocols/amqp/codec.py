"""Frames and methods (AMQP 0-9-1 section 4.2), but for those of the hot path, which is native."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub.protocols.amqp.constants import (
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    ReplyCode,
)
from hubbub.protocols.amqp.errors import (
    ConnectionFailure,
    FrameFailure,
    frame_error,
    syntax_error,
)
from hubbub.protocols.amqp.methods import METHODS, MethodSpec
from hubbub.protocols.amqp.tables import decode_table, encode_table, short_string, sized

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

FRAME_HEAD = struct.Struct(">BHI")  # type, channel, payload size
FRAME_BYTES = FRAME_HEAD.size + 1  # what a frame has around its payload

CONTENT_HEADER = struct.Struct(">HHQ")  # class, weight, body size; the properties follow

_END = bytes([FRAME_END])
_IDS = struct.Struct(">HH")
_INTEGERS = {
    "octet": struct.Struct(">B"),
    "short": struct.Struct(">H"),
    "long": struct.Struct(">I"),
    "longlong": struct.Struct(">Q"),
    "timestamp": struct.Struct(">Q"),
}
# What RabbitMQ shows of a frame, and what Erlang shows as text.
_SHOWN_BYTES = 16
_PRINTABLE = re.compile(rb"[ !#-\[\]-~]+")

_BY_NAME = {spec.name: spec for spec in METHODS.values()}


class Method(NamedTuple):
    """A method that came; ``args`` is of the class of `methods` that has its arguments."""

    name: str  # such as "queue.declare-ok"
    class_id: int
    method_id: int
    args: Any
    content: bool  # a content header follows


# --- frames -------------------------------------------------------------------------------------


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One frame (section 4.2.3)."""
    return FRAME_HEAD.pack(kind, channel, len(payload)) + payload + _END


HEARTBEAT = frame(FRAME_HEARTBEAT, 0, b"")


def split_frames(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, channel and payload of each frame that is whole; the rest is passed over.

    Raises:
        FrameFailure: one does not end as frames do.
    """
    at = 0
    while len(data) - at >= FRAME_BYTES:
        kind, channel, size = FRAME_HEAD.unpack_from(data, at)
        at += FRAME_HEAD.size
        if len(data) - at <= size:
            return
        if data[at + size] != FRAME_END:
            raise frame_error(_bad_end(kind, data[at : at + size], data[at + size]))
        yield kind, channel, data[at : at + size]
        at += size + 1


def _bad_end(kind: int, payload: bytes, marker: int) -> str:
    return f"{describe_frame(kind, payload)}: {{invalid_frame_end_marker,{marker}}}"


# --- methods ------------------------------------------------------------------------------------


def method_spec(name: str) -> MethodSpec:
    """What the specification says of the method of this name."""
    return _BY_NAME[name]


def decode_method(payload: bytes | memoryview) -> Method:
    """The method in a frame's payload.

    Raises:
        FrameFailure: its fields are not whole, or there are more, or a name is no UTF-8.
        SyntaxFailure: something is wrong within a table.
        ConnectionFailure: 540, there is no such method.
    """
    data = bytes(payload)
    if len(data) < _IDS.size:
        raise frame_error(f"{describe_frame(FRAME_METHOD, data)}: unknown_frame")
    class_id, method_id = _IDS.unpack_from(data)
    spec = METHODS.get((class_id, method_id))
    if spec is None:
        # RabbitMQ falls over it and says nothing; this is what the specification has (section 1.2).
        text = f"unknown method {class_id}.{method_id}"
        raise ConnectionFailure(ReplyCode.NOT_IMPLEMENTED, text, class_id, method_id)
    values = _read_fields(spec, data)
    return Method(spec.name, class_id, method_id, spec.arguments(*values), spec.content)


def _read_fields(spec: MethodSpec, data: bytes) -> list[Any]:
    values: list[Any] = []
    at, bits = _IDS.size, 0
    for _, kind in spec.fields:
        if kind == "bit":
            # Bits next to each other share octets, the lowest first (section 4.2.5.2).
            if bits % 8 == 0:
                at += 1
                if at > len(data):
                    raise _undecodable(data)
            values.append(bool(data[at - 1] >> bits % 8 & 1))
            bits += 1
            continue
        bits = 0
        value, at = _read_value(kind, data, at, strict=not spec.content)
        values.append(value)
    if at != len(data):
        raise _undecodable(data)
    return values


def _read_value(kind: str, data: bytes, at: int, *, strict: bool) -> tuple[Any, int]:
    """One value that is no bit, and where it ends."""
    integer = _INTEGERS.get(kind)
    if integer is not None:
        end = at + integer.size
        if end > len(data):
            raise _undecodable(data)
        return integer.unpack_from(data, at)[0], end
    start = at + (1 if kind == "shortstr" else 4)
    end = start + int.from_bytes(data[at:start], "big")
    if end > len(data):
        raise _undecodable(data)
    if kind == "longstr":
        return data[start:end], end
    if kind == "table":
        return decode_table(data[start:end]), end
    return _short_string(data[start:end], strict=strict), end


def _short_string(raw: bytes, *, strict: bool) -> str:
    # RabbitMQ takes any bytes in methods with content, as in routing keys, and UTF-8 elsewhere.
    try:
        return raw.decode("utf-8", "strict" if strict else "surrogateescape")
    except UnicodeDecodeError as error:
        raise frame_error("Malformed UTF-8 in shortstr") from error


def _undecodable(data: bytes) -> FrameFailure:
    """RabbitMQ's text for it."""
    numbers = ",".join(map(str, data[_IDS.size :]))
    return FrameFailure(f"cannot decode <<{numbers}>>", *_IDS.unpack_from(data))


def describe_frame(kind: int, payload: bytes) -> str:
    """How RabbitMQ's texts show a frame that is not right, with the first octets as Erlang has them."""
    shown = payload[:_SHOWN_BYTES]
    how_many = "all" if len(shown) == len(payload) else f"first {_SHOWN_BYTES}"
    if shown and _PRINTABLE.fullmatch(shown):
        octets = f'"{shown.decode("ascii")}"'
    else:
        octets = ",".join(map(str, shown))
    return f"type {kind}, {how_many} octets = <<{octets}>>"


def encode_method(name: str, **fields: Any) -> bytes:
    """The payload of a method frame. Fields that are not given have their default.

    Raises:
        ValueError: a value does not fit its field.
        TypeError: the method has no such field.
    """
    spec = _BY_NAME[name]
    args = spec.arguments(**fields)
    parts = [_IDS.pack(spec.class_id, spec.method_id)]
    bits: list[bool] = []
    for field, kind in spec.fields:
        value = getattr(args, field)
        if kind == "bit":
            bits.append(value)
            continue
        parts.append(_packed(bits))
        bits = []
        parts.append(_encoded(kind, value))
    parts.append(_packed(bits))
    return b"".join(parts)


def _packed(bits: list[bool]) -> bytes:
    value = sum(bool(bit) << index for index, bit in enumerate(bits))
    return value.to_bytes((len(bits) + 7) // 8, "little")


def _encoded(kind: str, value: Any) -> bytes:
    if kind == "shortstr":
        return short_string(value)
    if kind == "longstr":
        return sized(value)
    if kind == "table":
        return sized(encode_table(value))
    try:
        return _INTEGERS[kind].pack(value)
    except struct.error as error:
        raise ValueError(f"{value!r} is no {kind}") from error


def encode(channel: int, name: str, /, **fields: Any) -> bytes:
    """A method frame; see `encode_method`."""
    return frame(FRAME_METHOD, channel, encode_method(name, **fields))


# --- content ------------------------------------------------------------------------------------


def encode_content(
    channel: int, method: bytes, properties: bytes, body: bytes, frame_max: int
) -> bytes:
    """All frames of a method with content: method, header and as many bodies as it takes.

    ``method`` is a payload of `encode_method`, ``properties`` are encoded, and ``frame_max`` is
    what was agreed on for whole frames; 0: no limit.
    """
    class_id, _ = _IDS.unpack_from(method)
    header = CONTENT_HEADER.pack(class_id, 0, len(body)) + properties
    frames = [frame(FRAME_METHOD, channel, method), frame(FRAME_HEADER, channel, header)]
    most = frame_max - FRAME_BYTES if frame_max else max(len(body), 1)
    frames += [frame(FRAME_BODY, channel, body[at : at + most]) for at in range(0, len(body), most)]
    return b"".join(frames)


def decode_content_header(payload: bytes) -> tuple[int, int, bytes]:
    """Class, body size in bytes and encoded properties of a content header frame's payload."""
    if len(payload) < CONTENT_HEADER.size:
        raise syntax_error("a content header is too short")
    class_id, _, size = CONTENT_HEADER.unpack_from(payload)
    return class_id, size, payload[CONTENT_HEADER.size :]
