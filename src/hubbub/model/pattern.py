"""Patterns: which addresses an observer, a subscription or a topic is interested in.

``*`` stands for one level, ``#`` for any number of levels, none included, and ``>`` at the end for
one or more, where a pattern is text. Redis globs match the dotted text instead. Leading wildcards
leave internal addresses (``$...`` and ``__...``) alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from hubbub.model import glob
from hubbub.model.address import Address, is_internal, parse_address
from hubbub.model.errors import InvalidAddressError

# What stands for levels is text that no level can be: to a protocol where one of these characters
# is a letter, its patterns may hold that letter beside wildcards.
ONE = "\0*"
ANY = "\0#"
MANY = "\0>"
_WILDCARDS = {"*": ONE, "#": ANY, ">": MANY}

# A glob is tried against every new address: the product of both lengths bounds one match.
MAX_GLOB_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Exact:
    """Matches one address."""

    address: Address

    def matches(self, address: Address) -> bool:
        """Whether ``address`` is the one."""
        return address == self.address

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Matches level by level; ``levels`` are canonical texts or ``ONE``, ``ANY``, ``MANY``."""

    levels: tuple[str, ...]

    def matches(self, address: Address) -> bool:
        """Whether ``address`` matches, in time linear in the product of the level counts."""
        if self.levels[0] in {ONE, ANY, MANY} and is_internal(address):
            return False
        return _match_levels(self.levels, address.split("."))

    def __str__(self) -> str:
        return ".".join(self.levels).replace("\0", "")


@dataclass(frozen=True, slots=True)
class Glob:
    r"""A Redis glob (``* ? [a-z] [^a] \x``) over the bytes of the name as Redis shows it."""

    text: bytes

    def __post_init__(self) -> None:
        if len(self.text) > MAX_GLOB_BYTES:
            raise InvalidAddressError(f"a glob pattern has at most {MAX_GLOB_BYTES} bytes")

    def matches_name(self, name: bytes) -> bool:
        """Whether the name, in its Redis spelling, matches."""
        return glob.matches(self.text, name)

    def __str__(self) -> str:
        return self.text.decode("utf-8", "backslashreplace")


Pattern: TypeAlias = Exact | Wildcard | Glob


def parse_pattern(text: str) -> Exact | Wildcard:
    """The pattern that ``text`` spells, an exact address where it has no wildcard level.

    Raises:
        InvalidAddressError: the text is no address, or ``>`` stands before the end.
    """
    address = parse_address(text)
    parts = tuple(_WILDCARDS.get(level, level) for level in address.split("."))
    if not {ONE, ANY, MANY} & set(parts):
        return Exact(address)
    if MANY in parts[:-1]:
        raise InvalidAddressError("'>' stands only at the end of a pattern")
    return Wildcard(parts)


def _match_levels(pattern: tuple[str, ...], parts: list[str]) -> bool:
    """Greedy matching with one point to return to, so no input makes it recurse or explode."""
    position = index = 0
    retry_pattern = retry_index = -1
    while index < len(parts):
        wanted = pattern[position] if position < len(pattern) else None
        if wanted == MANY:
            return True
        if wanted == ANY:
            retry_pattern, retry_index = position, index
            position += 1
        elif wanted is not None and wanted in {ONE, parts[index]}:
            position += 1
            index += 1
        elif retry_pattern >= 0:
            retry_index += 1
            position, index = retry_pattern + 1, retry_index
        else:
            return False
    return all(level == ANY for level in pattern[position:])
