"""The protocol's words and the broker's nouns for the same things."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hubbub.broker.shared import SharedSettings
from hubbub.model import errors
from hubbub.model.address import parse_address
from hubbub.model.errors import HubbubError, InvalidSettingsError
from hubbub.model.message import Message
from hubbub.model.settings import FOREVER, TopicSettings
from hubbub.protocols.bus.codec import Failed, Place, WireMessage, raw_message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from hubbub.broker.publication import Publication
    from hubbub.model.message import Record
    from hubbub.protocols.bus.codec import GroupSettings

MAX_INT64 = 2**63 - 1

# The least that each number among a topic's settings may be. Segments no smaller than Kafka allows,
# or every message would be a file.
_LEAST = {
    "retention_ms": FOREVER,
    "retention_bytes": FOREVER,
    "delete_retention_ms": 0,
    "max_message_bytes": 0,
    "segment_bytes": 1024 * 1024,
    "segment_ms": 1,
}


def to_wire(message: Message) -> WireMessage:
    """The message as it travels."""
    return WireMessage(*msgspec.structs.astuple(message))


def from_wire(wire: WireMessage) -> Message:
    """The message that a client sent. Raises InvalidAddressError."""
    return Message(
        parse_address(wire.address),
        wire.value,
        wire.key,
        wire.headers,
        wire.timestamp_ms,
        wire.message_id,
        wire.content_type,
        None if wire.reply_to is None else parse_address(wire.reply_to),
        wire.correlation_id,
        wire.expiry_ms,
    )


def place_of(record: Record) -> Place:
    """Where the record stands."""
    return Place(record.topic, record.partition, record.offset)


def places_of(publication: Publication) -> tuple[Place, ...]:
    """Where a publish is stored."""
    return tuple(
        Place(stored.topic, stored.partition, stored.base_offset) for stored in publication.places
    )


def places(positions: Mapping[tuple[str, int], int]) -> tuple[Place, ...]:
    """Positions as they travel."""
    return tuple(Place(topic, index, offset) for (topic, index), offset in positions.items())


def positions(found: Iterable[Place]) -> dict[tuple[str, int], int]:
    """Inverse of ``places``."""
    return {(place.topic, place.partition): place.offset for place in found}


def shared_settings(wire: GroupSettings | None) -> SharedSettings | None:
    """A group's settings. Raises InvalidAddressError."""
    if wire is None:
        return None
    target = wire.dead_letter
    return SharedSettings(
        ack_deadline=wire.ack_deadline,
        retry_delay=wire.retry_delay,
        max_deliveries=wire.max_deliveries,
        dead_letter=None if target is None else parse_address(target),
    )


def check_settings(settings: TopicSettings) -> None:
    """Refuse numbers that make no sense. Raises InvalidSettingsError."""
    for name, least in _LEAST.items():
        if not least <= getattr(settings, name) <= MAX_INT64:
            raise InvalidSettingsError(f"{name} is a number from {least} on")


def failed(call: int, error: Exception) -> Failed:
    """What a client is told of an error."""
    return Failed(call, type(error).__name__, str(error))


def error_of(answer: Failed) -> HubbubError:
    """The error that a server told of, of its own class where that is one of the model's."""
    kind = getattr(errors, answer.error, None)
    if isinstance(kind, type) and issubclass(kind, HubbubError) and _takes_a_reason(kind):
        return kind(answer.reason)
    return HubbubError(f"{answer.error}: {answer.reason}")


def _takes_a_reason(kind: Callable[..., HubbubError]) -> bool:
    return getattr(kind, "__init__", None) is Exception.__init__


class MessageRenderer:
    """Encodes a message once for all the subscribers that get it one after the other."""

    def __init__(self) -> None:
        self._message: Message | None = None
        self._raw = msgspec.Raw()

    def render(self, message: Message) -> msgspec.Raw:
        """The encoded message."""
        if message is not self._message:
            self._raw = raw_message(to_wire(message))
            self._message = message
        return self._raw
