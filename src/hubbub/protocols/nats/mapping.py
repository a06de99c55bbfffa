"""NATS's concepts and ours: subjects and addresses, headers and slots.

A subject is the canonical text of an address but for what a subject cannot hold: a blank is ``%20``
there, and an empty level ``%-``. A subject that is no canonical text (control characters, bytes that
are no UTF-8) is escaped on the way in, and clients see it escaped.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hubbub.model.address import MAX_LEVELS, Address, from_raw
from hubbub.model.errors import InvalidAddressError
from hubbub.model.escape import Escape
from hubbub.model.message import Message
from hubbub.model.pattern import MANY, ONE, Exact, Pattern, Wildcard
from hubbub.protocols.nats.codec import decode_headers, encode_headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.model.message import Headers

_BLANK = Escape(b"%", b" ")
_EMPTY_LEVEL = b"%-"
# A level that reads as the sign of an empty one, with the marks that were put in to tell it apart.
_LIKE_EMPTY = re.compile(rb"%(?:25)*-")

KEY_HEADER = b"hubbub-key"
_CONTENT_TYPE = b"Content-Type"
_MESSAGE_ID = b"Nats-Msg-Id"
_CORRELATION_ID = b"Correlation-Id"

_UNSAFE_NAME = re.compile(rb"[\x00-\x20:\x7f]")
_UNSAFE_VALUE = re.compile(rb"[\x00\r\n]")


def address_of(subject: bytes) -> Address:
    """The address that a subject names. Raises InvalidAddressError, for an empty token too."""
    if b"%" not in subject and not _has_empty(subject):
        return from_raw(subject)
    return from_raw(b".".join(_level_of(token) for token in subject.split(b".")))


def _has_empty(subject: bytes) -> bool:
    return b".." in subject or subject[:1] in {b".", b""} or subject[-1:] == b"."


def _level_of(token: bytes) -> bytes:
    if not token:
        raise InvalidAddressError("a subject has no empty token")
    if token == _EMPTY_LEVEL:
        return b""
    if _LIKE_EMPTY.fullmatch(token):
        return b"%" + token[3:]
    return _BLANK.decode(token)


def spelled(address: Address) -> bytes:
    """The subject that clients see; inverse of ``address_of``."""
    raw = address.encode()
    if b"%" not in raw and b" " not in raw and not _has_empty(raw):
        return raw
    return b".".join(_token_of(level) for level in raw.split(b"."))


def _token_of(level: bytes) -> bytes:
    if not level:
        return _EMPTY_LEVEL
    if _LIKE_EMPTY.fullmatch(level):
        return b"%25" + level[1:]
    return _BLANK.encode(level)


def pattern_of(subject: bytes) -> Pattern:
    """The pattern that a SUB means. Raises InvalidAddressError.

    ``*`` stands for a token, ``>`` at the end for one or more; inside a token they are letters.
    """
    tokens = subject.split(b".")
    if b"*" not in tokens and b">" not in tokens:
        return Exact(address_of(subject))
    if len(tokens) > MAX_LEVELS or b">" in tokens[:-1]:
        raise InvalidAddressError("'>' stands only at the end of a subject")
    return Wildcard(tuple(_pattern_level(token) for token in tokens))


def _pattern_level(token: bytes) -> str:
    if token == b"*":
        return ONE
    if token == b">":
        return MANY
    return address_of(token)


def is_literal(subject: bytes) -> bool:
    """Whether a pedantic server takes the subject for one to publish to."""
    tokens = subject.split(b".")
    return not {b"", b"*", b">"} & set(tokens)


def message_of(
    address: Address, value: bytes, reply: bytes, headers: bytes, timestamp_ms: int
) -> Message:
    """What a PUB or HPUB says, as an object. A reply subject that is no address is left out."""
    slots: dict[str, Any] = {}
    rest: list[tuple[str, bytes | None]] = []
    for name, content in decode_headers(headers) if headers else ():
        slot = _SLOTS.get(name.lower())
        if slot is None or slot in slots:
            rest.append((name.decode("utf-8", "replace"), content))
        elif slot in {"key", "correlation_id"}:
            slots[slot] = content
        else:
            slots[slot] = content.decode("utf-8", "replace")
    if reply:
        with suppress(InvalidAddressError):
            slots["reply_to"] = address_of(reply)
    return Message(address, value, slots.pop("key", None), tuple(rest), timestamp_ms, **slots)


_SLOTS = {
    KEY_HEADER: "key",
    _CONTENT_TYPE.lower(): "content_type",
    _MESSAGE_ID.lower(): "message_id",
    _CORRELATION_ID.lower(): "correlation_id",
}


def reply_of(message: Message) -> bytes:
    """The reply subject of a message, empty if it has none."""
    return b"" if message.reply_to is None else spelled(message.reply_to)


def headers_of(message: Message) -> bytes:
    """The header block of a message that another protocol published, empty if it needs none."""
    found = [*_slot_headers(message), *_plain_headers(message.headers)]
    return encode_headers(found) if found else b""


def _slot_headers(message: Message) -> Iterable[tuple[bytes, bytes]]:
    if message.key is not None:
        yield KEY_HEADER, _value(message.key)
    if message.content_type is not None:
        yield _CONTENT_TYPE, _value(_text(message.content_type))
    if message.message_id is not None:
        yield _MESSAGE_ID, _value(_text(message.message_id))
    if message.correlation_id is not None:
        yield _CORRELATION_ID, _value(message.correlation_id)


def _plain_headers(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    for name, content in headers:
        if name:
            yield _UNSAFE_NAME.sub(_escaped, _text(name)), _value(content or b"")


def _text(text: str) -> bytes:
    # Text from another protocol may hold half a surrogate pair, which UTF-8 has no bytes for.
    return text.encode("utf-8", "replace")


def _value(content: bytes) -> bytes:
    # A line end in a value would begin a header, or a message, of its own.
    return _UNSAFE_VALUE.sub(_escaped, content)


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
