"""Sender-selected distribution: the headers CC and BCC name further routing keys.

CC stays in what is delivered, BCC does not (RabbitMQ: Sender-Selected Distribution).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.amqp.errors import precondition_failed
from hubbub.protocols.amqp.properties import decode_headers, replace_headers

if TYPE_CHECKING:
    from hubbub.protocols.amqp.tables import Table

CC = "CC"
BCC = "BCC"


def may_have_copies(properties: bytes) -> bool:
    """Whether it is worth reading the headers for CC or BCC: the name stands there with its length."""
    return b"\x02CC" in properties or b"\x03BCC" in properties


def check_copies(properties: bytes) -> None:
    """Refuse CC and BCC that are no lists. Raises ChannelError (406)."""
    if not may_have_copies(properties):
        return
    headers = decode_headers(properties) or {}
    for name in (CC, BCC):
        found = headers.get(name)
        if found is not None and found.type_name != "array":
            raise precondition_failed(
                f'invalid message: {{unacceptable_type_in_header,"{name}",{found.type_name}}}'
            )


def routing_keys(key: bytes, headers: Table) -> tuple[bytes, ...]:
    """The routing keys of a message, each once."""
    keys = {key: None}
    for name in (CC, BCC):
        keys.update(dict.fromkeys(_copies(name, headers)))
    return tuple(keys)


def shown_routing_keys(key: bytes, headers: Table) -> list[bytes]:
    """The routing keys that everybody may see."""
    return [key, *_copies(CC, headers)]


def without_bcc(properties: bytes) -> bytes:
    """The properties as they are delivered. Raises SyntaxFailure."""
    if b"\x03BCC" not in properties:
        return properties
    headers = decode_headers(properties)
    if headers is None or headers.pop(BCC, None) is None:
        return properties
    return replace_headers(properties, headers)


def _copies(name: str, headers: Table) -> list[bytes]:
    found = headers.get(name)
    if found is None or found.type_name != "array":
        return []  # other protocols may have such headers, too
    return [each.value for each in found.value if each.type_name == "longstr"]
