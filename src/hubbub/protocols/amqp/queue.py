"""A queue as AMQP knows it: a work queue (or a stream) with a name, an owner and rules of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.timers import Timer
    from hubbub.broker.work_item import Item
    from hubbub.broker.work_queue import WorkQueue
    from hubbub.protocols.amqp.arguments import Arguments
    from hubbub.protocols.amqp.queue_arguments import QueueArguments, QueueType


class AmqpQueue:
    """One queue.

    ``owner`` is the connection of an exclusive one. ``work`` is None for a stream. ``id`` tells it from
    others of the same name before and after it. ``refused`` gets what the work queue does not take.
    """

    __slots__ = (
        "arguments",
        "auto_delete",
        "deleted",
        "durable",
        "expiry",
        "id",
        "name",
        "owner",
        "parsed",
        "refused",
        "used_at",
        "work",
    )

    def __init__(
        self,
        name: str,
        *,
        durable: bool,
        auto_delete: bool,
        owner: object | None,
        arguments: Arguments,
        parsed: QueueArguments,
        id_: int,
    ) -> None:
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.owner = owner
        self.arguments = arguments
        self.parsed = parsed
        self.id = id_
        self.work: WorkQueue | None = None
        self.refused: Callable[[Item], None] | None = None
        self.deleted = False
        self.used_at = 0.0  # for x-expires, monotonic seconds
        self.expiry: Timer | None = None

    @property
    def kind(self) -> QueueType:
        """Its type, which decides what it can do."""
        return self.parsed.type

    @property
    def exclusive(self) -> bool:
        """Whether it is its owner's alone, and gone with it."""
        return self.owner is not None

    @property
    def ready(self) -> int:
        """Messages that wait (queue.declare-ok); none are counted in a stream."""
        return 0 if self.work is None else self.work.ready

    @property
    def consumers(self) -> int:
        """How many take from it; of a stream only its session knows."""
        return 0 if self.work is None else len(self.work.takers)
