"""DeleteRecords: forget what stands before an offset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.protocols.kafka.lookup import find_partition, find_topic, refuse_internal
from hubbub.protocols.kafka.refusal import Refusal, attempt

if TYPE_CHECKING:
    from hubbub.broker.broker import Broker
    from hubbub.protocols.kafka.context import Reply, RequestContext

_HIGH_WATERMARK = -1
_NO_LOW_WATERMARK = -1


def delete_records(context: RequestContext, request: Any, reply: Reply) -> None:
    """Forget records before each offset; -1 stands for the high watermark.

    Answered at once: as in Kafka, what was forgotten may be back after a crash that comes before
    the next sync.
    """
    topics = tuple(
        context.make(
            "DeleteRecordsTopicResult",
            name=topic.name,
            partitions=tuple(
                _partition_result(context, topic.name, partition) for partition in topic.partitions
            ),
        )
        for topic in request.topics
    )
    reply(context.make("DeleteRecordsResponse", topics=topics))


def _partition_result(context: RequestContext, name: str, wanted: Any) -> Any:
    low = attempt(_truncate, context.broker, name, wanted.partition_index, wanted.offset)
    refused = isinstance(low, Refusal)
    return context.make(
        "DeleteRecordsPartitionResult",
        partition_index=wanted.partition_index,
        low_watermark=_NO_LOW_WATERMARK if refused else low,
        error_code=low.code if isinstance(low, Refusal) else ErrorCode.none,
    )


def _truncate(broker: Broker, name: str, index: int, offset: int) -> int:
    """The low watermark after records before ``offset`` are gone."""
    topic = find_topic(broker, name)
    log = find_partition(topic, index).log
    refuse_internal(topic, "delete records of")
    if topic.settings.compact and not topic.settings.delete_old:
        raise Refusal(
            ErrorCode.policy_violation,
            f"Records of partition {name}-{index} can not be deleted due to the configured policy",
        )
    high_watermark = log.durable_offset
    if offset == _HIGH_WATERMARK:
        offset = high_watermark
    if not 0 <= offset <= high_watermark:
        raise Refusal(
            ErrorCode.offset_out_of_range,
            f"Cannot delete records of {name}-{index} up to {offset}: the high watermark is"
            f" {high_watermark}",
        )
    if offset > log.start_offset:
        log.truncate_before(offset)
    return log.start_offset
