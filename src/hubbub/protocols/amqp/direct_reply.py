"""Direct reply-to (RabbitMQ: "Direct Reply-to"): answers without a queue to declare.

Who consumes from ``amq.rabbitmq.reply-to`` gets a queue in memory under a name that nobody can
guess; what it publishes with that reply-to carries the name, and answers go there.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from hubbub.broker.work_settings import WorkQueueSettings
from hubbub.protocols.amqp import consuming
from hubbub.protocols.amqp.errors import not_allowed, precondition_failed
from hubbub.protocols.amqp.properties import decode_properties, replace
from hubbub.protocols.amqp.queue import AmqpQueue
from hubbub.protocols.amqp.queue_arguments import QueueArguments
from hubbub.protocols.amqp.refusals import no_such, queue_in

if TYPE_CHECKING:
    from hubbub.broker.broker import Broker
    from hubbub.protocols.amqp.channel import Channel
    from hubbub.protocols.amqp.listener import AmqpListener

NAME = "amq.rabbitmq.reply-to"
NAME_BYTES = NAME.encode()
PREFIX = NAME_BYTES + b"."
_TOKEN_BYTES = 18


def consume(channel: Channel, args: Any) -> str:
    """Let a channel get answers; the consumer's tag. Raises ChannelError."""
    if not args.no_ack:
        raise precondition_failed("reply consumer cannot acknowledge")
    if channel.reply_queue is not None:
        raise precondition_failed("reply consumer already set")
    if args.consumer_tag in channel.consumers:
        raise not_allowed(f"attempt to reuse consumer tag '{args.consumer_tag}'")
    listener = channel.connection.listener
    tag = args.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(_TOKEN_BYTES)}"
    name = f"{NAME}.{secrets.token_urlsafe(_TOKEN_BYTES)}"
    queue = _queue(listener.broker, name)
    channel.reply_queue = queue
    listener.reply_queues[name.encode()] = queue
    listener.crossing.declared(name)
    taker = consuming.new_taker(channel, tag, queue, no_ack=True)
    consumer = consuming.Consumer(channel, tag, queue, taker, exclusive=True)
    channel.consumers[tag] = consumer
    consumer.begin()
    return tag


def _queue(broker: Broker, name: str) -> AmqpQueue:
    """A queue that no virtual host lists."""
    settings = WorkQueueSettings()
    queue = AmqpQueue(
        name,
        durable=False,
        auto_delete=False,
        owner=None,
        arguments={},
        parsed=QueueArguments(type="classic", settings=settings),
        id_=0,
    )
    queue.work = broker.work_queues.open(name, settings)
    return queue


def check(channel: Channel, name: str) -> None:
    """Whether somebody waits under this name, or whether there might. Raises ChannelError (404)."""
    known = channel.connection.listener.reply_queues
    if name != NAME and name.encode("utf-8", "surrogateescape") not in known:
        raise no_such(queue_in(channel.vhost.name, name))


def close(channel: Channel) -> None:
    """Forget the queue of a channel that has one."""
    queue, channel.reply_queue = channel.reply_queue, None
    if queue is not None and queue.work is not None:
        listener = channel.connection.listener
        del listener.reply_queues[queue.name.encode()]
        listener.crossing.deleted(queue.name)
        listener.broker.work_queues.delete(queue.work)


def route(listener: AmqpListener, key: bytes) -> tuple[AmqpQueue, ...]:
    """Where an answer goes."""
    queue = listener.reply_queues.get(key)
    return () if queue is None else (queue,)


def addressed(channel: Channel, properties: bytes) -> bytes:
    """The properties with the channel's own name to reply to. Raises ChannelError."""
    if decode_properties(properties).reply_to != NAME:
        return properties
    if channel.reply_queue is None:
        raise precondition_failed("fast reply consumer does not exist")
    return replace(properties, reply_to=channel.reply_queue.name)
