"""Addresses: what a message is published to.

An address is a list of levels. Its canonical text joins them with dots, ``orders.eu.created``; a
dot, or a byte that text cannot carry, inside a level is escaped as ``%HH`` (see ``escape``). The
text is UTF-8 in normal form C, without control characters, at most ``MAX_LEVELS`` levels: what every
protocol's encoder can emit as exactly one frame, or refuse.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NewType

from hubbub.model.errors import InvalidAddressError
from hubbub.model.escape import Escape

if TYPE_CHECKING:
    from collections.abc import Iterable

Address = NewType("Address", str)

# MQTT's length field for a topic name is 16 bits wide; no other protocol allows longer names.
MAX_ADDRESS_BYTES = 65_535
# Deeper hierarchies have crashed brokers that matched by recursion; real ones stay under twenty.
# mosquitto takes 200 separators, and so do its tests.
MAX_LEVELS = 201

_UNPRINTABLE = [
    *range(0x20),
    *range(0x7F, 0x100),
]  # the bytes that canonical text may have to escape
_LEVEL = Escape(b"%", [*_UNPRINTABLE, ord(".")])
_OPAQUE = Escape(b"%", _UNPRINTABLE)


def parse_address(text: str) -> Address:
    """The canonical address that ``text`` spells.

    Raises:
        InvalidAddressError: not NFC, a control character, too long or too many levels.
    """
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise InvalidAddressError("an address is text that UTF-8 can carry") from error
        if not unicodedata.is_normalized("NFC", text):
            raise InvalidAddressError("an address is Unicode text in normal form C")
    if size > MAX_ADDRESS_BYTES:
        raise InvalidAddressError(f"an address has at most {MAX_ADDRESS_BYTES} bytes")
    if not text.isprintable() and has_control(text):
        raise InvalidAddressError("an address has no control characters")
    if text.count(".") >= MAX_LEVELS:
        raise InvalidAddressError(f"an address has at most {MAX_LEVELS} levels")
    return Address(text)


def has_control(text: str) -> bool:
    """Whether a C0 or C1 control character or DEL stands in ``text``."""
    return any(unicodedata.category(character) == "Cc" for character in text)


def levels(address: Address) -> tuple[str, ...]:
    """The levels, each as it was before escaping; ``surrogateescape`` carries bytes that are no text."""
    if "%" not in address:
        return tuple(address.split("."))
    return tuple(
        _LEVEL.decode(level.encode()).decode("utf-8", "surrogateescape")
        for level in address.split(".")
    )


def from_levels(parts: Iterable[str]) -> Address:
    """The address with these levels; inverse of ``levels``."""
    return parse_address(".".join(_level_text(part) for part in parts))


def _level_text(level: str) -> str:
    raw = level.encode("utf-8", "surrogateescape")
    # Escaping all that is not plain ASCII is only needed where the text is not canonical as it is.
    escape = _DOTS if _is_canonical(raw) else _LEVEL
    return escape.encode(raw).decode()


def from_opaque(name: bytes) -> Address:
    """The address of a name that is any bytes (a Redis channel): itself where it is canonical text."""
    if _is_plain(name):
        return parse_address(name.decode())
    return parse_address(".".join(map(_opaque_level, name.split(b"."))))


def _opaque_level(level: bytes) -> str:
    # Level by level: what one of them holds must not change how another is written.
    escape = _MARKS if _is_canonical(level) else _OPAQUE
    return escape.encode(level).decode()


def from_raw(name: bytes) -> Address:
    """The address whose canonical text ``name`` is; bytes that are none are escaped."""
    if _is_plain(name):
        return parse_address(name.decode())
    return parse_address(
        ".".join(
            (level if _is_canonical(level) else _OPAQUE.encode(level)).decode()
            for level in name.split(b".")
        )
    )


def to_opaque(address: Address) -> bytes:
    """The bytes that ``from_opaque`` was given; canonical text from elsewhere is shown as it is."""
    raw = address.encode()
    return _OPAQUE.decode(raw) if b"%" in raw else raw


def _is_plain(raw: bytes) -> bool:
    """Whether nothing of it can need an escape, as is true of most names."""
    return raw.isascii() and b"%" not in raw and raw.decode().isprintable()


def _is_canonical(raw: bytes) -> bool:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return False
    return (text.isprintable() or not has_control(text)) and unicodedata.is_normalized("NFC", text)


def is_internal(address: Address) -> bool:
    """Whether wildcards leave the address alone: its first level begins with ``$`` or ``__``."""
    return address.startswith(("$", "__"))


class _MarksOnly(Escape):
    """Escapes marks that read as escapes, and of the illegal bytes only those in ``also``.

    The illegal set says what an escape may stand for, so a text encoded here decodes with the
    escape it was made from.
    """

    def __init__(self, illegal: Iterable[int], also: bytes) -> None:
        super().__init__(b"%", illegal)
        self._also = also

    def _encode_match(self, match: object) -> bytes:
        found: bytes = match[0]  # type: ignore[index]
        if found == self._mark or found in self._also:
            return super()._encode_match(match)  # type: ignore[arg-type]
        return found


_DOTS = _MarksOnly([*_UNPRINTABLE, ord(".")], b".")
_MARKS = _MarksOnly(_UNPRINTABLE, b"")
