"""The Pub/Sub commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.model.errors import DeniedError
from hubbub.model.pattern import Glob
from hubbub.protocols.redis.codec import Failure, Push
from hubbub.protocols.redis.command import NO_REPLY, CommandError, bad_subcommand
from hubbub.protocols.redis.mapping import error_line, message_of

if TYPE_CHECKING:
    from hubbub.broker.publication import Publication
    from hubbub.protocols.redis.channels import ChannelTable
    from hubbub.protocols.redis.session import RedisSession
    from hubbub.protocols.redis.subscriptions import Channels


def publish(session: RedisSession, request: list[bytes]) -> Any:
    """PUBLISH channel message: how many got it, once a topic that captures it is on disk."""
    message = message_of(request[1], request[2], session.broker.timers.wall_ms)
    publication = session.broker.publish(message, session.client.principal)
    if not publication.stored:
        return publication.observers
    _answer_when_durable(session, publication)
    return NO_REPLY


def _answer_when_durable(session: RedisSession, publication: Publication) -> None:
    slot = session.replies.later()

    def durable(failure: Exception | None) -> None:
        slot.fill(publication.observers if failure is None else Failure(error_line(failure)))

    publication.when_durable(durable)


def spublish(session: RedisSession, request: list[bytes]) -> int:
    """SPUBLISH shardchannel message: how many got it."""
    broker = session.broker
    message = message_of(request[1], request[2], broker.timers.wall_ms)
    if not broker.may(session.client.principal, "publish", message.address):
        raise DeniedError(f"this user may not publish to {message.address}")
    # As in the broker: decided again for whoever gets the message.
    allowed = tuple(
        observer
        for observer in session.listener.shards.observers(request[1])
        if broker.may(observer.subscriber.principal, "receive", message.address)
    )
    broker.dispatcher.deliver(allowed, message)
    return len(allowed)


def subscribe(session: RedisSession, request: list[bytes]) -> Any:
    """SUBSCRIBE channel [channel ...]."""
    return _subscribe(session, session.subscriptions.channels, request[1:])


def psubscribe(session: RedisSession, request: list[bytes]) -> Any:
    """PSUBSCRIBE pattern [pattern ...]."""
    return _subscribe(session, session.subscriptions.patterns, request[1:])


def ssubscribe(session: RedisSession, request: list[bytes]) -> Any:
    """SSUBSCRIBE shardchannel [shardchannel ...]."""
    if session.transaction.running:
        # Redis lets SUBSCRIBE and PSUBSCRIBE into EXEC for old clients' sake, and not this one.
        raise CommandError("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    return _subscribe(session, session.subscriptions.shards, request[1:])


def unsubscribe(session: RedisSession, request: list[bytes]) -> Any:
    """UNSUBSCRIBE [channel ...]."""
    return _unsubscribe(session, session.subscriptions.channels, request[1:])


def punsubscribe(session: RedisSession, request: list[bytes]) -> Any:
    """PUNSUBSCRIBE [pattern ...]."""
    return _unsubscribe(session, session.subscriptions.patterns, request[1:])


def sunsubscribe(session: RedisSession, request: list[bytes]) -> Any:
    """SUNSUBSCRIBE [shardchannel ...]."""
    return _unsubscribe(session, session.subscriptions.shards, request[1:])


def _subscribe(session: RedisSession, kind: Channels, names: list[bytes]) -> Any:
    # All or nothing, as with Redis's ACLs: one refused name refuses the request.
    kind.admit(names)
    session.subscriptions.make_room(kind, names)
    for name in names:
        kind.add(name)
        _confirm(session, kind, kind.subscribed, name)
    return NO_REPLY


def _unsubscribe(session: RedisSession, kind: Channels, names: list[bytes]) -> Any:
    leaving = names or kind.names()
    for name in leaving:
        kind.remove(name)
        _confirm(session, kind, kind.unsubscribed, name)
    if not leaving:  # from nothing at all is answered too, without a name
        _confirm(session, kind, kind.unsubscribed, None)
    return NO_REPLY


def _confirm(session: RedisSession, kind: Channels, verb: str, name: bytes | None) -> None:
    session.replies.confirm(Push([verb, name, session.subscriptions.count(kind)]))


def pubsub_channels(session: RedisSession, request: list[bytes]) -> list[bytes]:
    """PUBSUB CHANNELS [pattern]."""
    return _matching(session.listener.channels, request)


def pubsub_shardchannels(session: RedisSession, request: list[bytes]) -> list[bytes]:
    """PUBSUB SHARDCHANNELS [pattern]."""
    return _matching(session.listener.shards, request)


def pubsub_numsub(session: RedisSession, request: list[bytes]) -> list[Any]:
    """PUBSUB NUMSUB [channel ...]."""
    return _counts(session.listener.channels, request[2:])


def pubsub_shardnumsub(session: RedisSession, request: list[bytes]) -> list[Any]:
    """PUBSUB SHARDNUMSUB [shardchannel ...]."""
    return _counts(session.listener.shards, request[2:])


def pubsub_numpat(session: RedisSession, _request: list[bytes]) -> int:
    """PUBSUB NUMPAT: different patterns, however many clients follow each."""
    return len(session.listener.patterns)


def _matching(table: ChannelTable, request: list[bytes]) -> list[bytes]:
    if len(request) == 2:
        return list(table.names())
    if len(request) > 3:
        raise bad_subcommand(request)
    glob = Glob(request[2])
    return [name for name in table.names() if glob.matches_name(name)]


def _counts(table: ChannelTable, names: list[bytes]) -> list[Any]:
    return [value for name in names for value in (name, table.count(name))]
