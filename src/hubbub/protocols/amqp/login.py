"""Who a client says it is: PLAIN and AMQPLAIN (RFC 4616; RabbitMQ: "Access Control")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.protocols.amqp import tables
from hubbub.protocols.amqp.errors import SYNTAX_ERROR, ConnectionFailure

if TYPE_CHECKING:
    from hubbub.protocols.amqp.tables import Table

MECHANISMS = b"PLAIN AMQPLAIN"


def user_of(mechanism: str, response: bytes) -> tuple[str, str] | None:
    """User and password; None where the response has none. Raises ConnectionFailure."""
    if mechanism == "PLAIN":
        parts = response.split(b"\0")
        if len(parts) != 3:
            return None
        if parts[0] not in {b"", parts[1]}:
            return None  # nobody may act for another
        return _text(parts[1]), _text(parts[2])
    if mechanism == "AMQPLAIN":
        table = tables.decode_table(response)
        user, password = table.get("LOGIN"), table.get("PASSWORD")
        if user is None or password is None or user.letter != "S" or password.letter != "S":
            return None
        return _text(user.value), _text(password.value)
    raise ConnectionFailure(SYNTAX_ERROR, f"unknown authentication mechanism '{mechanism}'")


def capabilities_of(client_properties: Table) -> dict[str, Any]:
    """What a client says that it understands."""
    found = client_properties.get("capabilities")
    if found is None or found.letter != "F":
        return {}
    return {name: field.value for name, field in found.value.items()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
