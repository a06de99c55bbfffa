"""Redis's concepts and ours: channels and addresses, payloads and messages, our errors and Redis's.

A channel is any bytes and an address is text, so a channel that is canonical text is its own address
and any other is escaped (``hubbub.model.address.from_opaque``). A payload is a message's value; Redis
has no place for a key or for headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.model.address import from_opaque, to_opaque
from hubbub.model.errors import DeniedError, StorageError
from hubbub.model.message import Message

if TYPE_CHECKING:
    from hubbub.model.address import Address


def address_of(channel: bytes) -> Address:
    """The address that a channel names. Raises InvalidAddressError."""
    return from_opaque(channel)


def channel_of(address: Address) -> bytes:
    """The channel as Redis clients know it."""
    return to_opaque(address)


def message_of(channel: bytes, payload: bytes, now_ms: int) -> Message:
    """What a PUBLISH says. Raises InvalidAddressError."""
    return Message(address_of(channel), payload, timestamp_ms=now_ms)


def payload_of(message: Message) -> bytes:
    """The value; Kafka's tombstone is an empty payload, for Redis has no null message."""
    return message.value or b""


def error_line(error: Exception) -> str:
    """The text of a Redis error reply for one of our errors, with Redis's own code where it has one."""
    if isinstance(error, DeniedError):
        return f"NOPERM {error}"
    if isinstance(error, StorageError):
        return f"MISCONF {error}"
    return f"ERR {error}"
