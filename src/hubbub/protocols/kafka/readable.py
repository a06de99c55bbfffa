"""The topics that a client may read: the one authorisation check of every way to a stored record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kio.schema.errors import ErrorCode

from hubbub.protocols.kafka.lookup import find_topic, find_topic_id
from hubbub.protocols.kafka.refusal import Refusal

if TYPE_CHECKING:
    import uuid

    from hubbub.broker.topics import Topic
    from hubbub.protocols.kafka.context import RequestContext


def find_readable(context: RequestContext, name: str) -> Topic:
    """The topic of that name, or a Refusal."""
    topic = find_topic(context.broker, name)
    check_readable(context, topic)
    return topic


def find_readable_id(context: RequestContext, topic_id: uuid.UUID) -> Topic:
    """The topic of that id, or a Refusal."""
    topic = find_topic_id(context.broker, topic_id)
    check_readable(context, topic)
    return topic


def check_readable(context: RequestContext, topic: Topic) -> None:
    """Refuse a principal that may not receive what the topic holds."""
    if not context.broker.may(context.principal, "receive", topic.name):
        raise Refusal(ErrorCode.topic_authorization_failed, "Topic authorization failed.")
