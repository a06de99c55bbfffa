"""What there is, as plain values: for the Python API, the command line and every other onlooker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from hubbub.model.address import Address
from hubbub.model.settings import TopicSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.broker.broker import Broker
    from hubbub.broker.topics import Topic

# A queue may be bound to thousands of patterns, and a list has room for some.
_PATTERNS_SHOWN = 3


class PartitionInfo(msgspec.Struct, frozen=True, array_like=True):
    """One partition; readers see offsets from ``start_offset`` to before ``end_offset``."""

    index: int
    start_offset: int
    end_offset: int
    bytes: int


class TopicInfo(msgspec.Struct, frozen=True, array_like=True):
    """One topic."""

    name: str
    partitions: tuple[PartitionInfo, ...]
    settings: TopicSettings
    created_ms: int

    @property
    def messages(self) -> int:
        """Messages kept; where the topic is compacted, offsets in use, which are at least as many."""
        return sum(part.end_offset - part.start_offset for part in self.partitions)

    @property
    def bytes(self) -> int:
        """Bytes kept."""
        return sum(part.bytes for part in self.partitions)


class SubscriptionInfo(msgspec.Struct, frozen=True, array_like=True):
    """One durable subscription to one topic, or a queue.

    ``partitioned`` is a Kafka consumer group, ``shared`` leases each message to one of its members, and
    a ``queue`` does so with what its patterns select, which stand in the place of the topic. ``lag``
    counts messages that are stored and not yet settled.
    """

    kind: Literal["partitioned", "shared", "queue"]
    name: str
    topic: str
    members: tuple[str, ...]
    lag: int


class SubscriberInfo(msgspec.Struct, frozen=True, array_like=True):
    """Who gets what is published to an address, and through which durable subscription, if any."""

    protocol: str
    client: str
    subscription: str | None = None
    lag: int = 0


def topics(broker: Broker) -> list[TopicInfo]:
    """Every topic but the broker's own, by name."""
    return [_topic_info(broker, topic) for topic in broker.topics if not topic.internal]


def subscriptions(broker: Broker) -> list[SubscriptionInfo]:
    """Every durable subscription, by topic and name."""
    found = [*_shared(broker), *_queues(broker), *_partitioned(broker)]
    return sorted(found, key=lambda info: (info.topic, info.name, info.kind))


def subscribers(broker: Broker, address: Address) -> list[SubscriberInfo]:
    """Everyone who would get a message published to ``address`` now: live, or through a topic."""
    live = [
        SubscriberInfo(observer.subscriber.protocol, observer.subscriber.client)
        for observer in broker.observers.route(address)
    ]
    holders = {topic.name for topic in broker.topics.holders(address)}
    shared = [
        SubscriberInfo(consumer.protocol, consumer.client, found.name, found.lag)
        for found in broker.subscriptions
        if found.topic.name in holders
        for consumer in found.consumers
    ]
    groups = [
        SubscriberInfo("kafka", member, found.name, found.lag)
        for found in _partitioned(broker)
        if found.topic in holders
        for member in found.members
    ]
    queues = [
        SubscriberInfo(consumer.protocol, consumer.client, queue.name, queue.lag)
        for queue in broker.queues.matching(address)
        for consumer in queue.consumers
    ]
    return [*live, *shared, *queues, *groups]


def _topic_info(broker: Broker, topic: Topic) -> TopicInfo:
    sizes = broker.log.sizes(topic.number)
    partitions = tuple(
        PartitionInfo(
            partition.index,
            partition.log.start_offset,
            partition.log.durable_offset,
            sizes.get(partition.index, 0),
        )
        for partition in topic.partitions
    )
    return TopicInfo(topic.name, partitions, topic.settings, topic.created_ms)


def _shared(broker: Broker) -> Iterator[SubscriptionInfo]:
    for found in broker.subscriptions:
        members = tuple(f"{who.protocol}:{who.client}" for who in found.consumers)
        yield SubscriptionInfo("shared", found.name, found.topic.name, members, found.lag)


def _queues(broker: Broker) -> Iterator[SubscriptionInfo]:
    for queue in broker.queues:
        members = tuple(f"{who.protocol}:{who.client}" for who in queue.consumers)
        shown = [str(pattern) for pattern in queue.patterns[:_PATTERNS_SHOWN]]
        if len(queue.patterns) > _PATTERNS_SHOWN:
            shown.append("...")
        yield SubscriptionInfo("queue", queue.name, " ".join(shown), members, queue.lag)


def _partitioned(broker: Broker) -> Iterator[SubscriptionInfo]:
    for group in broker.offsets.groups():
        described = broker.groups.describe(group)
        members = tuple(member.client_id for member in described.members) if described else ()
        lags: dict[str, int] = {}
        for (name, index), committed in broker.offsets.committed(group).items():
            topic = broker.topics.get(Address(name))
            if topic is not None and index < len(topic.partitions):
                behind = topic.partitions[index].log.durable_offset - committed.offset
                lags[name] = lags.get(name, 0) + max(0, behind)
        for name, lag in lags.items():
            yield SubscriptionInfo("partitioned", group, name, members, lag)
