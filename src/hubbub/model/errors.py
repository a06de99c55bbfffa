"""What can go wrong, in our own nouns; each protocol's mapping turns these into its own errors."""

from __future__ import annotations


class HubbubError(Exception):
    """The base of every error that hubbub raises on purpose."""


class InvalidAddressError(HubbubError):
    """A name that no protocol could carry whole."""


class InvalidSettingsError(HubbubError):
    """A topic or subscription setting with a name or value that means nothing."""


class UnknownTopicError(HubbubError):
    """No topic or partition of that name, id or number."""


class TopicExistsError(HubbubError):
    """A topic of that name is there already."""


class DeniedError(HubbubError):
    """The principal may not do this on this address."""


class MessageTooLargeError(HubbubError):
    """Larger than the topic's ``max_message_bytes``."""


class CorruptBatchError(HubbubError):
    """A record batch whose length, checksum, count or contents do not hold together."""


class MissingKeyError(CorruptBatchError):
    """A record without a key for a compacted topic, which keeps the last word on each key."""


class UnsupportedCompressionError(CorruptBatchError):
    """A record batch compressed with a codec that RecordBatch v2 does not have."""


class OutOfOrderSequenceError(HubbubError):
    """An idempotent producer's batch does not follow its last one."""


class DuplicateSequenceError(HubbubError):
    """A batch older than the last five of its idempotent producer: too old to say where it is."""


class ProducerFencedError(HubbubError):
    """A newer epoch of the same idempotent producer has written."""


class OffsetOutOfRangeError(HubbubError):
    """An offset before the partition's start or after its end."""

    def __init__(self, offset: int, start: int, end: int) -> None:
        super().__init__(f"offset {offset} is outside [{start}, {end}]")
        self.offset = offset
        self.start = start
        self.end = end


class StorageError(HubbubError):
    """The disk refused; the partition takes no more appends, reads go on."""


class StorageFullError(StorageError):
    """No space left: appends are refused until there is."""


class CorruptLogError(HubbubError):
    """Stored bytes that fail their checksum: reported with the lost offsets, never served."""

    def __init__(self, message: str, first_lost: int, next_good: int) -> None:
        super().__init__(message)
        self.first_lost = first_lost
        self.next_good = next_good


class DataDirectoryLockedError(HubbubError):
    """Another process has the data directory open."""
