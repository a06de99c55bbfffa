"""Produce requests, read by hand: they are the broker's busiest, and may be the largest."""

from __future__ import annotations

import struct
from typing import NamedTuple
from uuid import UUID

from hubbub.protocols.kafka.primitives import INT16, INT32
from hubbub.protocols.kafka.reader import MalformedRequestError, read_varint, skip_tagged_fields
from hubbub.protocols.kafka.versions import PRODUCE, VERSIONS

# No client has more partitions to write to at once than a broker has; each costs some objects here.
MAX_PARTITIONS_PER_REQUEST = 10_000

_FIRST_WITH_TOPIC_IDS = 13  # KIP-516
_ACKS_AND_TIMEOUT = struct.Struct(">hi")


class ProducePartition(NamedTuple):
    """The records for one partition."""

    partition: int
    records: bytes | None


class ProduceTopic(NamedTuple):
    """The partitions of one topic, which has a name or, from version 13 on, an id."""

    name: str | None
    topic_id: UUID | None
    partitions: list[ProducePartition]


class ProduceRequest(NamedTuple):
    """A Produce request without its timeout: an append is durable or fails, it does not time out."""

    transactional_id: str | None
    acks: int
    topics: list[ProduceTopic]


def read_produce(frame: memoryview, at: int, version: int) -> ProduceRequest:
    """The request whose body starts at ``at``. Raises MalformedRequestError."""
    cursor = _Cursor(frame, at, flexible=version >= VERSIONS[PRODUCE].flexible)
    try:
        transactional_id = cursor.string()
        acks, _ = _ACKS_AND_TIMEOUT.unpack(cursor.take(_ACKS_AND_TIMEOUT.size))
        with_ids = version >= _FIRST_WITH_TOPIC_IDS
        topics = [cursor.topic(with_ids=with_ids) for _ in range(cursor.length())]
        cursor.tags()
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise MalformedRequestError("the request is cut short or no text") from error
    return ProduceRequest(transactional_id, acks, topics)


class _Cursor:
    """Reads on through one request; a request that ends too early raises IndexError."""

    __slots__ = ("_at", "_data", "_flexible", "_partitions")

    def __init__(self, data: memoryview, at: int, *, flexible: bool) -> None:
        self._data = data
        self._at = at
        self._flexible = flexible
        self._partitions = 0

    def take(self, size: int) -> memoryview:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise IndexError
        return self._data[start : self._at]

    def length(self) -> int:
        """Of an array or of records; -1 for null."""
        if not self._flexible:
            value: int = INT32.unpack(self.take(INT32.size))[0]
            return value
        return self._varint() - 1

    def string(self) -> str | None:
        if self._flexible:
            size = self._varint() - 1
        else:
            (size,) = INT16.unpack(self.take(INT16.size))
        return None if size < 0 else str(self.take(size), "utf-8")

    def topic(self, *, with_ids: bool) -> ProduceTopic:
        name, topic_id = None, None
        if with_ids:
            topic_id = UUID(bytes=bytes(self.take(16)))
        else:
            name = self.string()
            if name is None:
                raise MalformedRequestError("a topic without a name")
        count = self.length()
        self._partitions += count + 1  # a topic without partitions costs as much as one
        if self._partitions > MAX_PARTITIONS_PER_REQUEST:
            raise MalformedRequestError("a request to produce to too many partitions")
        partitions = [self._partition() for _ in range(count)]
        self.tags()
        return ProduceTopic(name, topic_id, partitions)

    def tags(self) -> None:
        if self._flexible:
            if self._data[self._at]:  # none that we know
                self._at += skip_tagged_fields(bytes(self._data[self._at :]), 0)
            else:
                self._at += 1

    def _partition(self) -> ProducePartition:
        (index,) = INT32.unpack(self.take(INT32.size))
        size = self.length()
        records = None if size < 0 else bytes(self.take(size))
        self.tags()
        return ProducePartition(index, records)

    def _varint(self) -> int:
        byte = self._data[self._at]
        if byte < 0x80:
            self._at += 1
            return byte
        value, size = read_varint(bytes(self._data[self._at : self._at + 5]), 0)
        self._at += size
        return value
