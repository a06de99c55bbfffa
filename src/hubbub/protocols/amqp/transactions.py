"""Class tx (AMQP 0-9-1 section 1.9): publishes and acknowledgements that happen together.

A commit that a queue has no room for is refused before anything is done. Otherwise messages are put
first, and only when they are safe is anything settled: whatever happens in between, what was to be
settled is delivered again, and nothing is lost.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hubbub.broker.work_queue import WorkQueue
from hubbub.protocols.amqp.errors import precondition_failed
from hubbub.protocols.amqp.refusals import queue_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.leases import Entry
    from hubbub.broker.routes import Route
    from hubbub.broker.work_item import Item
    from hubbub.protocols.amqp.channel import Channel
    from hubbub.protocols.amqp.queue import AmqpQueue


# What holding a message or an acknowledgement costs, beside its bytes, and each of its tags.
_EACH_BYTES = 512
_TAG_BYTES = 40


class Transaction:
    """What is held until tx.commit, in order; ``hold`` counts its bytes."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._unacknowledged = channel.limits.unacknowledged
        self._publishes: list[tuple[Item, tuple[AmqpQueue, ...], Route | None, bool]] = []
        self._settlements: list[tuple[list[int], Callable[[Entry], None]]] = []
        self._held = 0

    def publish(
        self, item: Item, queues: tuple[AmqpQueue, ...], route: Route | None, mandatory: bool
    ) -> None:
        """Hold a message; the queues are those that were bound when it came.

        Raises ConnectionFailure (506).
        """
        self._count(len(item.value) + len(item.mark) + _EACH_BYTES)
        self._publishes.append((item, queues, route, mandatory))

    def settle(self, tags: list[int], settle: Callable[[Entry], None]) -> None:
        """Have ``settle`` done with deliveries, which ``Unacknowledged.hold`` holds until then.

        Raises ConnectionFailure (506).
        """
        self._settlements.append((tags, settle))
        self._count(_EACH_BYTES + _TAG_BYTES * len(tags))

    def put(self) -> None:
        """Put the messages into their queues. Raises ChannelError (406), and then none is put."""
        publishes = [
            (item, tuple(queue for queue in queues if not queue.deleted), route, mandatory)
            for item, queues, route, mandatory in self._publishes
        ]
        wanted: dict[AmqpQueue, list[int]] = {}
        for item, queues, _, _ in publishes:
            for queue in queues:
                wanted.setdefault(queue, []).append(len(item.value))
        for queue, sizes in wanted.items():
            if queue.work is not None and not queue.work.has_room(len(sizes), sum(sizes)):
                named = queue_in(self._channel.vhost.name, queue.name)
                raise precondition_failed(f"tx refused: {named} has no room for it")
        for each in publishes:
            self._channel.put_now(*each)

    def finish(self) -> list[WorkQueue]:
        """Settle what is to be settled, and begin anew; the durable queues that it is settled in."""
        queues: dict[WorkQueue, None] = {}
        for tags, settle in self._settlements:
            self._unacknowledged.let_go(tags)
            for tag in tags:
                for entry in self._unacknowledged.take(tag):
                    if isinstance(entry.queue, WorkQueue) and entry.queue.settings.durable:
                        queues[entry.queue] = None
                    settle(entry)
        self._forget()
        return list(queues)

    def rollback(self) -> None:
        """Forget all of it."""
        for tags, _ in self._settlements:
            self._unacknowledged.let_go(tags)
        self._forget()

    def _forget(self) -> None:
        self._publishes.clear()
        self._settlements.clear()
        self._channel.publisher.hold(-self._held)
        self._held = 0

    def _count(self, size: int) -> None:
        self._channel.publisher.hold(size)
        self._held += size


def _select(channel: Channel, _args: Any) -> None:
    if channel.confirming:
        raise precondition_failed("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
        channel.in_transaction = True
    channel.answer("tx.select-ok")


def _commit(channel: Channel, _args: Any) -> None:
    transaction = _transaction(channel)
    transaction.put()
    channel.connection.settle()
    stored = channel.take_stored()
    failed = any(isinstance(each, WorkQueue) and each.failure is not None for each in stored)
    if channel.take_refused() or failed:
        # A disk, or the topic that an address has; RabbitMQ's text. Nothing is settled then.
        raise precondition_failed("partial tx completion")
    channel.connection.go_on_when_durable(stored, partial(_finish, channel, transaction))


def _finish(channel: Channel, transaction: Transaction) -> None:
    settled = transaction.finish()
    if channel.limits.prefetch:
        channel.wake()
    channel.answer_when_durable(*settled, name="tx.commit-ok")


def _rollback(channel: Channel, _args: Any) -> None:
    _transaction(channel).rollback()
    channel.answer("tx.rollback-ok")


def _transaction(channel: Channel) -> Transaction:
    if channel.transaction is None:
        raise precondition_failed("channel is not transactional")
    return channel.transaction


HANDLERS: dict[str, Callable[[Channel, Any], None]] = {
    "tx.select": _select,
    "tx.commit": _commit,
    "tx.rollback": _rollback,
}
