"""Class tx (AMQP 0-9-1 section 1.9): publishes and acknowledgements that happen together.

What a transaction does to one queue is one append to its log: all of it survives a crash, or none.
RabbitMQ promises that much, and no more where several queues take part.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from hubbub.protocols.amqp.errors import precondition_failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.work_item import Item
    from hubbub.protocols.amqp.channel import Channel
    from hubbub.protocols.amqp.queue import AmqpQueue


class Transaction:
    """What is held until tx.commit, in order."""

    def __init__(self) -> None:
        self._publishes: list[tuple[Item, tuple[AmqpQueue, ...], bool]] = []
        self._settlements: list[Callable[[Channel], None]] = []

    def publish(self, item: Item, queues: tuple[AmqpQueue, ...], mandatory: bool) -> None:
        """Hold a message; the queues are those that were bound when it came."""
        self._publishes.append((item, queues, mandatory))

    def settle(self, settlement: Callable[[Channel], None]) -> None:
        """Hold an acknowledgement or its opposite."""
        self._settlements.append(settlement)

    def commit(self, channel: Channel) -> None:
        """Carry all out, in one turn."""
        for item, queues, mandatory in self._publishes:
            channel.put_now(item, queues, mandatory)
        for settlement in self._settlements:
            settlement(channel)
        self.rollback()

    def rollback(self) -> None:
        """Forget all of it."""
        self._publishes.clear()
        self._settlements.clear()

    @property
    def queues(self) -> list[AmqpQueue]:
        """Whom the publishes concern."""
        return list({queue: None for _, queues, _ in self._publishes for queue in queues})


def _select(channel: Channel, _args: Any) -> None:
    if channel.confirming:
        raise precondition_failed("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction()
        channel.in_transaction = True
    channel.answer("tx.select-ok")


def _commit(channel: Channel, _args: Any) -> None:
    transaction = _transaction(channel)
    works = [queue.work for queue in transaction.queues if queue.work is not None]
    transaction.commit(channel)
    channel.connection.settle()
    channel.limits_changed()
    waiting = [work for work in works if work.settings.durable]
    if not waiting:
        channel.answer("tx.commit-ok")
    _when_all(waiting, partial(_committed, channel))


def _committed(channel: Channel, failure: Exception | None) -> None:
    if channel.is_closing:
        return
    if failure is not None:
        channel.connection.outbox.abort()  # nobody knows what the disk has
        return
    channel.answer("tx.commit-ok")


def _when_all(works: list[Any], done: Callable[[Exception | None], None]) -> None:
    missing = len(works)
    failures: list[Exception] = []

    def one(failure: Exception | None) -> None:
        nonlocal missing
        missing -= 1
        if failure is not None:
            failures.append(failure)
        if not missing:
            done(failures[0] if failures else None)

    for work in works:
        work.when_durable(one)


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
