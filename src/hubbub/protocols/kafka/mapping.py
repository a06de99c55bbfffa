"""Kafka's topic names and error codes <-> our addresses and errors."""

from __future__ import annotations

import functools
import string
from typing import TYPE_CHECKING

from kio.schema.errors import ErrorCode

from hubbub.broker.names import CONSUMER_OFFSETS, TRANSACTION_STATE, is_reserved
from hubbub.model.address import parse_address
from hubbub.model.errors import (
    CorruptBatchError,
    CorruptLogError,
    DeniedError,
    DuplicateSequenceError,
    InvalidAddressError,
    InvalidSettingsError,
    MessageTooLargeError,
    MissingKeyError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceError,
    ProducerFencedError,
    StorageError,
    TopicExistsError,
    UnknownTopicError,
    UnsupportedCompressionError,
)
from hubbub.model.escape import Escape

if TYPE_CHECKING:
    from hubbub.model.address import Address

MAX_NAME_LENGTH = 249  # Kafka made a directory of each partition's name, which the partition ends
_LEGAL = frozenset(string.ascii_letters + string.digits + "._-")
_ESCAPE = Escape(b"_x", set(range(0x100)) - {ord(character) for character in _LEGAL})

_SHOWN_INTERNAL = {CONSUMER_OFFSETS, TRANSACTION_STATE}

# Names in use at once are far fewer; the rest of the cache is what old ones cost, some 2 MB.
_CACHED_NAMES = 8192


@functools.lru_cache(maxsize=_CACHED_NAMES)
def from_kafka(name: str) -> Address:
    """The address that a Kafka topic name stands for: itself, escapes undone.

    Raises:
        InvalidAddressError: Kafka does not allow the name, or its escapes spell no address.
    """
    reason = _why_illegal(name)
    if reason is not None:
        raise InvalidAddressError(f"Topic name is invalid: {reason}")
    try:
        address = parse_address(_ESCAPE.decode(name.encode()).decode())
    except UnicodeDecodeError as error:
        raise InvalidAddressError(f"Topic name is invalid: '{name}' escapes no text") from error
    if _is_private(address):
        raise InvalidAddressError(f"Topic name is invalid: '{name}' is reserved")
    return address


@functools.lru_cache(maxsize=_CACHED_NAMES)
def to_kafka(address: Address) -> str | None:
    """The topic name that Kafka's clients know the address by; None where no name would do.

    ``from_kafka(to_kafka(address)) == address``; only names too long for Kafka, ``.`` and ``..``,
    which it keeps for directories, and the broker's own state have no such name.
    """
    if _is_private(address):
        return None
    name = _ESCAPE.encode(address.encode()).decode()
    return None if _why_illegal(name) else name


def _is_private(address: Address) -> bool:
    """State of ours that Kafka has no topic for; its own internal topics are shown."""
    return is_reserved(address) and address not in _SHOWN_INTERNAL


def _why_illegal(name: str) -> str | None:
    """Kafka's own words on what is wrong with a topic's name (its class Topic)."""
    if not name:
        return "the empty string is not allowed"
    if name in {".", ".."}:
        return f"'{name}' is not allowed"
    if len(name) > MAX_NAME_LENGTH:
        return f"the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}"
    if not _LEGAL.issuperset(name):
        return (
            f"'{name}' contains one or more characters other than ASCII alphanumerics, "
            "'.', '_' and '-'"
        )
    return None


_CODES: dict[type[Exception], ErrorCode] = {
    InvalidAddressError: ErrorCode.invalid_topic_exception,
    InvalidSettingsError: ErrorCode.invalid_config,
    UnknownTopicError: ErrorCode.unknown_topic_or_partition,
    TopicExistsError: ErrorCode.topic_already_exists,
    DeniedError: ErrorCode.topic_authorization_failed,
    MessageTooLargeError: ErrorCode.message_too_large,
    UnsupportedCompressionError: ErrorCode.unsupported_compression_type,
    CorruptBatchError: ErrorCode.corrupt_message,
    MissingKeyError: ErrorCode.invalid_record,
    OutOfOrderSequenceError: ErrorCode.out_of_order_sequence_number,
    DuplicateSequenceError: ErrorCode.duplicate_sequence_number,
    ProducerFencedError: ErrorCode.invalid_producer_epoch,
    OffsetOutOfRangeError: ErrorCode.offset_out_of_range,
    StorageError: ErrorCode.kafka_storage_error,
    # Not KAFKA_STORAGE_ERROR: clients retry that for ever, this one they report.
    CorruptLogError: ErrorCode.corrupt_message,
}


def error_code(error: Exception) -> ErrorCode:
    """The code for one of our errors; UNKNOWN_SERVER_ERROR for what should not have happened."""
    for kind in type(error).__mro__:
        code = _CODES.get(kind)
        if code is not None:
            return code
    return ErrorCode.unknown_server_error
