"""Reversible escaping, so that a name never loses a character on its way to another protocol.

A text that must avoid some bytes carries each of them as a mark and two upper-case hex digits: with
the mark ``%`` a dot inside a level is ``%2E``. A mark that already stands before something that
reads as an escape is escaped itself, so ``decode(encode(x)) == x`` for every x, and a text that
needs no escape is left alone. (NATS escapes ``.`` as ``//`` for the same reason.)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Escape:
    """One alphabet's escaping: ``mark`` introduces the two hex digits of an ``illegal`` byte."""

    def __init__(self, mark: bytes, illegal: Iterable[int]) -> None:
        codes = sorted(illegal)
        quoted = re.escape(mark)
        # What follows the mark of an escaped mark: the hex of its first byte, then its rest.
        self._stuffing = b"%02X" % mark[0] + mark[1:]
        hexes = b"|".join(b"%02X" % code for code in codes) or b"(?!)"
        follows = b"(?=(?:%s)*(?:%s))" % (re.escape(self._stuffing), hexes)
        raw = b"".join(re.escape(bytes([code])) for code in codes)
        self._mark = mark
        illegal_class = b"|[%s]" % raw if raw else b""
        self._encodable = re.compile(b"%s%s%s" % (quoted, follows, illegal_class), re.DOTALL)
        self._decodable = re.compile(
            b"%s(?:(%s)%s|(%s))" % (quoted, re.escape(self._stuffing), follows, hexes)
        )

    def encode(self, raw: bytes) -> bytes:
        """Text without the illegal bytes."""
        return self._encodable.sub(self._encode_match, raw)

    def decode(self, text: bytes) -> bytes:
        """The bytes that ``encode`` was given."""
        return self._decodable.sub(self._decode_match, text)

    def _encode_match(self, match: re.Match[bytes]) -> bytes:
        found = match[0]
        if found == self._mark:
            return self._mark + self._stuffing
        return self._mark + b"%02X" % found[0]

    def _decode_match(self, match: re.Match[bytes]) -> bytes:
        return self._mark if match[1] is not None else bytes([int(match[2], 16)])
