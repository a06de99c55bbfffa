"""DescribeTopicPartitions (75, KIP-966): topics in pages of at most so many partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.protocols.kafka.leader_epochs import LEADER_EPOCH
from hubbub.protocols.kafka.mapping import to_kafka
from hubbub.protocols.kafka.operations import TOPIC_OPERATIONS
from hubbub.protocols.kafka.readable import check_readable, find_readable
from hubbub.protocols.kafka.refusal import Refusal, attempt
from hubbub.protocols.kafka.versions import DESCRIBE_TOPIC_PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.broker.topics import Topic
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

MAX_PARTITIONS = 2000  # Kafka's max.request.partition.size.limit


def handle(context: RequestContext, request: Any, reply: Reply) -> None:
    """The topics from the cursor on, sorted by name, and the cursor of what did not fit."""
    start = ("", 0)
    if request.cursor is not None:
        start = (request.cursor.topic_name, max(0, request.cursor.partition_index))
    room = max(1, min(request.response_partition_limit, MAX_PARTITIONS))
    page: list[Any] = []
    next_cursor = None
    for name, topic in _wanted(context, request):
        if name < start[0]:
            continue
        first = start[1] if name == start[0] else 0
        if room == 0:
            next_cursor = context.make("Cursor", topic_name=name, partition_index=first)
            break
        if isinstance(topic, Refusal):
            page.append(_refused(context, name, topic))
            continue
        last = min(len(topic.partitions), first + room)
        page.append(_described(context, name, topic, range(first, last)))
        room -= max(0, last - first)
        if last < len(topic.partitions):
            next_cursor = context.make("Cursor", topic_name=name, partition_index=last)
            break
    reply(
        context.make("DescribeTopicPartitionsResponse", topics=tuple(page), next_cursor=next_cursor)
    )


def _wanted(context: RequestContext, request: Any) -> Iterator[tuple[str, Topic | Refusal]]:
    if request.topics:
        for name in sorted({topic.name for topic in request.topics}):
            yield name, attempt(find_readable, context, name)
        return
    names = [(name, one) for one in context.broker.topics if (name := to_kafka(one.name))]
    for name, topic in sorted(names, key=lambda pair: pair[0]):
        if not isinstance(attempt(check_readable, context, topic), Refusal):
            yield name, topic


def _refused(context: RequestContext, name: str, refusal: Refusal) -> Any:
    return context.make(
        "DescribeTopicPartitionsResponseTopic",
        error_code=refusal.code,
        name=name,
        topic_id=None,
        partitions=(),
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


def _described(context: RequestContext, name: str, topic: Topic, indexes: range) -> Any:
    here = (context.node.node_id,)
    return context.make(
        "DescribeTopicPartitionsResponseTopic",
        error_code=ErrorCode.none,
        name=name,
        topic_id=topic.id,
        is_internal=topic.internal,
        partitions=tuple(
            context.make(
                "DescribeTopicPartitionsResponsePartition",
                error_code=ErrorCode.none,
                partition_index=index,
                leader_id=context.node.node_id,
                leader_epoch=LEADER_EPOCH,
                replica_nodes=here,
                isr_nodes=here,
                eligible_leader_replicas=(),
                last_known_elr=(),
                offline_replicas=(),
            )
            for index in indexes
        ),
        topic_authorized_operations=TOPIC_OPERATIONS,
    )


HANDLERS: dict[int, Handler] = {DESCRIBE_TOPIC_PARTITIONS: handle}
