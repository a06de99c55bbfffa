"""What a binding to a headers exchange wants (AMQP 0-9-1 section 3.1.3.4; RabbitMQ's x-match)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.amqp.arguments import comparable, erlang, find
from hubbub.protocols.amqp.refusals import precondition_failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.protocols.amqp.arguments import Arguments, Comparable

X_MATCH = b"x-match"
_RULES = (b"all", b"any", b"all-with-x", b"any-with-x")
_EXPECTED = "expected all, any, all-with-x, or any-with-x"


def check_match(arguments: Arguments) -> None:
    """Refuse an `x-match` that is none. Raises ChannelError (406)."""
    found = find(arguments, X_MATCH)
    if found is None:
        return
    if found.type != "longstr":
        raise precondition_failed(
            f"Invalid x-match field type {found.type} (value {erlang(found)}); expected longstr"
        )
    if found.value not in _RULES:
        raise precondition_failed(f"Invalid x-match field value {erlang(found)}; {_EXPECTED}")


class HeadersMatch:
    """The headers that a binding wants: all of them, unless it says any.

    A void value asks for the header, whatever it says. What begins with `x-` is only looked at by
    the rules that say so.
    """

    __slots__ = ("_all", "_wanted")

    def __init__(self, arguments: Arguments) -> None:
        found = find(arguments, X_MATCH)
        rule = found.value if found is not None and found.value in _RULES else b"all"
        with_x = rule in (b"all-with-x", b"any-with-x")
        self._all = rule in (b"all", b"all-with-x")
        self._wanted: list[tuple[bytes, Comparable | None]] = [
            (name, None if field.type == "void" else comparable(field))
            for name, field in arguments.items()
            if (name != X_MATCH if with_x else not name.startswith(b"x-"))
        ]

    def matches(self, headers: Mapping[bytes, Comparable]) -> bool:
        """Whether a message with these headers (``comparables``) is wanted."""
        hits = (
            name in headers if wanted is None else headers.get(name) == wanted
            for name, wanted in self._wanted
        )
        return all(hits) if self._all else any(hits)
