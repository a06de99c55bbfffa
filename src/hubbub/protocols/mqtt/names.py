"""Topic names and filters, and our addresses and patterns.

The levels of a topic are those of the address (``sport/tennis`` is ``sport.tennis``); a level that
holds a dot is escaped in the address, and one that holds what a topic name cannot (``/``, ``+``,
``#``, NUL, bytes that are no UTF-8) in the topic name, as ``%HH`` both. So a client always sees the
names that it uses itself, whoever publishes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from hubbub.model.address import MAX_LEVELS, Address, from_levels, levels
from hubbub.model.errors import InvalidAddressError
from hubbub.model.escape import Escape
from hubbub.model.pattern import ANY, ONE, Exact, Wildcard
from hubbub.protocols.mqtt.fields import MAX_STRING_BYTES

_SHARE = b"$share/"

# Topic filters up to this length are remembered with what they mean, some thousands of them.
_WORTH_REMEMBERING = 128

# Characters that a level of a topic name cannot hold, and then also what no UTF-8 text holds.
_TEXT = Escape(b"%", b"\0#+/")
_BYTES = Escape(b"%", [*b"\0#+/", *range(0x80, 0x100)])
# A text that would read as such bytes has its marks before high bytes escaped once more.
_HIGH = re.compile(rb"%(?=(?:25)*[89A-F][0-9A-F])")
_STUFFING = re.compile(rb"%25(?=(?:25)*[89A-F][0-9A-F])")
_ANY_STUFFING = re.compile(rb"%(?:25)+(?=[89A-F][0-9A-F])")


class InvalidNameError(InvalidAddressError):
    """No topic name, or no topic filter; or one that is no address."""


class MalformedNameError(InvalidNameError):
    """By the specification no topic name or filter at all."""


class TooManyLevelsError(InvalidNameError):
    """More levels than an address has."""


class SharedFilter(NamedTuple):
    """``$share/{name}/{filter}`` (MQTT 5 section 4.8.2)."""

    share: bytes
    filter: bytes


def address_of(topic: bytes) -> Address:
    """The address of a topic name. Raises InvalidNameError (section 4.7)."""
    if not topic or b"+" in topic or b"#" in topic:
        # [MQTT-4.7.3-1] at least one character, [MQTT-3.3.2-2] no wildcard.
        raise MalformedNameError("a topic name is not empty and has no wildcards")
    return _address(topic.split(b"/"))


def _address(parts: list[bytes]) -> Address:
    if len(parts) > MAX_LEVELS:
        raise TooManyLevelsError(f"a topic has at most {MAX_LEVELS} levels")
    try:
        return from_levels([_level(part) for part in parts])
    except InvalidNameError:
        raise
    except InvalidAddressError as error:
        raise InvalidNameError(str(error)) from error


def _level(part: bytes) -> str:
    """The level that a client writes. NUL itself is no part of any string [MQTT-1.5.4-2]: an escape says it."""
    if b"\0" in part:
        raise MalformedNameError("a topic has no NUL")
    if b"%" not in part:
        return _strict(part)
    raw = _raw_bytes(part)
    if raw is not None:
        return raw.decode("utf-8", "surrogateescape")
    if _raw_bytes(_ANY_STUFFING.sub(b"%", part)) is not None:
        part = _STUFFING.sub(b"%", part)
    return _strict(_TEXT.decode(part))


def _strict(part: bytes) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError as error:
        raise MalformedNameError("a topic is not UTF-8") from error


def spelled(address: Address) -> bytes:
    """The topic name that clients see; empty where it is longer than a topic name can be."""
    parts = (level.encode("utf-8", "surrogateescape") for level in levels(address))
    topic = b"/".join(part if part.isalnum() else _shown(part) for part in parts)
    return topic if len(topic) <= MAX_STRING_BYTES else b""


def _shown(raw: bytes) -> bytes:
    if not _is_text(raw):
        return _show_bytes(raw)
    part = _TEXT.encode(raw)
    if b"%" in part and _raw_bytes(_ANY_STUFFING.sub(b"%", part)) is not None:
        return _HIGH.sub(b"%25", part)  # so that it does not read as bytes
    return part


def _show_bytes(raw: bytes) -> bytes:
    """A level that is no text: what is text inside stays readable, other bytes are escaped."""
    text = _BYTES_MARKS.encode(raw).decode("utf-8", "surrogateescape")
    return b"".join(
        b"%%%02X" % (ord(character) - 0xDC00)
        if "\udc80" <= character <= "\udcff"
        else character.encode()
        for character in text
    )


def _raw_bytes(part: bytes) -> bytes | None:
    """The bytes that ``_show_bytes`` shows as ``part``, if there are any."""
    raw = _BYTES.decode(part)
    return raw if not _is_text(raw) and _show_bytes(raw) == part else None


class _MarksAndText(Escape):
    """Escapes marks as ``_BYTES`` does, and of the illegal bytes only those of ``_TEXT``."""

    def _encode_match(self, match: object) -> bytes:
        found: bytes = match[0]  # type: ignore[index]
        return found if found[0] >= 0x80 else super()._encode_match(match)  # type: ignore[arg-type]


_BYTES_MARKS = _MarksAndText(b"%", [*b"\0#+/", *range(0x80, 0x100)])


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def split_share(text: bytes) -> SharedFilter | None:
    """The parts of a shared subscription's filter, None for any other. Raises InvalidNameError."""
    if not text.startswith(_SHARE):
        return None
    share, slash, rest = text.removeprefix(_SHARE).partition(b"/")
    # [MQTT-4.8.2-1, MQTT-4.8.2-2] a name of at least one character, without wildcards; and a filter.
    if not share or not slash or not rest or b"+" in share or b"#" in share:
        raise MalformedNameError("no ShareName, or no topic filter behind it")
    return SharedFilter(share, rest)


def pattern_of(text: bytes) -> Exact | Wildcard:
    """The pattern that a topic filter means. Raises InvalidNameError (section 4.7.1)."""
    read = _pattern_of
    return read(text) if len(text) <= _WORTH_REMEMBERING else read.__wrapped__(text)


@lru_cache(maxsize=4096)
def _pattern_of(text: bytes) -> Exact | Wildcard:
    if not text:
        raise MalformedNameError("a topic filter is not empty")
    parts = text.split(b"/")
    if b"+" not in text and b"#" not in text:
        return Exact(_address(parts))
    if len(parts) > MAX_LEVELS:
        raise TooManyLevelsError(f"a topic filter has at most {MAX_LEVELS} levels")
    if b"#" in parts[:-1]:
        raise MalformedNameError("'#' stands only at the end of a topic filter")
    return Wildcard(tuple(_pattern_level(part) for part in parts))


def _pattern_level(part: bytes) -> str:
    if part == b"+":
        return ONE
    if part == b"#":
        return ANY
    if b"+" in part or b"#" in part:
        # [MQTT-4.7.1-1, MQTT-4.7.1-2] a wildcard is a whole level.
        raise MalformedNameError("a wildcard stands for a whole level")
    return _address([part])
