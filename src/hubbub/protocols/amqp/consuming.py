"""Class basic (AMQP 0-9-1 section 1.8): who gets messages."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from hubbub.protocols.amqp import codec, direct_reply, receiving
from hubbub.protocols.amqp.arguments import INTEGER_TYPES
from hubbub.protocols.amqp.deliveries import AmqpTaker, encode_content, routing_size
from hubbub.protocols.amqp.errors import (
    access_refused,
    not_allowed,
    not_implemented,
    precondition_failed,
    resource_locked,
)
from hubbub.protocols.amqp.marks import with_header
from hubbub.protocols.amqp.refusals import queue_in
from hubbub.protocols.amqp.streams import StreamTaker
from hubbub.protocols.amqp.tables import Field

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.leases import Entry
    from hubbub.protocols.amqp.channel import Channel
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.tables import Table

# Of a channel: each is looked at when the channel has room again, which then costs milliseconds.
MAX_CONSUMERS = 10_000

_TAG_BYTES = 16  # random, so that no two are alike
_PRIORITY_MOST = 2**31 - 1


class Consumer:
    """A consumer of a channel, and what it takes through."""

    def __init__(
        self,
        channel: Channel,
        tag: str,
        queue: AmqpQueue,
        taker: AmqpTaker | StreamTaker,
        *,
        exclusive: bool,
    ) -> None:
        self.channel = channel
        self.tag = tag
        self.queue = queue
        self.taker = taker
        self.exclusive = exclusive

    def begin(self, priority: int = 0) -> None:
        """Take from now on."""
        if isinstance(self.taker, StreamTaker):
            self.taker.begin()
        elif self.queue.work is not None:
            self.queue.work.join(self.taker, priority)

    def end(self) -> None:
        """Take nothing more."""
        if isinstance(self.taker, StreamTaker):
            self.taker.end()
            return
        if self.queue.work is not None:
            self.queue.work.leave(self.taker)
        self.channel.limits.unacknowledged.forget_consumer(self.taker.limit)

    def wake(self) -> None:
        """It may have room again."""
        if isinstance(self.taker, StreamTaker):
            self.taker.wake()
        elif self.queue.work is not None:
            self.queue.work.wake()

    def cancelled(self) -> None:
        """Its queue is gone (RabbitMQ: "Consumer Cancellation"): say so, behind the answer to that."""
        connection = self.channel.connection
        forget(self.channel, self)
        if isinstance(self.taker, StreamTaker):
            self.taker.end()
        if connection.has_capability("consumer_cancel_notify"):
            notice = codec.encode(
                self.channel.number, "basic.cancel", consumer_tag=self.tag, nowait=True
            )
            connection.notify(notice)


def _consume(channel: Channel, args: Any) -> None:
    if args.queue == direct_reply.NAME:
        tag = direct_reply.consume(channel, args)
        channel.answer("basic.consume-ok", nowait=args.nowait, consumer_tag=tag)
        return
    queue = channel.queue_named(args.queue)
    named = queue_in(channel.vhost.name, queue.name)
    channel.check_may_read_queue(queue)
    _check_arguments(named, queue, args.arguments)
    if queue.kind == "quorum" and channel.limits.prefetch:
        raise not_implemented(f"{named} does not support global qos")
    tag = args.consumer_tag or f"amq.ctag-{secrets.token_urlsafe(_TAG_BYTES)}"
    if tag in channel.consumers:
        raise not_allowed(f"attempt to reuse consumer tag '{tag}'")
    if len(channel.consumers) >= MAX_CONSUMERS:
        raise not_allowed(f"reached maximum ({MAX_CONSUMERS}) of consumers per channel")
    is_single = queue.work is not None and queue.work.settings.single_active
    if queue.has_exclusive_consumer or (args.exclusive and (queue.members or is_single)):
        raise access_refused(
            f"queue '{queue.name}' in vhost '{channel.vhost.name}' in exclusive use"
        )
    priority = _priority(args.arguments)
    taker: AmqpTaker | StreamTaker
    if queue.stream is not None:
        taker = queue.stream.taker(channel, tag, named, args)
    else:
        taker = new_taker(channel, tag, queue, no_ack=args.no_ack)
        taker.may_have = receiving.filter_of(channel)
    consumer = Consumer(channel, tag, queue, taker, exclusive=args.exclusive)
    channel.consumers[tag] = consumer
    queue.members[consumer] = None
    # What is delivered comes behind the answer.
    channel.answer("basic.consume-ok", nowait=args.nowait, consumer_tag=tag)
    consumer.begin(priority)
    channel.vhost.used(queue)


def new_taker(channel: Channel, tag: str, queue: AmqpQueue, *, no_ack: bool) -> AmqpTaker:
    """What a queue of leases hands to."""
    return AmqpTaker(
        channel.limits,
        tag.encode("utf-8", "surrogateescape"),
        channel.prefetch,
        no_ack=no_ack,
        subscriber=channel.connection.subscriber,
        decorate=counted if queue.kind == "quorum" else None,
    )


def counted(entry: Entry) -> bytes:
    """The mark of a delivery from a quorum queue, which says how often it was tried before."""
    mark = entry.item().mark
    if not entry.deliveries:
        return mark
    return with_header(mark, "x-delivery-count", Field("l", entry.deliveries))


def end(channel: Channel, consumer: Consumer) -> None:
    """The consumer takes nothing more; what it has stays the channel's to settle."""
    forget(channel, consumer)
    consumer.end()
    channel.vhost.used(consumer.queue)


def forget(channel: Channel, consumer: Consumer) -> None:
    """Strike a consumer off the lists."""
    channel.consumers.pop(consumer.tag, None)
    consumer.queue.members.pop(consumer, None)


def _cancel(channel: Channel, args: Any) -> None:
    consumer = channel.consumers.get(args.consumer_tag)
    if consumer is not None:
        end(channel, consumer)
        if consumer.queue is channel.reply_queue:
            direct_reply.close(channel)
    channel.answer("basic.cancel-ok", nowait=args.nowait, consumer_tag=args.consumer_tag)


def _qos(channel: Channel, args: Any) -> None:
    if args.prefetch_size:
        raise not_implemented(f"prefetch_size!=0 ({args.prefetch_size})")
    if args.global_:
        channel.limits.prefetch = args.prefetch_count
        channel.wake()
    else:
        channel.prefetch = args.prefetch_count
    channel.answer("basic.qos-ok")


def _get(channel: Channel, args: Any) -> None:
    queue = channel.queue_named(args.queue)
    channel.check_may_read_queue(queue)
    if queue.work is None:
        raise not_implemented(
            f"basic.get not supported by stream queues queue '{queue.name}' in vhost "
            f"'{channel.vhost.name}'"
        )
    if queue.kind == "quorum" and queue.parsed.settings.single_active:
        raise resource_locked(
            f"cannot obtain access to locked {queue_in(channel.vhost.name, queue.name)}. basic.get "
            "operations are not supported by quorum queues with single active consumer"
        )
    entry = receiving.fetch(channel, queue.work)
    channel.vhost.used(queue)
    if entry is None:
        channel.answer("basic.get-empty", cluster_id="")
        return
    mark = counted(entry) if queue.kind == "quorum" else entry.item().mark
    unacknowledged = channel.limits.unacknowledged
    at, key_at = routing_size(mark), 1 + mark[0]
    tag = (
        unacknowledged.skip() if args.no_ack else unacknowledged.push(entry, channel.limits.fetched)
    )
    method = codec.encode_method(
        "basic.get-ok",
        delivery_tag=tag,
        redelivered=entry.redelivered,
        exchange=mark[1:key_at].decode("utf-8", "surrogateescape"),
        routing_key=mark[key_at + 1 : at].decode("utf-8", "surrogateescape"),
        message_count=queue.work.ready,
    )
    connection, item = channel.connection, entry.item()
    connection.write(
        encode_content(channel.number, connection.frame_max, method, mark[at:], item.value)
    )
    if args.no_ack:
        queue.work.settle(entry)


def _priority(arguments: Table) -> int:
    field = arguments.get("x-priority")
    # Who asks for more has no more of it.
    return 0 if field is None else max(-_PRIORITY_MOST, min(int(field.value), _PRIORITY_MOST))


def _check_arguments(named: str, queue: AmqpQueue, arguments: Table) -> None:
    """Refuse what basic.consume cannot mean. Raises ChannelError (406)."""
    priority, cancel = arguments.get("x-priority"), arguments.get("x-cancel-on-ha-failover")
    if priority is not None and priority.type_name not in INTEGER_TYPES:
        why = f'"expected integer, got {priority.type_name}"'
        raise precondition_failed(f"invalid arg 'x-priority' for {named}: {why}")
    if cancel is not None and cancel.letter != "t":
        why = f"{{unacceptable_type,{cancel.type_name}}}"
        raise precondition_failed(f"invalid arg 'x-cancel-on-ha-failover' for {named}: {why}")
    if "x-stream-offset" in arguments and queue.stream is None:
        raise precondition_failed(
            f"invalid arg 'x-stream-offset' for {named} of queue type rabbit_{queue.kind}_queue"
        )


HANDLERS: dict[str, Callable[[Channel, Any], None]] = {
    "basic.consume": _consume,
    "basic.cancel": _cancel,
    "basic.qos": _qos,
    "basic.get": _get,
}
