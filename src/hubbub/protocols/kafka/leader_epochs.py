"""Leader epochs (KIP-101, KIP-320): one broker leads from first to last, so there is one epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.protocols.kafka.lookup import find_partition
from hubbub.protocols.kafka.readable import find_readable
from hubbub.protocols.kafka.refusal import Refusal, attempt
from hubbub.protocols.kafka.versions import OFFSET_FOR_LEADER_EPOCH

if TYPE_CHECKING:
    from hubbub.broker.partition import Partition
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

LEADER_EPOCH = 0  # log.batch stamps it on every batch that is appended

_UNKNOWN = -1


def check_current_epoch(epoch: int) -> None:
    """Refuse a request of a client that knows another epoch; -1 is from one that knows none."""
    if epoch == _UNKNOWN:
        return
    if epoch < LEADER_EPOCH:
        raise Refusal(
            ErrorCode.fenced_leader_epoch,
            "The leader epoch in the request is older than the epoch on the broker.",
        )
    if epoch > LEADER_EPOCH:
        raise Refusal(
            ErrorCode.unknown_leader_epoch,
            "The leader epoch in the request is newer than the epoch on the broker.",
        )


def handle(context: RequestContext, request: Any, reply: Reply) -> None:
    """OffsetForLeaderEpoch (23): where each epoch ends, by which clients notice lost messages."""
    topics = tuple(
        context.make(
            "OffsetForLeaderTopicResult",
            topic=topic.topic,
            partitions=tuple(_end(context, topic.topic, wanted) for wanted in topic.partitions),
        )
        for topic in request.topics
    )
    reply(context.make("OffsetForLeaderEpochResponse", topics=topics))


def _end(context: RequestContext, name: str, wanted: Any) -> Any:
    partition = attempt(_find, context, name, wanted)
    epoch = end = _UNKNOWN
    if not isinstance(partition, Refusal) and wanted.leader_epoch == LEADER_EPOCH:
        epoch, end = LEADER_EPOCH, partition.log.durable_offset
    return context.make(
        "EpochEndOffset",
        error_code=partition.code if isinstance(partition, Refusal) else ErrorCode.none,
        partition=wanted.partition,
        leader_epoch=epoch,
        end_offset=end,
    )


def _find(context: RequestContext, name: str, wanted: Any) -> Partition:
    topic = find_readable(context, name)
    partition = find_partition(topic, wanted.partition)
    check_current_epoch(wanted.current_leader_epoch)
    return partition


HANDLERS: dict[int, Handler] = {OFFSET_FOR_LEADER_EPOCH: handle}
