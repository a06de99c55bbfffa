"""Who a client says it is: PLAIN and AMQPLAIN (RFC 4616; RabbitMQ: "Access Control")."""

from __future__ import annotations

from typing import Any

from hubbub.protocols.amqp import tables
from hubbub.protocols.amqp.errors import SYNTAX_ERROR, ConnectionFailure

MECHANISMS = b"PLAIN AMQPLAIN"


def user_of(mechanism: str, response: bytes) -> tuple[str, str] | None:
    """User and password; None where the response has none. Raises ConnectionFailure."""
    if mechanism == "PLAIN":
        parts = response.split(b"\0")
        if len(parts) != 3:  # noqa: PLR2004 - authorisation identity, user, password
            return None
        return _text(parts[1]), _text(parts[2])
    if mechanism == "AMQPLAIN":
        table = tables.decode_table(response)
        user, password = table.get("LOGIN"), table.get("PASSWORD")
        if isinstance(user, bytes | str) and isinstance(password, bytes | str):
            return _text(user), _text(password)
        return None
    raise ConnectionFailure(
        SYNTAX_ERROR, f"unknown authentication mechanism '{mechanism}'"
    )


def capabilities_of(client_properties: dict[str, Any]) -> dict[str, Any]:
    """What a client says that it understands."""
    found = client_properties.get("capabilities")
    return found if isinstance(found, dict) else {}


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
