"""Fetch responses, encoded by hand around the stored batches, which go out uncopied."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from hubbub.protocols.kafka.primitives import INT32, NO_TAGS, length, string, topic_id
from hubbub.protocols.kafka.versions import FETCH, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

FIRST_WITH_TOPIC_IDS = 13  # KIP-516
_FIRST_WITH_START_OFFSET = 5
_FIRST_WITH_SESSIONS = 7  # KIP-227
_FIRST_WITH_REPLICA = 11  # KIP-392

# Index, error code, high watermark, last stable offset.
_PARTITION = struct.Struct(">ihqq")
_START_OFFSET = struct.Struct(">q")
_ERROR_AND_SESSION = struct.Struct(">hi")
_UNTHROTTLED = INT32.pack(0)
_NO_REPLICA = INT32.pack(-1)
_NO_SESSION = 0  # KIP-227: the client is to send full requests, which cost a broker of one little


class FetchedPartition(NamedTuple):
    """What one partition gave; the watermark is -1 where there was an error."""

    partition: int
    error: int
    high_watermark: int
    start_offset: int
    records: bytes


class FetchedTopic(NamedTuple):
    """The partitions of one topic, by its name or, from version 13 on, its id."""

    name: str
    topic_id: UUID | None
    partitions: Sequence[FetchedPartition]


def encode_fetch(
    version: int, topics: Sequence[FetchedTopic], *, error: int = 0, read_committed: bool = False
) -> list[bytes]:
    """The body of a Fetch response, in chunks."""
    flexible = version >= VERSIONS[FETCH].flexible
    chunks: list[bytes] = []
    plain = bytearray(_UNTHROTTLED)  # what stands before the next stored batch
    if version >= _FIRST_WITH_SESSIONS:
        plain += _ERROR_AND_SESSION.pack(error, _NO_SESSION)
    plain += length(len(topics), flexible=flexible)
    # There are no transactions, so none was aborted; who does not ask for the list gets no list.
    aborted = length(0 if read_committed else None, flexible=flexible)
    for topic in topics:
        if version >= FIRST_WITH_TOPIC_IDS:
            plain += topic_id(topic.topic_id)
        else:
            plain += string(topic.name, flexible=flexible)
        plain += length(len(topic.partitions), flexible=flexible)
        for partition in topic.partitions:
            plain += _partition_head(version, partition, aborted)
            plain += length(len(partition.records), flexible=flexible)
            if partition.records:
                chunks += (bytes(plain), partition.records)
                plain.clear()
            if flexible:
                plain += NO_TAGS
        if flexible:
            plain += NO_TAGS
    if flexible:
        plain += NO_TAGS
    chunks.append(bytes(plain))
    return chunks


def _partition_head(version: int, partition: FetchedPartition, aborted: bytes) -> bytes:
    """All before the records. Without transactions the last stable offset is the high watermark."""
    watermark = partition.high_watermark
    head = _PARTITION.pack(partition.partition, partition.error, watermark, watermark)
    if version >= _FIRST_WITH_START_OFFSET:
        head += _START_OFFSET.pack(partition.start_offset)
    head += aborted
    if version >= _FIRST_WITH_REPLICA:
        head += _NO_REPLICA
    return head
