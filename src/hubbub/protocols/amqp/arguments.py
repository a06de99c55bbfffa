"""Arguments and headers as the topology looks at them: names, and values with their types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hubbub.protocols.amqp.refusals import precondition_failed

INTEGER_TYPES = frozenset(
    ("byte", "unsignedbyte", "short", "unsignedshort", "signedint", "unsignedint", "long")
)
_FLOAT_TYPES = frozenset(("float", "double"))


class Field(NamedTuple):
    """A value of a field table, with the name that RabbitMQ has for its type.

    `longstr` and `binary` are bytes, a `table` is Arguments, an `array` a list of fields.
    """

    type: str
    value: Any

    def text(self) -> str:
        """The value of a `longstr`."""
        text: str = self.value.decode(errors="replace")
        return text


Arguments = Mapping[bytes, Field]

# What two values have in common that are the same to a headers exchange.
Comparable = tuple[str, Any]


def find(arguments: Arguments, name: bytes) -> Field | None:
    """The argument of that name."""
    return arguments.get(name)


def comparable(field: Field) -> Comparable:
    """The value without the width of its type: 1 is 1, and neither 1.0 nor true."""
    if field.type == "table":
        pairs = {name: comparable(each) for name, each in field.value.items()}
        return "table", pairs
    if field.type == "array":
        return "array", [comparable(each) for each in field.value]
    return _class_of(field.type), field.value


def comparables(headers: Arguments) -> dict[bytes, Comparable]:
    """All headers of a message, to be matched."""
    return {name: comparable(field) for name, field in headers.items()}


def erlang(field: Field) -> str:
    """The value as Erlang prints it in RabbitMQ's texts."""
    if field.type in ("longstr", "binary"):
        return f'<<"{field.text()}">>'
    return _plain(field.value)


def assert_equivalent(
    of: str, name: bytes, current: Field | None, received: Field | None
) -> None:
    """Refuse an argument that is not what it was. Raises ChannelError (406).

    ``of`` is how texts name what has the argument.
    """
    if current is None or received is None:
        if current is not received:
            raise _inequivalent(of, name.decode(), _described(received), _described(current))
    elif comparable(current) != comparable(received):
        raise _inequivalent(of, name.decode(), _quoted(received), _quoted(current))


def assert_property(of: str, name: str, current: object, received: object) -> None:
    """Refuse a property that is not what it was; as ``assert_equivalent``."""
    if current != received:
        quoted = [f"'{_plain(value)}'" for value in (received, current)]
        raise _inequivalent(of, name, *quoted)


def _inequivalent(of: str, name: str, received: str, current: str) -> Exception:
    return precondition_failed(
        f"inequivalent arg '{name}' for {of}: received {received} but current is {current}"
    )


def _described(field: Field | None) -> str:
    if field is None:
        return "none"
    return f"the value {_quoted(field)} of type '{field.type}'"


def _quoted(field: Field) -> str:
    is_text = field.type in ("longstr", "binary")
    return f"'{field.text() if is_text else _plain(field.value)}'"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _class_of(type_: str) -> str:
    if type_ in INTEGER_TYPES:
        return "int"
    if type_ in _FLOAT_TYPES:
        return "float"
    return "binary" if type_ == "longstr" else type_
