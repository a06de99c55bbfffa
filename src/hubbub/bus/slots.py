"""What can be said of a message beside its address and payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

from hubbub.bus.durations import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from hubbub.bus.durations import Duration
    from hubbub.bus.message import Message
    from hubbub.model.message import Headers

    HeaderValue: TypeAlias = str | bytes | None
    HeadersLike: TypeAlias = Mapping[str, HeaderValue] | Iterable[tuple[str, HeaderValue]]


class Slots(TypedDict, total=False):
    """The keyword arguments of ``Broker.publish``."""

    key: str | bytes | None  # stored messages with one key keep their order
    headers: HeadersLike | None  # a dictionary, or pairs where a name may come twice
    message_id: str | None  # what stays the same if the publisher has to say it again
    content_type: str | None  # of a payload that is bytes; known for all others
    reply_to: str | None  # where an answer is awaited; ``Broker.request`` sets it
    correlation_id: bytes | None  # which question an answer is to
    expiry: Duration | None  # how long it is worth delivering


def fill(message: Message, slots: Slots) -> None:
    """Put the slots into the message.

    Raises:
        TypeError: there is no such slot.
        InvalidSettingsError: the expiry is no duration.
    """
    for name in slots.keys() - Slots.__annotations__.keys():
        raise TypeError(f"a message has no {name!r}")
    key, headers, expiry = slots.get("key"), slots.get("headers"), slots.get("expiry")
    message.key = key.encode() if isinstance(key, str) else key
    if headers is not None:
        message.headers = _pairs(headers)
    if expiry is not None:
        message.expiry_ms = milliseconds(expiry)
    message.message_id = slots.get("message_id")
    message.reply_to = slots.get("reply_to")
    message.correlation_id = slots.get("correlation_id")
    content_type = slots.get("content_type")
    if content_type is not None:
        message._content_type = content_type  # noqa: SLF001 - this builds messages


def _pairs(headers: HeadersLike) -> Headers:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return tuple(
        (name, value.encode() if isinstance(value, str) else value) for name, value in pairs
    )
