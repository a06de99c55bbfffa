"""All work queues, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.broker.work_queue import WorkQueue
from hubbub.broker.work_round import Round

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.broker.timers import Timers
    from hubbub.broker.work_settings import WorkQueueSettings


class WorkQueues:
    """Queues by name; durable ones are there again after a restart."""

    def __init__(self, timers: Timers) -> None:
        self.round = Round(timers)
        self._queues: dict[str, WorkQueue] = {}

    def __iter__(self) -> Iterator[WorkQueue]:
        return iter(tuple(self._queues.values()))

    def get(self, name: str) -> WorkQueue | None:
        """The queue of that name."""
        return self._queues.get(name)

    def open(self, name: str, settings: WorkQueueSettings, attributes: bytes = b"") -> WorkQueue:
        """The queue of that name; made if need be, with these settings and attributes."""
        queue = self._queues.get(name)
        if queue is None:
            queue = self._queues[name] = WorkQueue(name, settings, self.round, attributes)
        return queue

    def delete(self, queue: WorkQueue) -> None:
        """Forget the queue and what it holds."""
        if self._queues.get(queue.name) is queue:
            del self._queues[queue.name]
        queue.close()

    def flush(self) -> None:
        """Store what was put and settled since the last time, then deliver."""
        self.round.flush()

    @property
    def memory_bytes(self) -> int:
        """What is in memory of all messages."""
        return self.round.held.bytes
