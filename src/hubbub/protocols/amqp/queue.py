"""A queue as AMQP knows it: a work queue (or a stream) with a name, an owner and rules of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.publication import Durable
    from hubbub.broker.timers import Timer
    from hubbub.broker.work_item import Item
    from hubbub.broker.work_queue import WorkQueue
    from hubbub.protocols.amqp.consuming import Consumer
    from hubbub.protocols.amqp.queue_arguments import QueueArguments, QueueType
    from hubbub.protocols.amqp.streams import Stream
    from hubbub.protocols.amqp.tables import Table


class AmqpQueue:
    """One queue.

    ``owner`` is the connection of an exclusive one. ``work`` is None for a stream, and ``stream`` takes its
    messages. ``id`` tells it from others of the same name before and after it. ``refused`` wants what the
    work queue does not take, if anybody does.
    """

    __slots__ = (
        "arguments",
        "auto_delete",
        "deleted",
        "durable",
        "expiry",
        "id",
        "members",
        "name",
        "owner",
        "parsed",
        "refused",
        "stream",
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
        arguments: Table,
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
        self.stream: Stream | None = None
        self.members: dict[Consumer, None] = {}
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
        """How many take from it."""
        return len(self.members) if self.work is None else len(self.work.takers)

    @property
    def has_exclusive_consumer(self) -> bool:
        """Whether somebody takes from it who wants no others."""
        return any(consumer.exclusive for consumer in self.members)

    def put(self, item: Item) -> int:
        """Give it a message: 1 if it is taken, 0 if not."""
        if self.work is None:
            return 0 if self.stream is None else self.stream.put(item)
        taken = self.work.put(item)
        if not taken and self.refused is not None:
            self.refused(item)
        return taken

    def keep(self, item: Item) -> Durable | None:
        """Give it a message; what it is safe in once that is durable, if it is kept on disk at all.

        Raises what a stream's log raises; a work queue's failure is heard by who waits for it.
        """
        if self.stream is not None:
            self.stream.append(item)
            return self.stream
        taken = self.put(item)
        is_stored = self.work is not None and self.work.settings.durable and item.persistent
        return self.work if taken and is_stored else None
