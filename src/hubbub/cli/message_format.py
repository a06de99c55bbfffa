"""How `hubbub sub` prints a message: the percent escapes of kcat and rpk, or JSON."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.bus.message import Message

T = TypeVar("T")

_BACKSLASHES = {"n": b"\n", "r": b"\r", "t": b"\t", "0": b"\0", "\\": b"\\"}
_TOKENS = re.compile(r"%(?P<percent>.?)|\\(?P<backslash>.?)|[^%\\]+", re.DOTALL)


def _number(number: int | None) -> bytes:
    # A live message stands nowhere; kcat prints -1 where it knows no offset.
    return b"-1" if number is None else str(number).encode()


def _headers(message: Message) -> bytes:
    return b",".join(name.encode() + b"=" + (value or b"") for name, value in message.headers)


_ESCAPES: dict[str, Callable[[Message], bytes]] = {
    "t": lambda message: message.address.encode(),
    "k": lambda message: message.key or b"",
    "v": lambda message: message.value or b"",
    "s": lambda message: message.value or b"",
    "S": lambda message: _number(None if message.value is None else len(message.value)),
    "o": lambda message: _number(message.offset),
    "p": lambda message: _number(message.partition),
    "h": _headers,
    "T": lambda message: _number(message.timestamp_ms),
    "%": lambda _: b"%",
}


def compile_format(text: str) -> Callable[[Message], bytes]:
    r"""The printer for a format such as ``%t %k %v\n``. Raises click.BadParameter."""
    parts: list[bytes | Callable[[Message], bytes]] = []
    for token in _TOKENS.finditer(text):
        if token["percent"] is not None:
            parts.append(_known(_ESCAPES, token))
        elif token["backslash"] is not None:
            parts.append(_known(_BACKSLASHES, token))
        else:
            parts.append(token[0].encode("utf-8", "surrogateescape"))
    return lambda message: b"".join(
        part if isinstance(part, bytes) else part(message) for part in parts
    )


def as_json(message: Message) -> bytes:
    """One line. What is no UTF-8 is under ``value_base64`` and ``key_base64`` instead."""
    fields: dict[str, Any] = {"address": message.address, "timestamp_ms": message.timestamp_ms}
    if message.topic is not None:
        fields["topic"] = message.topic
        fields["partition"] = message.partition
        fields["offset"] = message.offset
    fields |= _text("key", message.key) | _text("value", message.value)
    fields["headers"] = [
        [name, None if value is None else value.decode("utf-8", "backslashreplace")]
        for name, value in message.headers
    ]
    return json.dumps(fields, ensure_ascii=False).encode() + b"\n"


def _known(table: dict[str, T], token: re.Match[str]) -> T:
    name = token[0][1:]
    if name not in table:
        known = " ".join(token[0][0] + known for known in table)
        raise click.BadParameter(f"{token[0]!r} is none of {known}", param_hint="--format")
    return table[name]


def _text(name: str, raw: bytes | None) -> dict[str, str | None]:
    if raw is None:
        return {name: None}
    try:
        return {name: raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(raw).decode()}
