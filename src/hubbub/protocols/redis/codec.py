"""Replies as bytes: Python values to RESP2 and RESP3 (redis.io/docs/reference/protocol-spec).

A handler returns a value and never bytes: ``int``, ``bytes`` or ``str`` (bulk string), ``None``,
``bool``, ``float``, ``list``, ``dict``, or one of the types below where RESP tells more apart.
RESP2 has fewer types: a map is a flat array there, a push an array, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RESP2 = 2
RESP3 = 3


class Simple(str):
    """A simple string: a fixed word such as ``OK``, never what a client sent."""

    __slots__ = ()


class Verbatim(str):
    """Text for people, such as the answer of ``INFO``."""

    __slots__ = ()


class Set(list[Any]):
    """Values whose order means nothing."""


class Push(list[Any]):
    """Out of band in RESP3: a delivery or the confirmation of a subscription."""


class Failure(NamedTuple):
    """An error: an upper-case code and a text, as one line."""

    line: str


class Constant:
    """An answer that never changes, encoded once for each protocol version."""

    def __init__(self, value: object) -> None:
        self._value = value
        self._frames: dict[int, bytes] = {}

    def frame(self, protocol: int) -> bytes:
        """The answer as one RESP frame, the same object each time."""
        if protocol not in self._frames:
            self._frames[protocol] = encode(self._value, protocol)
        return self._frames[protocol]


OK = Simple("OK")


def encode(value: object, protocol: int) -> bytes:
    """``value`` as one RESP frame of the protocol version."""
    if type(value) is int:  # the answer to PUBLISH, and so the usual one
        return b":%d\r\n" % value
    parts: list[bytes] = []
    _append(parts, value, protocol)
    return b"".join(parts)


def encode_failure(line: str) -> bytes:
    """An error reply. What a client sent may be quoted in it, so line ends become spaces."""
    raw = line.encode("utf-8", "surrogateescape").replace(b"\r", b" ").replace(b"\n", b" ")
    return b"-%b\r\n" % raw


def encode_bulk(data: bytes) -> bytes:
    """A bulk string."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def push_header(size: int, protocol: int) -> bytes:
    """What begins an out-of-band frame of ``size`` elements."""
    return b">%d\r\n" % size if protocol == RESP3 else b"*%d\r\n" % size


def array_header(size: int) -> bytes:
    """What begins an array of ``size`` elements that follow one by one."""
    return b"*%d\r\n" % size


def _append(parts: list[bytes], value: object, protocol: int) -> None:
    # Nesting is what handlers build, three deep at most; nothing of it comes from a client.
    _ENCODERS[type(value)](parts, value, protocol)


def _bulk(parts: list[bytes], value: bytes, _protocol: int) -> None:
    parts.append(encode_bulk(value))


def _text(parts: list[bytes], value: str, _protocol: int) -> None:
    parts.append(encode_bulk(value.encode("utf-8", "surrogateescape")))


def _simple(parts: list[bytes], value: Simple, _protocol: int) -> None:
    parts.append(b"+%b\r\n" % value.encode())


def _verbatim(parts: list[bytes], value: Verbatim, protocol: int) -> None:
    raw = value.encode("utf-8", "surrogateescape")
    if protocol == RESP3:
        parts.append(b"=%d\r\ntxt:%b\r\n" % (len(raw) + len("txt:"), raw))
    else:
        parts.append(encode_bulk(raw))


def _integer(parts: list[bytes], value: int, _protocol: int) -> None:
    parts.append(b":%d\r\n" % value)


def _boolean(parts: list[bytes], value: bool, protocol: int) -> None:
    if protocol == RESP3:
        parts.append(b"#t\r\n" if value else b"#f\r\n")
    else:
        parts.append(b":1\r\n" if value else b":0\r\n")


def _double(parts: list[bytes], value: float, protocol: int) -> None:
    text = b"%.17g" % value
    parts.append(b",%b\r\n" % text if protocol == RESP3 else encode_bulk(text))


def _null(parts: list[bytes], _value: None, protocol: int) -> None:
    parts.append(b"_\r\n" if protocol == RESP3 else b"$-1\r\n")


def _array(parts: list[bytes], value: list[Any], protocol: int) -> None:
    parts.append(array_header(len(value)))
    _elements(parts, value, protocol)


def _set(parts: list[bytes], value: Set, protocol: int) -> None:
    parts.append(b"~%d\r\n" % len(value) if protocol == RESP3 else array_header(len(value)))
    _elements(parts, value, protocol)


def _push(parts: list[bytes], value: Push, protocol: int) -> None:
    parts.append(push_header(len(value), protocol))
    _elements(parts, value, protocol)


def _map(parts: list[bytes], value: dict[Any, Any], protocol: int) -> None:
    parts.append(b"%%%d\r\n" % len(value) if protocol == RESP3 else array_header(2 * len(value)))
    for pair in value.items():
        _elements(parts, pair, protocol)


def _failure(parts: list[bytes], value: Failure, _protocol: int) -> None:
    parts.append(encode_failure(value.line))


def _constant(parts: list[bytes], value: Constant, protocol: int) -> None:
    parts.append(value.frame(protocol))


def _elements(parts: list[bytes], values: Iterable[object], protocol: int) -> None:
    for value in values:
        _append(parts, value, protocol)


_ENCODERS: dict[type, Callable[[list[bytes], Any, int], None]] = {
    bytes: _bulk,
    str: _text,
    Simple: _simple,
    Verbatim: _verbatim,
    int: _integer,
    bool: _boolean,
    float: _double,
    type(None): _null,
    list: _array,
    Set: _set,
    Push: _push,
    dict: _map,
    Failure: _failure,
    Constant: _constant,
}
