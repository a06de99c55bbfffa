"""What becomes of deliveries (AMQP 0-9-1 sections 1.8.3.13 to 1.8.3.16; RabbitMQ: basic.nack)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.protocols.amqp.errors import not_implemented, precondition_failed
from hubbub.protocols.amqp.streams import StreamEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hubbub.broker.leases import Entry
    from hubbub.protocols.amqp.channel import Channel


def acknowledge(entry: Entry) -> None:
    """The message is done with."""
    entry.queue.settle(entry)


def give_back(entry: Entry) -> None:
    """Return it to its queue, to be delivered again."""
    entry.queue.give_back(entry, True)


def reject(entry: Entry) -> None:
    """It is a dead letter."""
    entry.queue.reject(entry)


def _ack(channel: Channel, args: Any) -> None:
    tag, multiple = args.delivery_tag, args.multiple
    unacknowledged = channel.limits.unacknowledged
    if channel.transaction is not None:
        _known(channel, tag, multiple=multiple)
        channel.transaction.settle(unacknowledged.hold(tag, multiple=multiple), acknowledge)
    elif not unacknowledged.acknowledge(tag, multiple=multiple):
        raise _unknown_tag(tag)
    else:
        channel.limits_changed()


def _nack(channel: Channel, args: Any) -> None:
    _give_up(channel, args.delivery_tag, multiple=args.multiple, requeue=args.requeue)


def _reject(channel: Channel, args: Any) -> None:
    _give_up(channel, args.delivery_tag, multiple=False, requeue=args.requeue)


def _give_up(channel: Channel, tag: int, *, multiple: bool, requeue: bool) -> None:
    entries = _known(channel, tag, multiple=multiple)
    _check_no_stream(entries, "basic.nack and basic.reject")
    settle = give_back if requeue else reject
    unacknowledged = channel.limits.unacknowledged
    if channel.transaction is not None:
        channel.transaction.settle(unacknowledged.hold(tag, multiple=multiple), settle)
        return
    for entry in unacknowledged.take(tag, multiple=multiple):
        settle(entry)
    channel.limits_changed()


def _known(channel: Channel, tag: int, *, multiple: bool) -> list[Entry]:
    """The deliveries. Raises ChannelError (406) for a tag that has none."""
    entries = channel.limits.unacknowledged.peek(tag, multiple=multiple)
    if entries is None:
        raise _unknown_tag(tag)
    return entries


def _unknown_tag(tag: int) -> Exception:
    return precondition_failed(f"unknown delivery tag {tag}")


def _check_no_stream(entries: Iterable[Entry | StreamEntry], methods: str) -> None:
    """A stream keeps its messages, and takes none back. Raises ConnectionFailure (540)."""
    for entry in entries:
        if isinstance(entry, StreamEntry):
            raise not_implemented(f"{methods} not supported by stream queues {entry.queue.named}")


def _recover(channel: Channel, args: Any) -> None:
    _recover_async(channel, args)
    channel.answer("basic.recover-ok")


def _recover_async(channel: Channel, args: Any) -> None:
    if not args.requeue:
        raise not_implemented("requeue=false")  # to the consumer that had it; RabbitMQ neither
    unacknowledged = channel.limits.unacknowledged
    # RabbitMQ has an internal error here.
    _check_no_stream(unacknowledged.peek(0, multiple=True) or (), "basic.recover")
    for entry in unacknowledged.take_all():
        give_back(entry)
    channel.limits_changed()


HANDLERS: dict[str, Callable[[Channel, Any], None]] = {
    "basic.ack": _ack,
    "basic.nack": _nack,
    "basic.reject": _reject,
    "basic.recover": _recover,
    "basic.recover-async": _recover_async,
}
