"""CreateTopics, DeleteTopics and CreatePartitions, and the handlers of all that changes topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kio.schema.errors import ErrorCode

from hubbub.broker.names import is_reserved
from hubbub.broker.topics import MAX_PARTITIONS
from hubbub.model.settings import TopicSettings
from hubbub.protocols.kafka.config_entries import topic_entries
from hubbub.protocols.kafka.delete_records import delete_records
from hubbub.protocols.kafka.lookup import (
    duplicates,
    find_topic,
    find_topic_id,
    refuse_internal,
    when_kept,
)
from hubbub.protocols.kafka.mapping import from_kafka, to_kafka
from hubbub.protocols.kafka.refusal import Refusal, attempt, outcome
from hubbub.protocols.kafka.replicas import (
    REPLICATION_FACTOR,
    check_assignments,
    check_replicas,
    check_replication_factor,
)
from hubbub.protocols.kafka.topic_configs import changed

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.topics import Topic
    from hubbub.model.address import Address
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

# Kafka's own limit of one request's work: each partition is a directory entry and an open file.
MAX_NEW_PARTITIONS = 10_000

_DEFAULT = -1
_CREATE_TELLS_CONFIGS = 5  # the version of CreateTopics that answers with configs (KIP-525)
_DELETE_BY_ID = 6  # the version of DeleteTopics that takes topic ids too (KIP-516)


class _Plan(NamedTuple):
    """A topic that can be created."""

    address: Address
    partitions: int
    settings: TopicSettings


class _Creation(NamedTuple):
    """A plan come true; ``id`` is None where the client only asked whether it could."""

    plan: _Plan
    id: uuid.UUID | None


class _Key(NamedTuple):
    """A topic as DeleteTopics names it: before version 6 by name only, then by either."""

    name: str | None
    id: uuid.UUID | None


# CreateTopics


def create_topics(context: RequestContext, request: Any, reply: Reply) -> None:
    """Create each topic that can be created; answered when they survive power loss."""
    twice = duplicates(topic.name for topic in request.topics)
    excessive = _is_excessive(_wanted_partitions(context.broker, topic) for topic in request.topics)

    def create(wanted: Any) -> _Creation:
        if wanted.name in twice:
            raise _invalid_request("Duplicate topic name.")
        if excessive:
            raise _too_many()
        plan = _plan(context, wanted)
        if request.validate_only:
            return _Creation(plan, None)
        return _Creation(plan, context.broker.create_topic(*plan).id)

    def answer(results: Mapping[str, _Creation | Refusal]) -> None:
        topics = tuple(_creation_result(context, *result) for result in results.items())
        reply(context.make("CreateTopicsResponse", topics=topics))

    results = {topic.name: attempt(create, topic) for topic in request.topics}
    when_kept(context.broker, results, answer, dry_run=request.validate_only)


def _wanted_partitions(broker: Broker, wanted: Any) -> int:
    if wanted.assignments:
        return len(wanted.assignments)
    if wanted.num_partitions == _DEFAULT:
        return broker.config.default_partitions
    count: int = wanted.num_partitions
    return count


def _plan(context: RequestContext, wanted: Any) -> _Plan:
    address = _new_address(context.broker, wanted.name)
    nulls = [config.name for config in wanted.configs if config.value is None]
    if nulls:
        raise Refusal(
            ErrorCode.invalid_config,
            f"Null value not supported for topic configs: {','.join(nulls)}",
        )
    settings = changed(TopicSettings(), {config.name: config.value for config in wanted.configs})
    if wanted.assignments:
        _check_assigned(context, wanted)
    else:
        check_replication_factor(wanted.replication_factor)
    partitions = _wanted_partitions(context.broker, wanted)
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise _invalid_partitions(
            "Number of partitions was set to an invalid non-positive value."
            if partitions < 1
            else f"A topic has at most {MAX_PARTITIONS} partitions."
        )
    return _Plan(address, partitions, settings)


def _new_address(broker: Broker, name: str) -> Address:
    address = from_kafka(name)
    if broker.topics.get(address) is not None:
        raise Refusal(ErrorCode.topic_already_exists, f"Topic '{name}' already exists.")
    if is_reserved(address):
        raise _invalid_request(f"Creation of internal topic {name} is prohibited.")
    return address


def _check_assigned(context: RequestContext, wanted: Any) -> None:
    for field, value in (
        ("replication factor", wanted.replication_factor),
        ("numPartitions", wanted.num_partitions),
    ):
        if value != _DEFAULT:
            raise _invalid_request(
                f"A manual partition assignment was specified, but {field} was not set to -1."
            )
    assigned = [(each.partition_index, each.broker_ids) for each in wanted.assignments]
    check_assignments(assigned, context.node.node_id)


def _creation_result(context: RequestContext, name: str, result: _Creation | Refusal) -> Any:
    if isinstance(result, Refusal):
        return context.make(
            "CreatableTopicResult", name=name, topic_id=None, configs=(), **outcome(result)
        )
    return context.make(
        "CreatableTopicResult",
        name=name,
        topic_id=result.id,
        num_partitions=result.plan.partitions,
        replication_factor=REPLICATION_FACTOR,
        configs=_configs(context, result.plan.settings),
        **outcome(None),
    )


def _configs(context: RequestContext, settings: TopicSettings) -> tuple[Any, ...]:
    if context.api_version < _CREATE_TELLS_CONFIGS:
        return ()
    return tuple(
        context.make(
            "CreatableTopicConfigs",
            name=entry.name,
            value=entry.value,
            read_only=entry.read_only,
            config_source=entry.source,
            is_sensitive=False,
        )
        for entry in topic_entries(settings)
    )


# DeleteTopics


def delete_topics(context: RequestContext, request: Any, reply: Reply) -> None:
    """Delete each topic that may be deleted; answered when they stay so after power loss."""
    if context.api_version >= _DELETE_BY_ID:
        keys = [_Key(topic.name, topic.topic_id) for topic in request.topics]
    else:
        keys = [_Key(name, None) for name in request.topic_names]
    twice = duplicates(keys)

    def delete(key: _Key) -> Topic:
        topic = _doomed(context.broker, key, repeated=key in twice)
        context.broker.delete_topic(topic)
        return topic

    def answer(results: Mapping[_Key, Topic | Refusal]) -> None:
        responses = tuple(_deletion_result(context, *result) for result in results.items())
        reply(context.make("DeleteTopicsResponse", responses=responses))

    when_kept(context.broker, {key: attempt(delete, key) for key in keys}, answer)


def _doomed(broker: Broker, key: _Key, *, repeated: bool) -> Topic:
    """The topic to delete."""
    if key.name is not None and key.id is not None:
        raise _invalid_request("You may not specify both topic name and topic id.")
    if key.name is not None:
        if repeated:
            raise _invalid_request("Duplicate topic name.")
        topic = find_topic(broker, key.name)
    elif key.id is not None:
        if repeated:
            raise _invalid_request("Duplicate topic id.")
        topic = find_topic_id(broker, key.id)
    else:
        raise _invalid_request("Neither topic name nor id were specified.")
    refuse_internal(topic, "delete")
    return topic


def _deletion_result(context: RequestContext, key: _Key, result: Topic | Refusal) -> Any:
    if isinstance(result, Refusal):
        return context.make(
            "DeletableTopicResult", name=key.name, topic_id=key.id, **outcome(result)
        )
    name = key.name if key.name is not None else to_kafka(result.name)
    return context.make("DeletableTopicResult", name=name, topic_id=result.id, **outcome(None))


# CreatePartitions


def create_partitions(context: RequestContext, request: Any, reply: Reply) -> None:
    """Give each topic more partitions; answered when they survive power loss."""
    twice = duplicates(topic.name for topic in request.topics)
    excessive = _is_excessive(topic.count for topic in request.topics)

    def grow(wanted: Any) -> None:
        if wanted.name in twice:
            raise _invalid_request("Duplicate topic name.")
        if excessive:
            raise _too_many()
        topic = find_topic(context.broker, wanted.name)
        _check_growth(context, topic, wanted)
        if not request.validate_only:
            context.broker.topics.add_partitions(topic, wanted.count)

    def answer(results: Mapping[str, Refusal | None]) -> None:
        made = tuple(
            context.make("CreatePartitionsTopicResult", name=name, **outcome(result))
            for name, result in results.items()
        )
        reply(context.make("CreatePartitionsResponse", results=made))

    results = {topic.name: attempt(grow, topic) for topic in request.topics}
    when_kept(context.broker, results, answer, dry_run=request.validate_only)


def _check_growth(context: RequestContext, topic: Topic, wanted: Any) -> None:
    refuse_internal(topic, "add partitions to")
    present = len(topic.partitions)
    if wanted.count == present:
        raise _invalid_partitions(f"Topic already has {present} partition(s).")
    if wanted.count < present:
        raise _invalid_partitions(
            f"The topic {wanted.name} currently has {present} partition(s); {wanted.count} would"
            " not be an increase."
        )
    if wanted.count > MAX_PARTITIONS:
        raise _invalid_partitions(f"A topic has at most {MAX_PARTITIONS} partitions.")
    if wanted.assignments is not None:
        added = wanted.count - present
        if len(wanted.assignments) != added:
            raise Refusal(
                ErrorCode.invalid_replica_assignment,
                f"Attempted to add {added} additional partition(s), but only"
                f" {len(wanted.assignments)} assignment(s) were specified.",
            )
        for assignment in wanted.assignments:
            check_replicas(assignment.broker_ids, context.node.node_id)


def _is_excessive(counts: Iterable[int]) -> bool:
    return sum(count for count in counts if count > 0) > MAX_NEW_PARTITIONS


def _too_many() -> Refusal:
    return Refusal(
        ErrorCode.policy_violation, "Excessively large number of partitions per request."
    )


def _invalid_request(message: str) -> Refusal:
    return Refusal(ErrorCode.invalid_request, message)


def _invalid_partitions(message: str) -> Refusal:
    return Refusal(ErrorCode.invalid_partitions, message)


HANDLERS: dict[int, Handler] = {
    19: create_topics,
    20: delete_topics,
    21: delete_records,
    37: create_partitions,
}
