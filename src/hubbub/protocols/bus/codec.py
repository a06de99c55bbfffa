"""Frames of the bus protocol: four bytes of length, big-endian, and one MessagePack array.

A client's frame is one call on the broker, a server's frame the answer to one call or one delivery.
The array begins with the name of its kind; its other items are the fields of the class below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec

from hubbub.broker.listing import SubscriberInfo, SubscriptionInfo, TopicInfo
from hubbub.broker.tail import Start
from hubbub.model.settings import TopicSettings

if TYPE_CHECKING:
    from collections.abc import Generator

VERSION = 1

# The largest frame a server takes: room for any message that a topic takes by default and for far
# larger live ones, and little enough that a thousand clients cannot fill the memory with halves.
MAX_FRAME_BYTES = 16 * 1024 * 1024
# Before its Hello a client is nobody, and gets no more room than a Hello needs.
MAX_HELLO_BYTES = 4096
_LENGTH_BYTES = 4

# The last millisecond that calendars (and Python's datetime) know: 9999-12-31.
_MAX_TIMESTAMP_MS = 253_402_300_799_999
# An acknowledgement deadline or a delay, in seconds: SQS and Google allow no more than 12 hours.
MAX_WAIT_SECONDS = 12 * 3600.0

Timestamp: TypeAlias = Annotated[int, msgspec.Meta(ge=-1, le=_MAX_TIMESTAMP_MS)]
Expiry: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=_MAX_TIMESTAMP_MS)]
# Refuses what is not a number, too, for that is neither more nor less than anything.
Seconds: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_SECONDS)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class FrameError(Exception):
    """Bytes that are no frame of this protocol."""


# What both sides speak of


class WireMessage(msgspec.Struct, frozen=True, array_like=True):
    """``model.message.Message``, field by field."""

    address: str
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: Timestamp = -1
    message_id: str | None = None
    content_type: str | None = None
    reply_to: str | None = None
    correlation_id: bytes | None = None
    expiry_ms: Expiry | None = None


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a stored message stands, or where reading goes on."""

    topic: str
    partition: int
    offset: int


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """Names a delivery that is to be settled; ``attempt`` counts from 1."""

    source: int
    lease: int
    attempt: int


class Replayed(msgspec.Struct, frozen=True, array_like=True, tag="replay"):
    """Stored messages from ``start``, or from where an earlier connection got to, then new ones."""

    start: Start
    positions: tuple[Place, ...] | None = None


class GroupSettings(msgspec.Struct, frozen=True, array_like=True):
    """``broker.shared.SharedSettings``, field by field."""

    ack_deadline: Seconds
    retry_delay: Seconds
    max_deliveries: Count
    dead_letter: str | None


class Grouped(msgspec.Struct, frozen=True, array_like=True, tag="group"):
    """A share of what the group gets, which begins at ``start`` where it is new.

    ``settings`` of None leave those that it has.
    """

    name: str
    start: Start = "new"
    settings: GroupSettings | None = None


# What a client asks. ``id`` comes back in the answer; the kinds without one are not answered.


class Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    """The first frame."""

    id: int
    version: int
    client: str


class Publish(msgspec.Struct, frozen=True, array_like=True, tag="publish"):
    """Answered by Published once the message is durable wherever it is stored."""

    id: int
    message: WireMessage


class Subscribe(msgspec.Struct, frozen=True, array_like=True, tag="subscribe"):
    """Deliver what matches, under the client's number for it; live ones unless ``source`` says more.

    ``credit`` is how many stored messages may be on their way at once. Answered by Subscribed.
    """

    id: int
    subscription: int
    pattern: str
    source: Replayed | Grouped | None = None
    credit: Count = 0


class Unsubscribe(msgspec.Struct, frozen=True, array_like=True, tag="unsubscribe"):
    """Deliver nothing more; a group keeps its place."""

    id: int
    subscription: int


class Credit(msgspec.Struct, frozen=True, array_like=True, tag="credit"):
    """Room for that many more stored messages."""

    subscription: int
    more: Count


class Ack(msgspec.Struct, frozen=True, array_like=True, tag="ack"):
    """The message is done with."""

    subscription: int
    source: int
    lease: int


class Nack(msgspec.Struct, frozen=True, array_like=True, tag="nack"):
    """Deliver the message again after ``delay`` seconds; None: as the group is set up."""

    subscription: int
    source: int
    lease: int
    delay: Seconds | None = None


class Extend(msgspec.Struct, frozen=True, array_like=True, tag="extend"):
    """Still at work: move the deadline to ``seconds`` from now."""

    subscription: int
    source: int
    lease: int
    seconds: Seconds


class ListTopics(msgspec.Struct, frozen=True, array_like=True, tag="topics"):
    """Answered by Topics."""

    id: int


class CreateTopic(msgspec.Struct, frozen=True, array_like=True, tag="create-topic"):
    """Answered by Done once the topic is durable."""

    id: int
    name: str
    partitions: int | None = None
    settings: TopicSettings | None = None


class DeleteTopic(msgspec.Struct, frozen=True, array_like=True, tag="delete-topic"):
    """Answered by Done once the topic is gone for good."""

    id: int
    name: str


class ListSubscriptions(msgspec.Struct, frozen=True, array_like=True, tag="subscriptions"):
    """Answered by Subscriptions."""

    id: int


class DeleteSubscription(msgspec.Struct, frozen=True, array_like=True, tag="delete-subscription"):
    """Forget a group's shared subscription to a topic."""

    id: int
    name: str
    topic: str


class ListSubscribers(msgspec.Struct, frozen=True, array_like=True, tag="subscribers"):
    """Answered by Subscribers."""

    id: int
    address: str


Call: TypeAlias = (
    Hello
    | Publish
    | Subscribe
    | Unsubscribe
    | ListTopics
    | CreateTopic
    | DeleteTopic
    | ListSubscriptions
    | DeleteSubscription
    | ListSubscribers
)
Notice: TypeAlias = Credit | Ack | Nack | Extend
Request: TypeAlias = Call | Notice


# What a server answers


class Welcome(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """The answer to Hello."""

    id: int
    version: int


class Published(msgspec.Struct, frozen=True, array_like=True, tag="published"):
    """How many observers got the message, and where it is stored."""

    id: int
    observers: int
    stored: tuple[Place, ...]


class Subscribed(msgspec.Struct, frozen=True, array_like=True, tag="subscribed"):
    """The subscription is in effect; a replay stands at ``positions``."""

    id: int
    positions: tuple[Place, ...] = ()


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """It is as it was asked for."""

    id: int


class Topics(msgspec.Struct, frozen=True, array_like=True, tag="topic-list"):
    """The answer to ListTopics."""

    id: int
    topics: tuple[TopicInfo, ...]


class Subscriptions(msgspec.Struct, frozen=True, array_like=True, tag="subscription-list"):
    """The answer to ListSubscriptions."""

    id: int
    subscriptions: tuple[SubscriptionInfo, ...]


class Subscribers(msgspec.Struct, frozen=True, array_like=True, tag="subscriber-list"):
    """The answer to ListSubscribers."""

    id: int
    subscribers: tuple[SubscriberInfo, ...]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """The call ``id`` failed with the error of that name. Id 0: the connection is closed for it."""

    id: int
    error: str
    reason: str


Reply: TypeAlias = (
    Welcome | Published | Subscribed | Done | Topics | Subscriptions | Subscribers | Failed
)


class Delivered(msgspec.Struct, frozen=True, array_like=True, tag="delivered"):
    """A message; ``place`` is where it is stored, ``lease`` how to settle it.

    ``message`` is encoded beforehand, once for everyone who gets it.
    """

    subscription: int
    message: msgspec.Raw
    place: Place | None = None
    lease: Lease | None = None


# What decoding may raise, all of it: text is UTF-8, and nesting has an end.
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_encode = msgspec.msgpack.Encoder().encode
_decode_request = msgspec.msgpack.Decoder(Request).decode
_decode_response = msgspec.msgpack.Decoder(Reply | Delivered).decode
_decode_message = msgspec.msgpack.Decoder(WireMessage).decode


def frame(body: Request | Reply | Delivered) -> bytes:
    """The whole frame."""
    encoded = _encode(body)
    return len(encoded).to_bytes(_LENGTH_BYTES, "big") + encoded


def raw_message(message: WireMessage) -> msgspec.Raw:
    """A message encoded for ``Delivered``."""
    return msgspec.Raw(_encode(message))


def decode_message(raw: msgspec.Raw) -> WireMessage:
    """The message of a ``Delivered``. Raises FrameError."""
    try:
        return _decode_message(raw)
    except _MALFORMED as error:
        raise FrameError(str(error)) from error


def decode_request(body: bytes) -> Request:
    """A client's frame without its length. Raises FrameError."""
    try:
        request: Request = _decode_request(body)
    except _MALFORMED as error:
        raise FrameError(str(error)) from error
    return request


def decode_response(body: bytes) -> Reply | Delivered:
    """A server's frame without its length. Raises FrameError."""
    try:
        response: Reply | Delivered = _decode_response(body)
    except _MALFORMED as error:
        raise FrameError(str(error)) from error
    return response


class FrameReader:
    """Cuts a stream into frames; holds what was received of the next one and not a byte more."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in bytes, cut anywhere."""
        self._buffer += data

    @property
    def holds_frame(self) -> bool:
        """Whether ``frames`` has one to give, or to refuse, without being fed."""
        if len(self._buffer) < _LENGTH_BYTES:
            return False
        size = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
        return size > self.limit or len(self._buffer) >= _LENGTH_BYTES + size

    def frames(self) -> Generator[bytes, None, None]:
        """Each whole frame, without its length.

        Raises:
            FrameError: a frame longer than ``limit``. The verb that an HTTP request begins with
                reads as a length of more than a gigabyte, so a browser gets no further.
        """
        buffer, at = self._buffer, 0
        try:
            while len(buffer) - at >= _LENGTH_BYTES:
                size = int.from_bytes(buffer[at : at + _LENGTH_BYTES], "big")
                if size > self.limit:
                    raise FrameError(f"a frame has at most {self.limit} bytes")
                end = at + _LENGTH_BYTES + size
                if len(buffer) < end:
                    return
                body = bytes(buffer[at + _LENGTH_BYTES : end])
                at = end
                yield body
        finally:
            del buffer[:at]
