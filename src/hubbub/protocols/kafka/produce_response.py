"""Produce responses, encoded by hand: kio takes longer over one than the append that it is for."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

from hubbub.protocols.kafka.primitives import INT32, NO_TAGS, length, string
from hubbub.protocols.kafka.versions import PRODUCE, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hubbub.protocols.kafka.produce_request import ProduceTopic
    from hubbub.protocols.kafka.refusal import Refusal

    Results: TypeAlias = Sequence[tuple[ProduceTopic, Sequence["PartitionResult"]]]

_FIRST_WITH_START_OFFSET = 5
_FIRST_WITH_MESSAGES = 8  # KIP-467

# Index, error code, base offset, append time.
_PARTITION = struct.Struct(">ihqq")
_START_OFFSET = struct.Struct(">q")
_UNKNOWN = -1
_UNTHROTTLED = INT32.pack(0)


class PartitionResult:
    """What became of one partition's batch."""

    __slots__ = ("append_time_ms", "base_offset", "error", "index", "message", "start_offset")

    def __init__(self, index: int) -> None:
        self.index = index
        self.error = 0
        self.base_offset = _UNKNOWN
        self.append_time_ms = _UNKNOWN
        self.start_offset = _UNKNOWN
        self.message: str | None = None

    def refuse(self, refusal: Refusal) -> None:
        """Nothing of the batch will be there."""
        self.error = int(refusal.code)
        self.message = refusal.message
        self.base_offset = self.append_time_ms = self.start_offset = _UNKNOWN


def encode_produce(version: int, results: Results) -> bytes:
    """The body of a Produce response."""
    flexible = version >= VERSIONS[PRODUCE].flexible
    body = bytearray(length(len(results), flexible=flexible))
    for topic, partitions in results:
        if topic.topic_id is not None:
            body += topic.topic_id.bytes
        else:
            body += string(topic.name, flexible=flexible)
        body += length(len(partitions), flexible=flexible)
        for result in partitions:
            body += _PARTITION.pack(
                result.index, result.error, result.base_offset, result.append_time_ms
            )
            if version >= _FIRST_WITH_START_OFFSET:
                body += _START_OFFSET.pack(result.start_offset)
            if version >= _FIRST_WITH_MESSAGES:
                body += length(0, flexible=flexible)  # a batch is refused whole, not by its records
                body += string(result.message, flexible=flexible)
            if flexible:
                body += NO_TAGS
        if flexible:
            body += NO_TAGS
    body += _UNTHROTTLED
    if flexible:
        body += NO_TAGS
    return bytes(body)
