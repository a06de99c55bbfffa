"""Classes exchange and queue (AMQP 0-9-1 sections 1.6 and 1.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.protocols.amqp import direct_reply
from hubbub.protocols.amqp.addresses import pattern_bound
from hubbub.protocols.amqp.names import stripped
from hubbub.protocols.amqp.refusals import exchange_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.protocols.amqp.channel import Channel


def _exchange_declare(channel: Channel, args: Any) -> None:
    channel.vhost.declare_exchange(
        args.exchange,
        args.type,
        durable=args.durable,
        auto_delete=args.auto_delete,
        internal=args.internal,
        arguments=args.arguments,
        passive=args.passive,
    )
    stored = (channel.vhost,) if args.durable and not args.passive else ()
    channel.answer_when_durable(*stored, name="exchange.declare-ok", nowait=args.nowait)


def _exchange_delete(channel: Channel, args: Any) -> None:
    channel.vhost.delete_exchange(args.exchange, if_unused=args.if_unused)
    channel.answer_when_durable(channel.vhost, name="exchange.delete-ok", nowait=args.nowait)


def _exchange_bind(channel: Channel, args: Any) -> None:
    _check_may_bind(channel, args.source, args.routing_key)
    channel.vhost.bind_exchange(
        args.destination, args.source, _key(args.routing_key), args.arguments
    )
    channel.answer_when_durable(channel.vhost, name="exchange.bind-ok", nowait=args.nowait)


def _exchange_unbind(channel: Channel, args: Any) -> None:
    channel.vhost.unbind_exchange(
        args.destination, args.source, _key(args.routing_key), args.arguments
    )
    channel.answer_when_durable(channel.vhost, name="exchange.unbind-ok", nowait=args.nowait)


def _queue_declare(channel: Channel, args: Any) -> None:
    if args.queue.startswith(direct_reply.NAME) and (
        args.passive or args.queue == direct_reply.NAME
    ):
        direct_reply.check(channel, args.queue)
        channel.answer("queue.declare-ok", nowait=args.nowait, queue=args.queue, consumer_count=1)
        return
    queue = channel.vhost.declare_queue(
        args.queue,
        durable=args.durable,
        exclusive=args.exclusive,
        auto_delete=args.auto_delete,
        arguments=args.arguments,
        passive=args.passive,
        owner=channel.connection,
    )
    channel.last_queue = queue.name
    stored = (channel.connection.work_queues, channel.vhost) if queue.durable else ()
    channel.answer_when_durable(
        *stored,
        name="queue.declare-ok",
        nowait=args.nowait,
        queue=queue.name,
        message_count=queue.ready,
        consumer_count=queue.consumers,
    )


def _queue_bind(channel: Channel, args: Any) -> None:
    # An empty routing key beside an empty queue name is the queue's own (section 1.7.2.3.4).
    key = channel.last_queue if not args.queue and not args.routing_key else args.routing_key
    _check_may_bind(channel, args.exchange, key)
    channel.vhost.bind_queue(
        channel.full_name(args.queue),
        args.exchange,
        _key(key),
        args.arguments,
        channel.connection,
    )
    channel.answer_when_durable(channel.vhost, name="queue.bind-ok", nowait=args.nowait)


def _queue_unbind(channel: Channel, args: Any) -> None:
    channel.vhost.unbind_queue(
        channel.full_name(args.queue),
        args.exchange,
        _key(args.routing_key),
        args.arguments,
        channel.connection,
    )
    channel.answer_when_durable(channel.vhost, name="queue.unbind-ok")


def _queue_purge(channel: Channel, args: Any) -> None:
    name = stripped(channel.full_name(args.queue))
    queue = channel.vhost.queue(name, channel.connection)
    channel.check_may_read_queue(queue)
    count = channel.vhost.purge_queue(queue.name, channel.connection)
    stored = (queue.work,) if queue.work is not None else ()
    channel.answer_when_durable(
        *stored, name="queue.purge-ok", nowait=args.nowait, message_count=count
    )


def _queue_delete(channel: Channel, args: Any) -> None:
    count = channel.vhost.delete_queue(
        channel.full_name(args.queue),
        if_unused=args.if_unused,
        if_empty=args.if_empty,
        owner=channel.connection,
    )
    channel.answer_when_durable(
        channel.connection.work_queues,
        channel.vhost,
        name="queue.delete-ok",
        nowait=args.nowait,
        message_count=count,
    )


def _check_may_bind(channel: Channel, exchange: str, key: str) -> None:
    """Ask on the source: what comes of it goes wherever it is bound. Raises ChannelError (403)."""
    source = channel.vhost.exchanges.get(stripped(exchange))
    if source is not None:
        named = exchange_in(channel.vhost.name, source.name)
        channel.check_may_read(pattern_bound(source, _key(key)), named)


def _key(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


HANDLERS: dict[str, Callable[[Channel, Any], None]] = {
    "exchange.declare": _exchange_declare,
    "exchange.delete": _exchange_delete,
    "exchange.bind": _exchange_bind,
    "exchange.unbind": _exchange_unbind,
    "queue.declare": _queue_declare,
    "queue.bind": _queue_bind,
    "queue.unbind": _queue_unbind,
    "queue.purge": _queue_purge,
    "queue.delete": _queue_delete,
}
