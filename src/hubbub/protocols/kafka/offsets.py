"""Committed offsets: OffsetCommit, OffsetFetch and OffsetDelete."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from kio.schema.consumer_protocol_subscription.v0 import ConsumerProtocolSubscription
from kio.schema.errors import ErrorCode

from hubbub.broker.group_errors import GroupError
from hubbub.broker.group_messages import CommitRequest
from hubbub.broker.offset_records import NEVER_MS, NO_LEADER_EPOCH, Committed
from hubbub.model.address import Address
from hubbub.model.errors import InvalidAddressError
from hubbub.protocols.kafka.groups import error_code
from hubbub.protocols.kafka.lookup import duplicates, find_partition, find_topic, find_topic_id
from hubbub.protocols.kafka.mapping import from_kafka, to_kafka
from hubbub.protocols.kafka.primitives import INT16
from hubbub.protocols.kafka.reader import MalformedRequestError, entity_reader
from hubbub.protocols.kafka.refusal import Refusal, attempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubbub.broker.offset_records import PartitionKey
    from hubbub.broker.topics import Topic
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

# Kafka's offset.metadata.max.bytes, which counts characters.
MAX_METADATA_CHARACTERS = 4096
# What OffsetFetch tells in one response, far beyond what a group reads. Metadata counts too: as one
# partition more for every so many characters.
MAX_FETCHED_PARTITIONS = 100_000
_CHARACTERS_PER_PARTITION = 256

_NO_OFFSET = Committed(-1)
_NO_ID = uuid.UUID(int=0)  # what is sent for none
_MILLISECOND = timedelta(milliseconds=1)

_FETCH_MANY_GROUPS = 8  # KIP-709
_BY_TOPIC_ID = 10  # of both OffsetCommit and OffsetFetch: topics go by id (KIP-848)
_COMMIT_GROUP_NOT_FOUND = 9  # KIP-848


class _Reference(NamedTuple):
    """A topic as the client names it, in the one way that the version has."""

    name: str | None
    topic_id: uuid.UUID | None


_Place: TypeAlias = tuple[_Reference, Any]  # a topic and one of its partitions in a request


def _reference(wanted: Any) -> _Reference:
    return _Reference(getattr(wanted, "name", None), getattr(wanted, "topic_id", None))


# OffsetCommit


def offset_commit(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answered when the offsets survive power loss."""
    offsets: dict[PartitionKey, Committed] = {}
    refused: dict[_Place, ErrorCode] = {}
    expire_ms = _expiry(context, request)
    for topic in request.topics:
        for partition in topic.partitions:
            found = attempt(_partition_key, context, topic, partition)
            if isinstance(found, Refusal):
                refused[_reference(topic), partition] = found.code
            else:
                offsets[found] = Committed(
                    partition.committed_offset,
                    getattr(partition, "committed_leader_epoch", NO_LEADER_EPOCH),
                    partition.committed_metadata or "",
                    context.broker.timers.wall_ms,
                    expire_ms,
                )

    def committed(error: GroupError | None) -> None:
        if error is GroupError.GROUP_ID_NOT_FOUND and context.api_version < _COMMIT_GROUP_NOT_FOUND:
            error = GroupError.ILLEGAL_GENERATION
        topics = _results(context, "OffsetCommit", request, refused, error_code(error))
        reply(context.make("OffsetCommitResponse", topics=topics))

    if not offsets:
        committed(None)
        return
    commit = CommitRequest(
        group_id=request.group_id,
        member_id=request.member_id,
        instance_id=getattr(request, "group_instance_id", None),
        generation=request.generation_id_or_member_epoch,
        offsets=offsets,
    )
    context.broker.groups.commit(commit, committed)


def _expiry(context: RequestContext, request: Any) -> int:
    """When the client wants its offsets forgotten, which versions 2 to 4 could say."""
    retention: timedelta | None = getattr(request, "retention_time", None)
    if retention is None or retention < timedelta(0):
        return NEVER_MS
    return context.broker.timers.wall_ms + retention // _MILLISECOND


def _partition_key(context: RequestContext, wanted: Any, partition: Any) -> PartitionKey:
    topic = _topic(context, _reference(wanted))
    find_partition(topic, partition.partition_index)
    if len(partition.committed_metadata or "") > MAX_METADATA_CHARACTERS:
        raise Refusal(
            ErrorCode.offset_metadata_too_large,
            "The metadata field of the offset request was too large.",
        )
    return topic.name, partition.partition_index


def _topic(context: RequestContext, reference: _Reference) -> Topic:
    """The topic, or a Refusal."""
    if context.api_version >= _BY_TOPIC_ID:
        topic = find_topic_id(context.broker, reference.topic_id or _NO_ID)
    else:
        topic = find_topic(context.broker, reference.name or "")
    if not context.broker.may(context.principal, "subscribe", topic.name):
        raise Refusal(ErrorCode.topic_authorization_failed, "Topic authorization failed.")
    return topic


# OffsetFetch


class _Room:
    """What is left of the limit on one response."""

    def __init__(self) -> None:
        self._partitions = MAX_FETCHED_PARTITIONS

    def take(self, position: Committed) -> None:
        """Make room for one partition. Raises MalformedRequestError, which ends the connection."""
        self._partitions -= 1 + len(position.metadata) // _CHARACTERS_PER_PARTITION
        if self._partitions < 0:
            raise MalformedRequestError("the offsets to fetch do not fit into one response")


def offset_fetch(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answered at once: what is visible is durable, and nothing is unstable."""
    room = _Room()
    if context.api_version < _FETCH_MANY_GROUPS:
        topics = _fetched(context, request, "", room)
        reply(context.make("OffsetFetchResponse", topics=topics, error_code=ErrorCode.none))
        return
    # Kafka answers as often as it is asked; a small request could cost any time that way.
    twice = duplicates(group.group_id for group in request.groups)
    groups = tuple(
        context.make(
            "OffsetFetchResponseGroup",
            group_id=group.group_id,
            topics=() if group.group_id in twice else _fetched(context, group, "s", room),
            error_code=ErrorCode.invalid_request if group.group_id in twice else ErrorCode.none,
        )
        for group in request.groups
    )
    reply(context.make("OffsetFetchResponse", groups=groups))


def _fetched(context: RequestContext, wanted: Any, plural: str, room: _Room) -> tuple[Any, ...]:
    """What one group asks for; ``plural`` ends the names that the schema has for it."""
    if wanted.topics is None:
        asked = _everything(context, wanted.group_id)
    else:
        asked = [(_reference(topic), topic.partition_indexes) for topic in wanted.topics]
    return tuple(
        context.make(
            f"OffsetFetchResponseTopic{plural}",
            **reference._asdict(),
            partitions=tuple(
                context.make(
                    f"OffsetFetchResponsePartition{plural}",
                    partition_index=index,
                    **_position(context, wanted.group_id, reference, index, room),
                )
                for index in indexes
            ),
        )
        for reference, indexes in asked
    )


def _everything(context: RequestContext, group_id: str) -> list[tuple[_Reference, list[int]]]:
    """Every partition with an offset, of topics that the client can be told of in this version."""
    by_topic: dict[str, list[int]] = {}
    for name, index in context.broker.offsets.committed(group_id):
        by_topic.setdefault(name, []).append(index)
    asked = []
    for name, indexes in by_topic.items():
        topic = context.broker.topics.get(Address(name))
        reference = _Reference(to_kafka(Address(name)), topic.id if topic else None)
        told = reference.topic_id if context.api_version >= _BY_TOPIC_ID else reference.name
        if told is not None and context.broker.may(context.principal, "subscribe", Address(name)):
            asked.append((reference, indexes))
    return asked


def _position(
    context: RequestContext, group_id: str, reference: _Reference, index: int, room: _Room
) -> dict[str, Any]:
    error = ErrorCode.none
    committed = None
    name = attempt(_address, context, reference)
    if isinstance(name, Refusal):
        error = name.code
    elif name is not None:
        committed = context.broker.offsets.get(group_id, name, index)
    position = committed or _NO_OFFSET
    room.take(position)
    return {
        "committed_offset": position.offset,
        "committed_leader_epoch": position.leader_epoch,
        "metadata": position.metadata,
        "error_code": error,
    }


def _address(context: RequestContext, reference: _Reference) -> Address | None:
    """Of any topic, also one that is gone: by name, an unknown topic merely has no offset."""
    if context.api_version >= _BY_TOPIC_ID:
        return _topic(context, reference).name
    try:
        name = from_kafka(reference.name or "")
    except InvalidAddressError:
        return None
    if not context.broker.may(context.principal, "subscribe", name):
        raise Refusal(ErrorCode.topic_authorization_failed, "Topic authorization failed.")
    return name


# OffsetDelete


def offset_delete(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answered when the offsets are gone for good; those of topics being read are kept."""
    subscribed = _subscribed_topics(context.broker.groups.subscriptions(request.group_id))
    keys: list[PartitionKey] = []
    refused: dict[_Place, ErrorCode] = {}
    for topic in request.topics:
        for partition in topic.partitions:
            place = (_reference(topic), partition)
            found = attempt(_deletable, context, place, subscribed)
            if isinstance(found, Refusal):
                refused[place] = found.code
            else:
                keys.append(found)

    def deleted(error: GroupError | None) -> None:
        none = ErrorCode.none
        topics = () if error else _results(context, "OffsetDelete", request, refused, none)
        reply(context.make("OffsetDeleteResponse", error_code=error_code(error), topics=topics))

    context.broker.groups.delete_offsets(request.group_id, keys, deleted)


def _deletable(
    context: RequestContext, place: _Place, subscribed: frozenset[str] | None
) -> PartitionKey:
    reference, partition = place
    topic = _topic(context, reference)
    find_partition(topic, partition.partition_index)
    if subscribed is None or reference.name in subscribed:
        raise Refusal(
            ErrorCode.group_subscribed_to_topic,
            "Deleting offsets of a topic is forbidden while the consumer group is actively "
            "subscribed to it.",
        )
    return topic.name, partition.partition_index


def _subscribed_topics(subscriptions: Iterable[bytes]) -> frozenset[str] | None:
    """The topics that members of a consumer group read; None if one does not say."""
    read = entity_reader(ConsumerProtocolSubscription)
    topics: set[str] = set()
    try:
        for subscription in subscriptions:
            # Behind the version, every later one begins with the fields of version 0.
            topics.update(read(subscription, INT16.size)[0].topics)
    except MalformedRequestError:
        return None
    return frozenset(topics)


def _results(
    context: RequestContext,
    api: str,
    request: Any,
    refused: Mapping[_Place, ErrorCode],
    code: ErrorCode,
) -> tuple[Any, ...]:
    """The result of every partition in the request: ``code``, or why it was refused."""
    return tuple(
        context.make(
            f"{api}ResponseTopic",
            **_reference(topic)._asdict(),
            partitions=tuple(
                context.make(
                    f"{api}ResponsePartition",
                    partition_index=partition.partition_index,
                    error_code=refused.get((_reference(topic), partition), code),
                )
                for partition in topic.partitions
            ),
        )
        for topic in request.topics
    )


HANDLERS: dict[int, Handler] = {
    8: offset_commit,
    9: offset_fetch,
    47: offset_delete,
}
