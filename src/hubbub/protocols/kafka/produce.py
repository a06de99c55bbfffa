"""Produce (0): append record batches as received, and say so once they survive power loss."""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING

from kio.schema.errors import ErrorCode

from hubbub.log.batch import CONTROL, HEADER_BYTES, TRANSACTIONAL
from hubbub.protocols.kafka.lookup import (
    find_partition,
    find_topic,
    find_topic_id,
    refuse_internal,
)
from hubbub.protocols.kafka.produce_response import PartitionResult, encode_produce
from hubbub.protocols.kafka.refusal import Refusal, attempt, refusal_of
from hubbub.protocols.kafka.versions import PRODUCE

if TYPE_CHECKING:
    from hubbub.broker.publication import Publication
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext
    from hubbub.protocols.kafka.produce_request import (
        ProducePartition,
        ProduceRequest,
        ProduceTopic,
    )
    from hubbub.protocols.kafka.produce_response import Results

_NO_ACKS = 0
_KNOWN_ACKS = {-1, 0, 1}

# Base offset, length of what follows it, leader epoch and magic: the first fields of a batch.
_BATCH = struct.Struct(">qiib")
_LENGTH_COUNTS_FROM = 12
_LOW_ATTRIBUTES_AT = 22
_MAGIC = 2
_COMPRESSION_BITS = 0x07
_ZSTD = 4
_FIRST_WITH_ZSTD = 7  # KIP-110


def handle(context: RequestContext, request: ProduceRequest, reply: Reply) -> None:
    """Append each partition's batch; answer when all are durable, whether acks is 1 or all."""
    waiting: list[tuple[PartitionResult, Publication]] = []
    results: Results = [
        (
            topic,
            [
                _produce(context, request.acks, topic, wanted, waiting)
                for wanted in topic.partitions
            ],
        )
        for topic in request.topics
    ]
    if request.acks == _NO_ACKS:
        reply(None)
        # Kafka, too, has no other way to tell a producer that wants no answers.
        if any(result.error for _, partitions in results for result in partitions):
            context.connection.disconnect()
        return
    _WhenDurable(context, results, len(waiting), reply).watch(waiting)


class _WhenDurable:
    """Answers once every append is durable or has failed."""

    __slots__ = ("_context", "_missing", "_reply", "_results")

    def __init__(
        self, context: RequestContext, results: Results, missing: int, reply: Reply
    ) -> None:
        self._context = context
        self._results = results
        self._missing = missing + 1  # watch() itself, so that nothing answers before it is done
        self._reply = reply

    def watch(self, waiting: list[tuple[PartitionResult, Publication]]) -> None:
        for result, publication in waiting:
            publication.when_durable(partial(self._settle, result))
        self._count_down()

    def _settle(self, result: PartitionResult, failure: Exception | None) -> None:
        if failure is not None:
            result.refuse(refusal_of(failure))
        self._count_down()

    def _count_down(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._reply(encode_produce(self._context.api_version, self._results))


def _produce(
    context: RequestContext,
    acks: int,
    topic: ProduceTopic,
    wanted: ProducePartition,
    waiting: list[tuple[PartitionResult, Publication]],
) -> PartitionResult:
    result = PartitionResult(wanted.partition)
    publication = attempt(_append, context, acks, topic, wanted, result)
    if isinstance(publication, Refusal):
        result.refuse(publication)
    else:
        waiting.append((result, publication))
    return result


def _append(
    context: RequestContext,
    acks: int,
    named: ProduceTopic,
    wanted: ProducePartition,
    result: PartitionResult,
) -> Publication:
    if acks not in _KNOWN_ACKS:
        raise Refusal(ErrorCode.invalid_required_acks, f"Invalid required acks {acks}.")
    broker = context.broker
    if named.topic_id is not None:
        topic = find_topic_id(broker, named.topic_id)
    else:
        topic = find_topic(broker, named.name or "")
    partition = find_partition(topic, wanted.partition)
    refuse_internal(topic, "append to")
    batch = sole_batch(wanted.records, context.api_version)
    publication = broker.append(partition, batch, context.principal)
    result.base_offset = publication.places[0].base_offset
    result.start_offset = partition.log.start_offset
    if topic.settings.timestamp_kind == "append":
        result.append_time_ms = broker.timers.wall_ms
    return publication


def sole_batch(records: bytes | None, version: int) -> bytes:
    """The one batch that a partition's records must be, without cut-off bytes after it.

    Its checksum and contents are the log's to check. Raises Refusal, in the words of Kafka's
    ``ProduceRequest.validateRecords``.
    """
    if records is None or len(records) < HEADER_BYTES:
        raise _invalid(version, "must have at least one record batch per partition")
    _, length, _, magic = _BATCH.unpack_from(records)
    if magic != _MAGIC:
        raise _invalid(version, "are only allowed to contain record batches with magic version 2")
    size = length + _LENGTH_COUNTS_FROM
    if size < HEADER_BYTES:
        raise Refusal(
            ErrorCode.corrupt_message,
            f"Record size {length} is less than the minimum record overhead",
        )
    if size > len(records):
        raise _invalid(version, "must have at least one record batch per partition")
    _check_attributes(records[_LOW_ATTRIBUTES_AT], version)
    if size == len(records):
        return records
    if _holds_batch(records, size):
        raise _invalid(
            version, "are only allowed to contain exactly one record batch per partition"
        )
    return records[:size]  # Kafka trims bytes that make no batch, too


def _check_attributes(attributes: int, version: int) -> None:
    if attributes & _COMPRESSION_BITS == _ZSTD and version < _FIRST_WITH_ZSTD:
        raise Refusal(
            ErrorCode.unsupported_compression_type,
            f"Produce requests with version {version} are not allowed to use ZStandard compression",
        )
    if attributes & CONTROL:
        raise Refusal(ErrorCode.invalid_record, "Clients are not allowed to write control records.")
    if attributes & TRANSACTIONAL:
        # No transaction can have been begun, and this is what Kafka says of a batch outside one
        # (KIP-890).
        raise Refusal(ErrorCode.invalid_txn_state, "The partition is in no ongoing transaction.")


def _holds_batch(records: bytes, at: int) -> bool:
    if len(records) - at < HEADER_BYTES:
        return False
    length: int = _BATCH.unpack_from(records, at)[1]
    return at + length + _LENGTH_COUNTS_FROM <= len(records)


def _invalid(version: int, what: str) -> Refusal:
    return Refusal(ErrorCode.invalid_record, f"Produce requests with version {version} {what}")


HANDLERS: dict[int, Handler] = {PRODUCE: handle}
