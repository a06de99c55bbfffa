"""The message: what a publisher hands over and every observer gets."""

from __future__ import annotations

import msgspec

from hubbub.model.address import Address

Headers = tuple[tuple[str, bytes | None], ...]


class Message(msgspec.Struct, frozen=True, gc=False):
    """One published message.

    ``headers`` is an ordered multi-map. ``timestamp_ms`` is Unix time in milliseconds, set by the
    broker where the publisher's protocol has none. ``expiry_ms`` is how long the message is worth
    delivering, counted from its timestamp. A ``None`` value is Kafka's tombstone.
    """

    address: Address
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp_ms: int = -1
    message_id: str | None = None
    content_type: str | None = None
    reply_to: Address | None = None
    correlation_id: bytes | None = None
    expiry_ms: int | None = None

    def is_expired(self, now_ms: int) -> bool:
        """Whether it is not worth delivering any more."""
        return self.expiry_ms is not None and now_ms - self.timestamp_ms >= self.expiry_ms


class Record(msgspec.Struct, frozen=True, gc=False):
    """A stored message and where it stands: partition ``partition`` of ``topic`` at ``offset``.

    ``mark`` is what its publisher's protocol wants back with it, in bytes of its own.
    """

    message: Message
    topic: Address
    partition: int
    offset: int
    mark: bytes = b""
