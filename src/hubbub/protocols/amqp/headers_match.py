"""What a binding to a headers exchange wants (AMQP 0-9-1 section 3.1.3.4; RabbitMQ's x-match)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.amqp.arguments import comparable, erlang
from hubbub.protocols.amqp.errors import precondition_failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.protocols.amqp.arguments import Comparable
    from hubbub.protocols.amqp.tables import Table

X_MATCH = "x-match"
_RULES = (b"all", b"any", b"all-with-x", b"any-with-x")


def check_match(arguments: Table) -> None:
    """Refuse an `x-match` that is none. Raises ChannelError (406)."""
    found = arguments.get(X_MATCH)
    if found is None:
        return
    if found.type_name != "longstr":
        raise precondition_failed(
            f"Invalid x-match field type {found.type_name} (value {erlang(found)}); "
            "expected longstr"
        )
    if found.value not in _RULES:
        raise precondition_failed(
            f"Invalid x-match field value {erlang(found)}; "
            "expected all, any, all-with-x, or any-with-x"
        )


class HeadersMatch:
    """The headers that a binding wants: all of them, unless it says any.

    A void value asks for the header, whatever that says. Names that begin with `x-` are only looked
    at by the rules that say so.
    """

    __slots__ = ("_all", "_wanted")

    def __init__(self, arguments: Table) -> None:
        found = arguments.get(X_MATCH)
        rule = b"all" if found is None else found.value
        with_x = rule in (b"all-with-x", b"any-with-x")
        self._all = rule not in (b"any", b"any-with-x")
        self._wanted: list[tuple[str, Comparable | None]] = [
            (name, None if field.type_name == "void" else comparable(field))
            for name, field in arguments.items()
            if (name != X_MATCH if with_x else not name.startswith("x-"))
        ]

    def matches(self, headers: Mapping[str, Comparable]) -> bool:
        """Whether a message with these headers (``comparables``) is wanted."""
        hits = (
            name in headers if wanted is None else headers.get(name) == wanted
            for name, wanted in self._wanted
        )
        return all(hits) if self._all else any(hits)
