"""Class tx (AMQP 0-9-1 section 1.9): publishes and acknowledgements that happen together.

What a transaction does to one queue is one append to its log: all of it survives a crash, or none.
RabbitMQ promises that much, and no more where several queues take part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.protocols.amqp.errors import precondition_failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.work_item import Item
    from hubbub.protocols.amqp.channel import Channel
    from hubbub.protocols.amqp.queue import AmqpQueue


# What holding a message or an acknowledgement costs, beside its bytes.
_EACH_BYTES = 512


class Transaction:
    """What is held until tx.commit, in order; ``hold`` counts its bytes."""

    def __init__(self, hold: Callable[[int], None]) -> None:
        self._publishes: list[tuple[Item, tuple[AmqpQueue, ...], bool]] = []
        self._settlements: list[Callable[[Channel], None]] = []
        self._hold = hold
        self._held = 0

    def publish(self, item: Item, queues: tuple[AmqpQueue, ...], mandatory: bool) -> None:
        """Hold a message; the queues are those that were bound when it came.

        Raises ConnectionFailure (506).
        """
        self._count(len(item.value) + len(item.mark) + _EACH_BYTES)
        self._publishes.append((item, queues, mandatory))

    def settle(self, settlement: Callable[[Channel], None]) -> None:
        """Hold an acknowledgement or its opposite. Raises ConnectionFailure (506)."""
        self._count(_EACH_BYTES)
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
        self._hold(-self._held)
        self._held = 0

    def _count(self, size: int) -> None:
        self._hold(size)
        self._held += size


def _select(channel: Channel, _args: Any) -> None:
    if channel.confirming:
        raise precondition_failed("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel.publisher.hold)
        channel.in_transaction = True
    channel.answer("tx.select-ok")


def _commit(channel: Channel, _args: Any) -> None:
    transaction = _transaction(channel)
    transaction.commit(channel)
    channel.connection.settle()
    channel.limits_changed()
    channel.answer_when_durable(*channel.take_stored(), name="tx.commit-ok")


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
