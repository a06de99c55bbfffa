"""Messages as records: the fixed slots of a message travel as record headers.

``hubbub-`` names are ours. What a foreign publisher stores under them is believed only as far as it
makes sense, and is an ordinary header otherwise; the address is checked again where it matters, by
the broker, against what the topic captures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.log import batch
from hubbub.model.address import Address, parse_address
from hubbub.model.errors import InvalidAddressError
from hubbub.model.message import Message, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from hubbub.log.batch import RawRecord, RecordParts
    from hubbub.model.message import Headers

RESERVED_HEADER_PREFIX = "hubbub-"

ADDRESS_HEADER = RESERVED_HEADER_PREFIX + "address"  # only where it is not the topic's name
EXPIRY_HEADER = RESERVED_HEADER_PREFIX + "expiry"  # milliseconds, in decimal
# What a publisher's protocol wants back from a queue, in bytes of its own. It stands second, behind
# the address, where no header of a publisher can.
MARK_HEADER = RESERVED_HEADER_PREFIX + "mark"
CONTENT_TYPE_HEADER = "content-type"
MESSAGE_ID_HEADER = "message-id"
REPLY_TO_HEADER = "reply-to"
CORRELATION_ID_HEADER = "correlation-id"

_EXPIRY_DIGITS = 18  # what 64 bits hold for certain


def encode_messages(messages: Sequence[Message], topic: Address) -> bytes:
    """One batch of ``messages`` for ``topic``, in their order.

    Raises: MessageTooLargeError beyond what the format can hold.
    """
    return batch.encode([parts_of(message, topic) for message in messages])


def decode_records(data: bytes, topic: Address, partition: int) -> list[Record]:
    """The messages in stored batches; inverse of ``encode_messages``.

    Raises: CorruptBatchError.
    """
    return [record_of(raw, topic, partition) for raw in batch.decode(data)]


def record_of(raw: RawRecord, topic: Address, partition: int) -> Record:
    """The message in one stored record, at the address that its header says."""
    headers, mark = raw.headers, b""
    if len(headers) > 1 and headers[1][0] == MARK_HEADER:
        mark = headers[1][1] or b""
        headers = (headers[0], *headers[2:])
    message = message_of(topic, raw.timestamp_ms, raw.key, raw.value, headers, trusted=True)
    return Record(message, topic, partition, raw.offset, mark)


def address_in(raw: RawRecord, topic: Address) -> Address:
    """The address of a record that the broker stored itself, read without decoding the rest."""
    if raw.headers and raw.headers[0][0] == ADDRESS_HEADER:
        return Address((raw.headers[0][1] or b"").decode())
    return topic


def parts_of(message: Message, topic: Address) -> RecordParts:
    """The message as a record of ``topic``; its slots come before its headers."""
    slots: list[tuple[str, bytes | None]] = []
    if message.address != topic:
        slots.append((ADDRESS_HEADER, message.address.encode()))
    if message.content_type is not None:
        slots.append((CONTENT_TYPE_HEADER, message.content_type.encode()))
    if message.message_id is not None:
        slots.append((MESSAGE_ID_HEADER, message.message_id.encode()))
    if message.reply_to is not None:
        slots.append((REPLY_TO_HEADER, message.reply_to.encode()))
    if message.correlation_id is not None:
        slots.append((CORRELATION_ID_HEADER, message.correlation_id))
    if message.expiry_ms is not None:
        slots.append((EXPIRY_HEADER, b"%d" % message.expiry_ms))
    # Slots come first, so that a plain header of the same name stays one.
    return (message.timestamp_ms, message.key, message.value, (*slots, *message.headers))


def message_of(
    topic: Address,
    timestamp_ms: int,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    *,
    trusted: bool = False,
) -> Message:
    """The message that a record of ``topic`` holds; ``trusted`` lets a header say its address."""
    if not headers:
        return Message(topic, value, key, (), timestamp_ms)
    slots, rest = _split(headers)
    address = slots.pop("address", topic)
    return Message(address if trusted else topic, value, key, rest, timestamp_ms, **slots)


def _split(stored: Headers) -> tuple[dict[str, Any], Headers]:
    """The slots that headers fill, each by the first that can, and the headers that are left."""
    slots: dict[str, Any] = {}
    rest: list[tuple[str, bytes | None]] = []
    for name, value in stored:
        known = _SLOTS.get(name)
        if known is not None and value is not None and known[0] not in slots:
            slot, read = known
            content = read(value)
            if content is not None:
                slots[slot] = content
                continue
        rest.append((name, value))
    return slots, tuple(rest)


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _address(value: bytes) -> Address | None:
    text = _text(value)
    try:
        return None if text is None else parse_address(text)
    except InvalidAddressError:
        return None


def _milliseconds(value: bytes) -> int | None:
    return int(value) if value.isdigit() and len(value) <= _EXPIRY_DIGITS else None


_SLOTS: dict[str, tuple[str, Callable[[bytes], object | None]]] = {
    ADDRESS_HEADER: ("address", _address),
    CONTENT_TYPE_HEADER: ("content_type", _text),
    MESSAGE_ID_HEADER: ("message_id", _text),
    REPLY_TO_HEADER: ("reply_to", _address),
    CORRELATION_ID_HEADER: ("correlation_id", bytes),
    EXPIRY_HEADER: ("expiry_ms", _milliseconds),
}
