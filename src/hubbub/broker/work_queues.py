"""All work queues, by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from hubbub.broker import queue_burials
from hubbub.broker.names import WORK_QUEUE_PREFIX
from hubbub.broker.queue_log import QueueLog
from hubbub.broker.work_memory import WorkMemory
from hubbub.broker.work_queue import WorkQueue
from hubbub.broker.work_round import Round
from hubbub.broker.work_settings import WorkQueueSettings
from hubbub.model.address import Address
from hubbub.model.errors import HubbubError
from hubbub.model.faults import contain
from hubbub.model.settings import FOREVER, TopicSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubbub.broker.state import StateLog
    from hubbub.broker.timers import Timers
    from hubbub.broker.topics import Catalogue, Topic
    from hubbub.log.seam import Log

# Kept until it is settled, and given back in portions of a segment. A batch may be as large as the
# format allows: how large one message may be is for the protocols to say.
LOG_SETTINGS = TopicSettings(
    retention_ms=FOREVER,
    delete_old=False,
    segment_bytes=16 * 1024 * 1024,
    max_message_bytes=2**31 - 1,
)


class WorkQueueEntry(msgspec.Struct, frozen=True, array_like=True):
    """A durable queue as it is stored."""

    name: str
    settings: WorkQueueSettings
    attributes: bytes


class WorkQueues:
    """Queues by name; durable ones are there again after a restart.

    ``memory.on_pressure`` is called with true when their messages take too much of the memory, and
    with false when that is over.
    """

    # A log is stored anew at its end when it is larger than this and a quarter of it at most is needed.
    rewrite_bytes = 64 * 1024 * 1024

    def __init__(self, state: StateLog, topics: Catalogue, log: Log, timers: Timers) -> None:
        self.round = Round(timers, self._flushed)
        self._state = state
        self._topics = topics
        self._log = log
        self._timers = timers
        self._queues: dict[str, WorkQueue] = {}
        self._durable: dict[WorkQueue, tuple[bytes, Topic]] = {}  # with their keys
        self.memory = WorkMemory(self.round, self._durable)
        self._rewritten: set[WorkQueue] = set()
        self._next_number = 1
        self._load()

    def __iter__(self) -> Iterator[WorkQueue]:
        return iter(tuple(self._queues.values()))

    def get(self, name: str) -> WorkQueue | None:
        """The queue of that name."""
        return self._queues.get(name)

    def open(self, name: str, settings: WorkQueueSettings, attributes: bytes = b"") -> WorkQueue:
        """The queue of that name; made if need be, with these settings and attributes.

        What is durable is in the log when this returns, and safe with the next sync
        (``when_durable``). Raises: StorageError.
        """
        queue = self._queues.get(name)
        if queue is None and settings.durable:
            queue = self._create_durable(WorkQueueEntry(name, settings, attributes))
        elif queue is None:
            queue = WorkQueue(name, settings, self.round, attributes)
        self._queues[name] = queue
        return queue

    def delete(self, queue: WorkQueue) -> None:
        """Forget the queue and what it holds. Raises StorageError, and then it is still there."""
        if self._queues.get(queue.name) is not queue:
            return
        key, topic = self._durable.get(queue, (b"", None))
        if topic is not None:
            self._state.put((key, None))
        del self._queues[queue.name]
        self._durable.pop(queue, None)
        queue.close()
        if topic is not None:
            contain(self._topics.delete, topic)  # what stays is found by the next start

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once queues made and deleted so far survive power loss, or with the failure."""

        def named(failure: Exception | None) -> None:
            if failure is None:
                self._topics.when_durable(done)
            else:
                done(failure)

        self._state.when_durable(named)

    def flush(self) -> None:
        """Store what was put and settled since the last time, then deliver."""
        self.round.flush()

    @property
    def memory_bytes(self) -> int:
        """What is in memory of all messages."""
        return self.round.held.bytes

    def trim(self) -> None:
        """Give back what no queue needs of the disk."""
        for queue in tuple(self._durable):
            contain(self._trim, queue)

    def close(self) -> None:
        """Store what was put and settled, and what was delivered. Raises StorageError."""
        self.flush()
        for queue in self._durable:
            queue.rest()

    # What is stored.

    def _create_durable(self, entry: WorkQueueEntry) -> WorkQueue:
        number, self._next_number = self._next_number, self._next_number + 1
        key = b"%d" % number
        topic = self._topics.create_internal(_topic_name(number), 1, LOG_SETTINGS)
        try:
            self._state.put((key, msgspec.json.encode(entry)))
        except HubbubError:
            contain(self._topics.delete, topic)
            raise
        return self._restore(key, entry, topic)

    def _restore(self, key: bytes, entry: WorkQueueEntry, topic: Topic) -> WorkQueue:
        log = QueueLog(topic.partitions[0].log)
        queue = WorkQueue(entry.name, entry.settings, self.round, entry.attributes, log, self._trim)
        self._durable[queue] = key, topic
        return queue

    def _load(self) -> None:
        stored = self._state.load()
        for key, value in stored.items():
            entry = msgspec.json.decode(value, type=WorkQueueEntry)
            name = _topic_name(int(key))
            # Power loss may take the topic back, and with it nothing that anybody counts on.
            topic = self._topics.get(name) or self._topics.create_internal(name, 1, LOG_SETTINGS)
            self._queues[entry.name] = self._restore(key, entry, topic)
        known = {topic.name for _, topic in self._durable.values()}
        for topic in list(self._topics):
            if topic.name.startswith(WORK_QUEUE_PREFIX):
                number = int(topic.name.removeprefix(WORK_QUEUE_PREFIX))
                self._next_number = max(self._next_number, number + 1)
                if topic.name not in known:  # a crash came between the parts of a deletion
                    contain(self._topics.delete, topic)

    # What is given back.

    def _trim(self, queue: WorkQueue) -> None:
        if queue.log is None or queue in self._rewritten:
            return
        queue.log.trim()
        _, topic = self._durable[queue]
        size = sum(self._log.sizes(topic.number).values())
        if size > max(self.rewrite_bytes, 4 * queue.log.needed_bytes):
            self._rewritten.add(queue)
            queue.log.begin_moving()
            self._timers.after(0, partial(self._rewrite, queue, queue.log.partition.end_offset))

    def _rewrite(self, queue: WorkQueue, limit: int) -> None:
        """Store some of what is needed anew, and the rest in the turns that follow."""
        try:
            goes_on = queue.log is not None and queue.rewrite(limit)
        except HubbubError:
            goes_on = False  # the next trim tries it again
        if goes_on:
            self._timers.after(0, partial(self._rewrite, queue, limit))
        else:
            self._rewritten.discard(queue)
            if queue.log is not None:
                queue.when_durable(lambda _: None if queue.log is None else queue.log.trim())

    def _flushed(self) -> None:
        queue_burials.watch(self.round.take_buried())
        self.memory.look()


def _topic_name(number: int) -> Address:
    return Address(f"{WORK_QUEUE_PREFIX}{number}")
