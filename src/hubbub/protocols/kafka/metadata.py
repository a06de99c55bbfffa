"""Metadata (3): which topics there are and where; by asking for one, clients may make it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.broker.names import is_reserved
from hubbub.model.errors import HubbubError
from hubbub.protocols.kafka.mapping import error_code, from_kafka, to_kafka
from hubbub.protocols.kafka.metadata_response import (
    ClusterMetadata,
    TopicMetadata,
    encode_metadata,
)
from hubbub.protocols.kafka.operations import (
    CLUSTER_OPERATIONS,
    NOT_ASKED_FOR,
    TOPIC_OPERATIONS,
)
from hubbub.protocols.kafka.versions import METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from hubbub.broker.topics import Topic
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

_FIRST_WITH_NULL_FOR_ALL = 1
_FIRST_BY_ID = 12  # versions 10 and 11 have the field, but Kafka refuses what stands in it

# Each topic made costs files; a client that wants more at once asks again, as for any other topic
# that is not there yet.
MAX_CREATED_PER_REQUEST = 1000


def handle(context: RequestContext, request: Any, reply: Reply) -> None:
    """Describe all topics, those named, or those with the ids; made ones once they are durable."""
    search = _Search(context, may_create=getattr(request, "allow_auto_topic_creation", True))
    topics = search.find(request.topics)
    if not search.created:
        reply(_encode(context, request, topics))
        return

    def answer(failure: Exception | None) -> None:
        if failure is None:
            reply(_encode(context, request, topics))
            return
        lost = [
            _missing(error_code(failure), name=topic.name)
            if topic.name in search.created
            else topic
            for topic in topics
        ]
        reply(_encode(context, request, lost))

    context.broker.topics.when_durable(answer)


class _Search:
    """Finds one request's topics."""

    def __init__(self, context: RequestContext, *, may_create: bool) -> None:
        self._context = context
        self._broker = context.broker
        self._may_create = may_create and self._broker.config.auto_create
        self.created: set[str] = set()

    def find(self, wanted: Sequence[Any] | None) -> list[TopicMetadata]:
        """An entry for each topic wanted, or for every one there is."""
        version = self._context.api_version
        if wanted is None or (not wanted and version < _FIRST_WITH_NULL_FOR_ALL):
            return [
                _found(name, topic)
                for topic in self._broker.topics
                if (name := to_kafka(topic.name)) is not None and self._may_see(topic)
            ]
        ids = list(dict.fromkeys(filter(None, (getattr(one, "topic_id", None) for one in wanted))))
        names = list(dict.fromkeys(one.name for one in wanted))
        if version < _FIRST_BY_ID and (ids or None in names):
            return [_missing(ErrorCode.invalid_request, name=name or "") for name in names]
        if ids:  # Kafka passes over the names then
            return [self._by_id(topic_id) for topic_id in ids]
        return [self._by_name(name) for name in names if name is not None]

    def _by_id(self, topic_id: UUID) -> TopicMetadata:
        topic = self._broker.topics.by_id(topic_id)
        name = to_kafka(topic.name) if topic is not None else None
        if topic is None or name is None or not self._may_see(topic):
            return _missing(ErrorCode.unknown_topic_id, topic_id=topic_id)
        return _found(name, topic)

    def _by_name(self, name: str) -> TopicMetadata:
        try:
            address = from_kafka(name)
            topic = self._broker.topics.get(address)
            if topic is not None:
                if self._may_see(topic):
                    return _found(name, topic)
                return _missing(ErrorCode.topic_authorization_failed, name=name)
            if (
                not self._may_create
                or is_reserved(address)
                or len(self.created) >= MAX_CREATED_PER_REQUEST
            ):
                return _missing(ErrorCode.unknown_topic_or_partition, name=name)
            topic = self._broker.create_topic(address)
        except HubbubError as error:
            return _missing(error_code(error), name=name)
        self.created.add(name)
        return _found(name, topic)

    def _may_see(self, topic: Topic) -> bool:
        """Who may neither read nor write a topic does not learn that it is there."""
        may = self._broker.may
        principal = self._context.principal
        return may(principal, "receive", topic.name) or may(principal, "publish", topic.name)


def _found(name: str, topic: Topic) -> TopicMetadata:
    return TopicMetadata(0, name, topic.id, topic.internal, len(topic.partitions))


def _missing(
    error: ErrorCode, *, name: str | None = None, topic_id: UUID | None = None
) -> TopicMetadata:
    return TopicMetadata(error, name, topic_id, is_internal=False, partitions=0)


def _encode(context: RequestContext, request: Any, topics: Sequence[TopicMetadata]) -> bytes:
    asked_cluster = getattr(request, "include_cluster_authorized_operations", False)
    asked_topics = getattr(request, "include_topic_authorized_operations", False)
    return encode_metadata(
        context.api_version,
        ClusterMetadata(
            context.node,
            context.broker.cluster_id,
            topics,
            CLUSTER_OPERATIONS if asked_cluster else NOT_ASKED_FOR,
            TOPIC_OPERATIONS if asked_topics else NOT_ASKED_FOR,
        ),
    )


HANDLERS: dict[int, Handler] = {METADATA: handle}
