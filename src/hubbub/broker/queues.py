"""All queues: by name, with their bindings and where they stand, there again after a restart.

They live from one internal topic, which captures whatever some queue is bound to and is trimmed to
what some queue still waits for. A queue without consumers costs its entry here and eight bytes for
each message that it waits for.
"""

from __future__ import annotations

from itertools import chain, count, islice
from typing import TYPE_CHECKING

import msgspec

from hubbub.broker.backlog import Backlogs
from hubbub.broker.cursor import CursorState
from hubbub.broker.feed import Feed
from hubbub.broker.queue import NEVER, Binding, Queue
from hubbub.broker.shared import SharedSettings, decode_settings, encode_settings
from hubbub.broker.subscriptions import MAX_NAME_BYTES
from hubbub.model.address import Address
from hubbub.model.errors import InvalidSettingsError, StorageError
from hubbub.model.pattern import Exact, Wildcard
from hubbub.model.settings import FOREVER, TopicSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hubbub.broker.shared import DeadLetter
    from hubbub.broker.state import StateLog
    from hubbub.broker.timers import Timer, Timers
    from hubbub.broker.topics import Catalogue, Topic

# Unsettled messages of one queue. They cost eight bytes each, and the space that the oldest of all
# queues keeps from being freed.
MAX_QUEUED = 100_000

# Kept until no queue waits for it, and given back in portions of a segment. Nothing is too large for
# it that another topic has taken: the largest packet of MQTT, and of AMQP what anybody sends.
QUEUED_SETTINGS = TopicSettings(
    retention_ms=FOREVER,
    delete_old=False,
    segment_bytes=16 * 1024 * 1024,
    max_message_bytes=256 * 1024 * 1024,
)

# How often what cannot be stored (a full disk) is tried again, in seconds.
_STORE_AGAIN_AFTER = 1.0
# When so many bindings have ended, and twice as many as were still needed the last time, it is seen
# at once which are not needed any more: a client that binds and unbinds for ever costs no memory.
_ENDED_LEAST = 1000
# How many queues are asked in one turn what they still need.
_TRIM_STEP = 2000


class QueueEntry(msgspec.Struct, frozen=True, array_like=True):
    """A queue as it is stored; ``settings`` as ``encode_settings`` has them."""

    name: str
    limit: int
    settings: msgspec.Raw


class BindingEntry(msgspec.Struct, frozen=True, array_like=True):
    """A binding as it is stored, after its end until nothing that it selected is needed."""

    is_wildcard: bool
    text: str
    first: int
    after: int


class Queues:
    """Queues by name. What they are bound to is captured from the moment this is made."""

    def __init__(
        self,
        state: StateLog,
        topics: Catalogue,
        topic: Topic,
        timers: Timers,
        dead_letter: DeadLetter,
        may_receive: Callable[[str, Address], bool],
    ) -> None:
        self.timers = timers
        self.dead_letter = dead_letter
        self.may_receive = may_receive
        self.lease_numbers: Iterator[int] = count(1)
        self._state = state
        self._topics = topics
        self._topic = topic
        self._log = topic.partitions[0].log
        self._queues: dict[str, Queue] = {}
        self._ended: dict[Queue, list[Binding]] = {}  # what they selected may still be needed
        self._ended_count = 0
        self._ended_most = _ENDED_LEAST
        self._numbers = count(1)  # of queues and bindings
        # What is to be stored soon, as it is then.
        self._moved: dict[Queue, None] = {}
        self._mended: dict[Binding, None] = {}
        self._orphans: list[bytes] = []
        self._turn: Timer | None = None
        self._backlogs = Backlogs(topic.partitions[0], timers)
        self._load()
        start = min((queue.cursor.floor for queue in self), default=self._log.durable_offset)
        start = max(self._log.start_offset, min(start, self._log.durable_offset))
        self._feed = Feed(topic.partitions[0], timers, start, self._bindings())

    def __iter__(self) -> Iterator[Queue]:
        return iter(tuple(self._queues.values()))

    def get(self, name: str) -> Queue | None:
        """The queue of that name."""
        return self._queues.get(name)

    def matching(self, address: Address) -> list[Queue]:
        """The queues that get what is published to the address."""
        return self._feed.matching(address)

    def open(
        self, name: str, settings: SharedSettings | None = None, limit: int | None = None
    ) -> Queue:
        """The queue of that name, made if need be.

        What is None stays as it is. A queue that has ``limit`` unsettled messages drops what comes.

        Raises: StorageError, InvalidSettingsError.
        """
        if limit is not None and limit < 1:
            raise InvalidSettingsError("a queue holds at least one message")
        found = self._queues.get(name)
        if found is not None:
            self._change(found, settings or found.settings, limit or found.limit)
            return found
        if len(name.encode()) > MAX_NAME_BYTES:
            raise InvalidSettingsError(f"a queue's name has at most {MAX_NAME_BYTES} bytes")
        queue = Queue(
            self,
            next(self._numbers),
            name,
            settings or SharedSettings(),
            limit or MAX_QUEUED,
            CursorState(self._log.end_offset),
        )
        self._state.put(
            (_queue_key(queue), _encode_queue(queue)), (_cursor_key(queue), _encode_cursor(queue))
        )
        self._queues[name] = queue
        return queue

    def delete(self, queue: Queue) -> None:
        """Forget the queue, its bindings and its messages. Raises StorageError."""
        if self._queues.get(queue.name) is not queue:
            return
        bindings = [*queue.bindings.values(), *self._ended.get(queue, ())]
        keys = [_queue_key(queue), _cursor_key(queue), *map(_binding_key, bindings)]
        self._state.put(*((key, None) for key in keys))
        del self._queues[queue.name]
        self._moved.pop(queue, None)
        self._ended.pop(queue, None)
        self._backlogs.forget(queue)
        for binding in bindings:
            self._mended.pop(binding, None)
            self._feed.remove(binding)
        for pattern in queue.bindings:
            self._topics.release(self._topic, pattern)
        queue.bindings.clear()
        queue.close()

    def store(self) -> None:
        """Write down where every queue stands. Raises StorageError."""
        pairs: list[tuple[bytes, bytes | None]] = [(key, None) for key in self._orphans]
        pairs += [(_binding_key(binding), _encode_binding(binding)) for binding in self._mended]
        pairs += [(_cursor_key(queue), _encode_cursor(queue)) for queue in self._moved]
        if pairs:
            self._state.put(*pairs)
        self._orphans.clear()
        self._mended.clear()
        self._moved.clear()

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once every change made so far survives power loss, or with the failure."""
        try:
            self.store()
        except StorageError as error:
            done(error)
        else:
            self._state.when_durable(done)

    def trim(self) -> None:
        """Free, in steps, what no queue waits for."""
        self._trim_next(iter(self), self._feed.position)

    # For the queues.

    @property
    def position(self) -> int:
        """The offset before which every queue has been offered what is its own."""
        return self._feed.position

    def bind(self, queue: Queue, pattern: Exact | Wildcard) -> None:
        """See ``Queue.bind``."""
        if not isinstance(pattern, Exact | Wildcard):
            raise InvalidSettingsError("a queue is bound to an address or a wildcard pattern")
        if self._queues.get(queue.name) is not queue:
            raise InvalidSettingsError(f"the queue {queue.name} was deleted")
        binding = Binding(queue, next(self._numbers), pattern, self._log.end_offset)
        self._state.put((_binding_key(binding), _encode_binding(binding)))
        queue.bindings[pattern] = binding
        self._feed.add(binding)
        self._topics.capture(self._topic, pattern)

    def unbind(self, queue: Queue, binding: Binding) -> None:
        """See ``Queue.unbind``."""
        end = self._log.end_offset
        used = binding.first < end  # and so it may have selected something
        self._state.put((_binding_key(binding), _encode_binding(binding, end) if used else None))
        self._mended.pop(binding, None)
        del queue.bindings[binding.pattern]
        self._topics.release(self._topic, binding.pattern)
        binding.after = end
        if used:
            self._ended.setdefault(queue, []).append(binding)
            self._feed.end(binding)
            self._ended_count += 1
            if self._ended_count == self._ended_most:
                self.timers.after(0, self._forget_ended)
        else:
            self._feed.remove(binding)

    def changed(self, queue: Queue) -> None:
        """Store, soon, where the queue stands."""
        if self._queues.get(queue.name) is queue:  # not deleted with a dead letter on its way
            self._moved[queue] = None
            self._store_later(0)

    def refill(self, queue: Queue) -> None:
        """Let the queue have its backlog, soon."""
        self._backlogs.refill(queue)

    # Storing and loading.

    def _change(self, queue: Queue, settings: SharedSettings, limit: int) -> None:
        if (settings, limit) != (queue.settings, queue.limit):
            entry = _encode_entry(queue.name, settings, limit)
            self._state.put((_queue_key(queue), entry))
            queue.settings, queue.limit = settings, limit

    def _store_later(self, seconds: float) -> None:
        if self._turn is None:
            self._turn = self.timers.after(seconds, self._store_in_turn)

    def _store_in_turn(self) -> None:
        self._turn = None
        try:
            self.store()
        except StorageError:
            self._store_later(_STORE_AGAIN_AFTER)

    def _load(self) -> None:
        tables: dict[bytes, dict[tuple[int, ...], bytes]] = {}
        for key, value in self._state.load().items():
            kind, *numbers = key.split(b":")
            tables.setdefault(kind, {})[tuple(map(int, numbers))] = value
        cursors = tables.get(_CURSOR, {})
        queues: dict[int, Queue] = {}
        for (number,), value in tables.get(_QUEUE, {}).items():
            queues[number] = self._load_queue(number, value, cursors.get((number,)))
        for (number, serial), value in sorted(tables.get(_BINDING, {}).items()):
            if number in queues:
                self._load_binding(queues[number], serial, value)
        # A crash came between the parts of a deletion, and a later queue must not find them.
        self._orphans = [
            _key(kind, *numbers)
            for kind, table in tables.items()
            for numbers in table
            if numbers[0] not in queues
        ]
        used = chain.from_iterable(chain.from_iterable(tables.values()))
        self._numbers = count(max(used, default=0) + 1)
        if self._orphans or self._mended or self._moved:
            self._store_later(0)

    def _load_queue(self, number: int, value: bytes, cursor: bytes | None) -> Queue:
        """Power loss may take back what a cursor or a binding counts on: what comes then is new."""
        entry = msgspec.json.decode(value, type=QueueEntry)
        end = self._log.end_offset
        stored = CursorState(end) if cursor is None else _decode_cursor(cursor)
        state = stored.before(end)
        settings = decode_settings(bytes(entry.settings))
        queue = Queue(self, number, entry.name, settings, entry.limit, state)
        self._queues[entry.name] = queue
        if state != stored:
            self._moved[queue] = None
        return queue

    def _load_binding(self, queue: Queue, serial: int, value: bytes) -> None:
        entry = msgspec.json.decode(value, type=BindingEntry)
        pattern = (
            Wildcard(tuple(entry.text.split(".")))
            if entry.is_wildcard
            else Exact(Address(entry.text))
        )
        end = self._log.end_offset
        after = NEVER if entry.after == NEVER else min(entry.after, end)
        binding = Binding(queue, serial, pattern, min(entry.first, end), after)
        if (binding.first, binding.after) != (entry.first, entry.after):
            self._mended[binding] = None
        if after == NEVER:
            queue.bindings[pattern] = binding
            self._topics.capture(self._topic, pattern)
        else:
            self._ended.setdefault(queue, []).append(binding)

    def _bindings(self) -> Iterable[Binding]:
        yield from chain.from_iterable(self._ended.values())
        for queue in self:
            yield from queue.bindings.values()

    # Trimming.

    def _trim_next(self, queues: Iterator[Queue], lowest: int) -> None:
        """Floors only rise meanwhile, and a new queue's is higher than all."""
        some = [queue.floor for queue in islice(queues, _TRIM_STEP)]
        if some:
            lowest = min(lowest, *some)
            self.timers.after(0, lambda: self._trim_next(queues, lowest))
            return
        self._forget_ended()
        if lowest > self._log.start_offset:
            self._log.truncate_before(lowest)

    def _forget_ended(self) -> None:
        """Bindings that have ended are kept for what they selected, to select it after a restart."""
        left: dict[Queue, list[Binding]] = {}
        gone: list[Binding] = []
        for queue, ended in self._ended.items():
            for binding in ended:
                if binding.after > self.position or queue.selected_between(
                    binding.first, binding.after
                ):
                    left.setdefault(queue, []).append(binding)
                else:
                    gone.append(binding)
        if gone:
            try:
                self.store()  # first that what they selected is settled
                self._state.put(*((_binding_key(binding), None) for binding in gone))
            except StorageError:
                left = self._ended
        self._ended = left
        self._ended_count = sum(map(len, left.values()))
        self._ended_most = max(_ENDED_LEAST, 2 * self._ended_count)


_QUEUE, _BINDING, _CURSOR = b"queue", b"binding", b"cursor"


def _key(kind: bytes, *numbers: int) -> bytes:
    return b":".join([kind, *(b"%d" % number for number in numbers)])


def _queue_key(queue: Queue) -> bytes:
    return _key(_QUEUE, queue.number)


def _cursor_key(queue: Queue) -> bytes:
    return _key(_CURSOR, queue.number)


def _binding_key(binding: Binding) -> bytes:
    return _key(_BINDING, binding.queue.number, binding.serial)


def _encode_queue(queue: Queue) -> bytes:
    return _encode_entry(queue.name, queue.settings, queue.limit)


def _encode_entry(name: str, settings: SharedSettings, limit: int) -> bytes:
    return msgspec.json.encode(QueueEntry(name, limit, msgspec.Raw(encode_settings(settings))))


def _encode_binding(binding: Binding, after: int | None = None) -> bytes:
    pattern = binding.pattern
    after = binding.after if after is None else after
    text = ".".join(pattern.levels) if isinstance(pattern, Wildcard) else pattern.address
    entry = BindingEntry(isinstance(pattern, Wildcard), text, binding.first, after)
    return msgspec.json.encode(entry)


def _encode_cursor(queue: Queue) -> bytes:
    return msgspec.json.encode(queue.state)


def _decode_cursor(value: bytes) -> CursorState:
    return msgspec.json.decode(value, type=CursorState)
