"""Topics by the names that Kafka's clients give, and answers that wait for the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from kio.schema.errors import ErrorCode

from hubbub.model.errors import InvalidAddressError
from hubbub.protocols.kafka.mapping import from_kafka
from hubbub.protocols.kafka.refusal import Refusal, refusal_of

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Iterable, Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.partition import Partition
    from hubbub.broker.topics import Topic

K = TypeVar("K")
T = TypeVar("T")


def find_topic(broker: Broker, name: str) -> Topic:
    """The topic, or a Refusal: a name that no topic can have is as unknown as any other."""
    try:
        topic = broker.topics.get(from_kafka(name))
    except InvalidAddressError:
        topic = None
    if topic is None:
        raise Refusal(
            ErrorCode.unknown_topic_or_partition,
            "This server does not host this topic-partition.",
        )
    return topic


def find_topic_id(broker: Broker, topic_id: uuid.UUID) -> Topic:
    """The topic of that id, or a Refusal."""
    topic = broker.topics.by_id(topic_id)
    if topic is None:
        raise Refusal(ErrorCode.unknown_topic_id, "This server does not host this topic ID.")
    return topic


def find_partition(topic: Topic, index: int) -> Partition:
    """The partition, or a Refusal."""
    if not 0 <= index < len(topic.partitions):
        raise Refusal(
            ErrorCode.unknown_topic_or_partition, f"No such partition as {topic.name}-{index}"
        )
    return topic.partitions[index]


def refuse_internal(topic: Topic, action: str) -> None:
    """Refuse to do what would break the broker's own state."""
    if topic.internal:
        raise Refusal(
            ErrorCode.invalid_topic_exception, f"Cannot {action} internal topic {topic.name}"
        )


def duplicates(names: Iterable[object]) -> set[object]:
    """What is there more than once."""
    seen: set[object] = set()
    twice: set[object] = set()
    for name in names:
        (twice if name in seen else seen).add(name)
    return twice


def when_kept(
    broker: Broker,
    results: Mapping[K, T | Refusal],
    answer: Callable[[Mapping[K, T | Refusal]], None],
    *,
    dry_run: bool = False,
) -> None:
    """Call ``answer`` with the results once what was done survives power loss.

    If it does not, every success becomes a refusal that says so. A ``dry_run`` changed nothing.
    """
    if dry_run or all(isinstance(result, Refusal) for result in results.values()):
        answer(results)
        return

    def settle(failure: Exception | None) -> None:
        if failure is None:
            answer(results)
            return
        lost = refusal_of(failure)
        answer({key: end if isinstance(end, Refusal) else lost for key, end in results.items()})

    broker.topics.when_durable(settle)
