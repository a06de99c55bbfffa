"""How the values of Kafka's configs look as text: ``ConfigDef``'s types, as far as we have them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from hubbub.model.escape import Escape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

V = TypeVar("V")

MAX_INT = 2**31 - 1
MAX_LONG = 2**63 - 1

# Pattern lists are kept without their separator, so that any address can stand in one.
_COMMA = Escape(b"%", b",")
# Java's parseLong takes a sign and decimal digits; int() would also take underscores and more.
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)


class ConfigType(IntEnum):
    """The type codes of DescribeConfigs (KIP-569)."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    LONG = 5
    LIST = 7


@dataclass(frozen=True, slots=True)
class Form(Generic[V]):
    """One type of value: ``parse`` raises ValueError with what is wrong, in Kafka's words."""

    type: ConfigType
    parse: Callable[[str], V]
    format: Callable[[V], str]


def whole(config_type: ConfigType, low: int) -> Form[int]:
    """Whole numbers of the type (INT or LONG) from ``low`` on."""
    high = MAX_INT if config_type is ConfigType.INT else MAX_LONG

    def parse(text: str) -> int:
        digits = text.strip()
        value = int(digits) if _WHOLE.fullmatch(digits) else high + 1
        if not -high - 1 <= value <= high:
            raise ValueError(f"Not a number of type {config_type.name}")
        if value < low:
            raise ValueError(f"Value must be at least {low}")
        return value

    return Form(config_type, parse, str)


def choice(ours: Mapping[str, V]) -> Form[V]:
    """One of Kafka's words, each with what we call it."""
    theirs = {value: word for word, value in ours.items()}

    def parse(text: str) -> V:
        try:
            return ours[text.strip()]
        except KeyError:
            raise ValueError(f"String must be one of: {', '.join(ours)}") from None

    return Form(ConfigType.STRING, parse, theirs.__getitem__)


def flags(*words: str) -> Form[tuple[bool, ...]]:
    """A list of any of the words, none included: for each of them, whether it is there."""

    def parse(text: str) -> tuple[bool, ...]:
        chosen = {word.strip() for word in text.split(",")} - {""}
        if chosen - set(words):
            raise ValueError(f"String must be one of: {', '.join(words)}")
        return tuple(word in chosen for word in words)

    def write(present: tuple[bool, ...]) -> str:
        return ",".join(word for word, there in zip(words, present, strict=True) if there)

    return Form(ConfigType.LIST, parse, write)


def _parse_patterns(text: str) -> tuple[str, ...]:
    return tuple(_COMMA.decode(part.encode()).decode() for part in text.split(",") if part)


def _format_patterns(patterns: tuple[str, ...]) -> str:
    return ",".join(_COMMA.encode(pattern.encode()).decode() for pattern in patterns)


PATTERNS = Form(ConfigType.LIST, _parse_patterns, _format_patterns)
