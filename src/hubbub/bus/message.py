"""The message as a handler gets it."""

from __future__ import annotations

import builtins
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from hubbub.bus import payload as payloads
from hubbub.bus.settlement import Settlement
from hubbub.model.message import Headers
from hubbub.protocols.bus.codec import Place, WireMessage

if TYPE_CHECKING:
    from typing import Unpack

    from hubbub.bus.pending import Pending
    from hubbub.bus.published import Published
    from hubbub.bus.slots import Slots
    from hubbub.model.message import Message as CoreMessage

NO_TIMESTAMP = -1


class Responder(Protocol):
    """What a message needs of the broker that it came by."""

    def publish_soon(
        self, address: str, payload: Any = None, **slots: Unpack[Slots]
    ) -> Pending[Published]:
        """As ``Broker.publish_soon``."""


class Message(msgspec.Struct, eq=False):
    """One message, shared by every handler in the process that gets it: read it, do not change it.

    What was published in this process is encoded when somebody asks for its bytes, and what came as
    bytes is decoded when somebody asks for its meaning; each at most once.

    ``key`` and ``headers`` are as they were published, ``reply_to`` is where an answer is awaited.
    """

    address: str
    _payload: Any = msgspec.UNSET
    _broker: Responder | None = None
    key: bytes | None = None
    headers: Headers = ()
    reply_to: str | None = None
    timestamp_ms: int = NO_TIMESTAMP
    message_id: str | None = None
    correlation_id: bytes | None = None
    expiry_ms: int | None = None
    _content_type: str | msgspec.UnsetType | None = msgspec.UNSET
    _value: bytes | msgspec.UnsetType | None = msgspec.UNSET
    _json: Any = msgspec.UNSET
    _place: Place | None = None
    _settlement: Settlement | None = None

    @property
    def value(self) -> bytes | None:
        """The bytes; None is a tombstone. Raises TypeError if the payload cannot be encoded."""
        if self._value is msgspec.UNSET:
            self._encode()
        return self._value  # type: ignore[return-value]  # _encode set it

    @property
    def content_type(self) -> str | None:
        """What the bytes are: ``application/json``, ``text/plain``, or None where nobody said."""
        if self._content_type is msgspec.UNSET:
            self._encode()
        return self._content_type  # type: ignore[return-value]  # _encode set it

    @property
    def payload(self) -> Any:
        """What was published: the object itself in the same process, else decoded by content type.

        Raises ValueError where the bytes are not what the content type says.
        """
        if self._payload is msgspec.UNSET:
            self._payload = payloads.decode(self.value, self.content_type)
        return self._payload

    @property
    def text(self) -> str:
        """The bytes as UTF-8, empty for a tombstone. Raises ValueError."""
        return (self.value or b"").decode()

    def json(self) -> Any:
        """The bytes as JSON: the same plain objects wherever the message came from.

        Raises ValueError where they are no JSON.
        """
        if self._json is msgspec.UNSET:
            self._json = msgspec.json.decode(self.value or b"")
        return self._json

    def decode(self, type: Any) -> Any:  # noqa: A002 - reads as message.decode(type=Order)
        """The payload as ``type``: a dataclass, a msgspec struct, a pydantic model, ``list[int]``...

        Raises ValueError where it is not of that shape.
        """
        if isinstance(type, builtins.type) and isinstance(self._payload, type):
            return self._payload
        return payloads.decode_as(self.value or b"", type)

    @property
    def timestamp(self) -> datetime:
        """When it was published."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def topic(self) -> str | None:
        """The topic that it was read from, None for a live message."""
        return self._place.topic if self._place else None

    @property
    def partition(self) -> int | None:
        """The partition that it was read from."""
        return self._place.partition if self._place else None

    @property
    def offset(self) -> int | None:
        """Where in the partition it stands."""
        return self._place.offset if self._place else None

    @property
    def attempt(self) -> int | None:
        """Which delivery to the group this is, from 1."""
        return self._settlement.attempt if self._settlement else None

    def ack(self) -> None:
        """Settle it: the group is done with it. Raises ValueError if it came to no group."""
        self._lease().ack()

    def nack(self, delay: float | None = None) -> None:
        """Give it back to the group, to come again after ``delay`` seconds. Raises ValueError."""
        self._lease().nack(delay)

    def extend(self, seconds: float) -> None:
        """Keep it for ``seconds`` more before the group gives it to another. Raises ValueError."""
        self._lease().extend(seconds)

    def respond(self, payload: Any, **slots: Unpack[Slots]) -> Pending[Published]:
        """Answer a request; ``slots`` are those of ``Broker.publish``. Raises ValueError."""
        if self.reply_to is None or self._broker is None:
            raise ValueError(f"nobody awaits an answer to {self.address}")
        slots.setdefault("correlation_id", self.correlation_id)
        return self._broker.publish_soon(self.reply_to, payload, **slots)

    def __repr__(self) -> str:
        where = f" {self.topic}/{self.partition}/{self.offset}" if self._place else ""
        return f"<Message {self.address}{where}>"

    def _encode(self) -> None:
        self._value, content_type = payloads.encode(self._payload)
        if self._content_type is msgspec.UNSET:
            self._content_type = content_type

    def _lease(self) -> Settlement:
        if self._settlement is None:
            raise ValueError("only what a group gets is settled")
        return self._settlement


def to_wire(message: Message) -> WireMessage:
    """The message as it travels. Raises TypeError if the payload cannot be encoded."""
    return WireMessage(
        message.address,
        message.value,
        message.key,
        message.headers,
        message.timestamp_ms,
        message.message_id,
        message.content_type,
        message.reply_to,
        message.correlation_id,
        message.expiry_ms,
    )


def from_wire(
    wire: WireMessage | CoreMessage,
    broker: Responder,
    place: Place | None = None,
    settlement: Settlement | None = None,
) -> Message:
    """The message as a handler gets it."""
    return Message(
        wire.address,
        key=wire.key,
        headers=wire.headers,
        reply_to=wire.reply_to,
        timestamp_ms=wire.timestamp_ms,
        _broker=broker,
        message_id=wire.message_id,
        correlation_id=wire.correlation_id,
        expiry_ms=wire.expiry_ms,
        _content_type=wire.content_type,
        _value=wire.value,
        _place=place,
        _settlement=settlement,
    )
