"""Arguments and headers: which are the same, and how RabbitMQ's texts tell of those that are not."""

from __future__ import annotations

from typing import Any

from hubbub.protocols.amqp.errors import precondition_failed
from hubbub.protocols.amqp.tables import Field, Table, encode_table

INTEGER_TYPES = frozenset(
    ("byte", "unsignedbyte", "short", "unsignedshort", "signedint", "unsignedint", "long")
)
# What a declaration or a binding may bring, since all of them stay in memory. A frame holds 128 KiB; the
# arguments that mean something are some hundred bytes.
MAX_ARGUMENTS_BYTES = 4096

_FLOAT_TYPES = frozenset(("float", "double"))
_TEXT_TYPES = frozenset(("longstr", "binary"))

# What two values have in common that are the same to RabbitMQ.
Comparable = tuple[str, Any]


def comparable(field: Field) -> Comparable:
    """The value without the width of its type: 1 is 1, and neither 1.0 nor true."""
    kind = field.type_name
    if kind == "table":
        return kind, comparables(field.value)
    if kind == "array":
        return kind, [comparable(each) for each in field.value]
    if kind in INTEGER_TYPES:
        return "int", field.value
    if kind in _FLOAT_TYPES:
        return "float", field.value
    return "text" if kind in _TEXT_TYPES else kind, field.value


def comparables(table: Table) -> dict[str, Comparable]:
    """All values of a table by name, to be compared."""
    return {name: comparable(field) for name, field in table.items()}


def fingerprint(arguments: Table) -> bytes:
    """Arguments as bytes: the same for the same ones, in whatever order they came.

    Raises: ChannelError (406) for more than ``MAX_ARGUMENTS_BYTES``.
    """
    encoded = encode_table(dict(sorted(arguments.items())))
    if len(encoded) > MAX_ARGUMENTS_BYTES:
        raise precondition_failed(
            f"arguments of {len(encoded)} bytes, at most {MAX_ARGUMENTS_BYTES} are allowed"
        )
    return encoded


def text_of(field: Field) -> str:
    """The value of a `longstr`, as names are."""
    raw: bytes = field.value
    return raw.decode("utf-8", "surrogateescape")


def erlang(field: Field) -> str:
    """The value as Erlang prints it."""
    if field.type_name in _TEXT_TYPES:
        return f'<<"{text_of(field)}">>'
    return _plain(field.value)


def assert_equivalent(of: str, name: str, current: Field | None, received: Field | None) -> None:
    """Refuse an argument that is not what it was. Raises ChannelError (406).

    ``of`` is how texts name what has the argument.
    """
    if current is None or received is None:
        if current is not received:
            raise _inequivalent(of, name, _described(received), _described(current))
    elif comparable(current) != comparable(received):
        raise _inequivalent(of, name, _quoted(received), _quoted(current))


def assert_property(of: str, name: str, current: object, received: object) -> None:
    """Refuse a property that is not what it was; as ``assert_equivalent``."""
    if current != received:
        raise _inequivalent(of, name, f"'{_plain(received)}'", f"'{_plain(current)}'")


def _inequivalent(of: str, name: str, received: str, current: str) -> Exception:
    return precondition_failed(
        f"inequivalent arg '{name}' for {of}: received {received} but current is {current}"
    )


def _described(field: Field | None) -> str:
    if field is None:
        return "none"
    return f"the value {_quoted(field)} of type '{field.type_name}'"


def _quoted(field: Field) -> str:
    return f"'{text_of(field) if field.type_name in _TEXT_TYPES else _plain(field.value)}'"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
