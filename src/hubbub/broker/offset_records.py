"""Kafka's records of committed offsets (OffsetCommitKey and OffsetCommitValue)."""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

from hubbub.model.errors import MessageTooLargeError

PartitionKey: TypeAlias = tuple[str, int]  # topic and partition

NEVER_MS = -1
NO_LEADER_EPOCH = -1

_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")
_INT64 = struct.Struct(">q")
_MAX_STRING_BYTES = 2**15 - 1

# Versions 0 and 1 of the key are the same and both mean an offset; Kafka writes 1. The topic holds
# other kinds of records too (2: a group's members), which have higher versions.
_KEY_VERSION = 1
# Kafka writes version 3, and version 1 where the client asked for an expiry time (OffsetCommit v4-).
_VALUE_VERSION = 3
_VALUE_VERSION_WITH_EXPIRY = 1


class Committed(NamedTuple):
    """Where a group stands in a partition: the offset of the record it wants next."""

    offset: int
    leader_epoch: int = NO_LEADER_EPOCH
    metadata: str = ""  # whatever the client likes to keep with it
    commit_ms: int = 0
    expire_ms: int = NEVER_MS  # what the client asked for, which overrules the broker's retention

    def expired(self, now_ms: int, limit_ms: int, idle_since_ms: int) -> bool:
        """Whether it is to be forgotten: all that it was good for is older than ``limit_ms``."""
        if self.expire_ms != NEVER_MS:
            return self.expire_ms <= now_ms
        return max(self.commit_ms, idle_since_ms) <= limit_ms


class Change(NamedTuple):
    """What one record says; without a value the group stands nowhere in the partition."""

    group: str
    key: PartitionKey
    value: Committed | None


def write_key(group: str, key: PartitionKey) -> bytes:
    """The record key. Raises MessageTooLargeError for a name that the format cannot hold."""
    topic, partition = key
    return _INT16.pack(_KEY_VERSION) + _string(group) + _string(topic) + _INT32.pack(partition)


def write_value(value: Committed | None) -> bytes | None:
    """The record value; None is a tombstone."""
    if value is None:
        return None
    metadata = _string(value.metadata)
    times = _INT64.pack(value.commit_ms)
    if value.expire_ms != NEVER_MS:
        head = _INT16.pack(_VALUE_VERSION_WITH_EXPIRY) + _INT64.pack(value.offset)
        return head + metadata + times + _INT64.pack(value.expire_ms)
    head = _INT16.pack(_VALUE_VERSION) + _INT64.pack(value.offset)
    return head + _INT32.pack(value.leader_epoch) + metadata + times


def read(key: bytes | None, value: bytes | None) -> Change | None:
    """What a record says; None for other kinds of records, and versions from the future."""
    fields = _Fields(key or b"")
    try:
        if fields.take(_INT16) > _KEY_VERSION:
            return None
        group, topic = fields.string(), fields.string()
        where = (topic, fields.take(_INT32))
        if value is None:
            return Change(group, where, None)
        committed = _read_value(_Fields(value))
    except (struct.error, UnicodeDecodeError):
        return None
    return None if committed is None else Change(group, where, committed)


def _read_value(fields: _Fields) -> Committed | None:
    version = fields.take(_INT16)
    if not 0 <= version <= _VALUE_VERSION:
        return None
    offset = fields.take(_INT64)
    leader_epoch = fields.take(_INT32) if version == _VALUE_VERSION else NO_LEADER_EPOCH
    metadata = fields.string()
    commit_ms = fields.take(_INT64)
    has_expiry = version == _VALUE_VERSION_WITH_EXPIRY
    expire_ms = fields.take(_INT64) if has_expiry else NEVER_MS
    return Committed(offset, leader_epoch, metadata, commit_ms, expire_ms)


def _string(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > _MAX_STRING_BYTES:
        raise MessageTooLargeError(f"a name in an offset has at most {_MAX_STRING_BYTES} bytes")
    return _INT16.pack(len(raw)) + raw


class _Fields:
    """Fields read one after the other; raises struct.error where they end too soon."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def take(self, layout: struct.Struct) -> int:
        (value,) = layout.unpack_from(self._data, self._offset)
        self._offset += layout.size
        return int(value)

    def string(self) -> str:
        size = self.take(_INT16)
        raw = self._data[self._offset : self._offset + size]
        if len(raw) != size:
            raise struct.error("a string is longer than its record")
        self._offset += size
        return raw.decode()
