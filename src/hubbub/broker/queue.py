"""A queue: a shared subscription to the messages that its patterns select.

One copy of each message that any queue waits for is in one log, and a queue knows the offsets of
its own. What its consumers have room for it holds as records; of the rest it remembers where it is.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from heapq import merge
from typing import TYPE_CHECKING, Protocol

from hubbub.broker.cursor import Cursor
from hubbub.broker.shared import Leases

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from hubbub.broker.backlog import Chunk
    from hubbub.broker.cursor import CursorState
    from hubbub.broker.observer import Subscriber
    from hubbub.broker.shared import Consumer, DeadLetter, SharedSettings
    from hubbub.broker.timers import Timers
    from hubbub.model.address import Address
    from hubbub.model.message import Record
    from hubbub.model.pattern import Exact, Wildcard

# How many messages a queue holds that nobody takes for want of credit: a few, so that a consumer
# that is slow for a moment finds the next ones in memory. The others stay in the log.
READ_AHEAD = 32

# Of so many offsets in a row one is a queue's own: then the log is read in chunks, otherwise each
# message by itself.
_DENSE = 8
_SAMPLE = 16

# A queue that is full drops messages until this fraction of it (a power of two) is free. What was
# dropped is remembered as ranges among what is kept, and this bounds how many there are.
_SLACK_SHIFT = 10

NEVER = 2**63 - 1


class Keeper(Protocol):
    """What all queues share: where they are kept, and what they live from."""

    timers: Timers
    dead_letter: DeadLetter
    may_receive: Callable[[str, Address], bool]
    lease_numbers: Iterator[int]  # of all queues, so that none stands for another one later

    @property
    def position(self) -> int:
        """The offset before which every queue has been offered what is its own."""

    def bind(self, queue: Queue, pattern: Exact | Wildcard) -> None:
        """See ``Queue.bind``."""

    def unbind(self, queue: Queue, binding: Binding) -> None:
        """See ``Queue.unbind``."""

    def changed(self, queue: Queue) -> None:
        """Store, soon, where the queue stands."""

    def refill(self, queue: Queue) -> None:
        """Let the queue have its backlog, soon."""


class Binding:
    """A pattern of a queue, for messages at offsets from ``first`` to before ``after``."""

    __slots__ = ("after", "first", "pattern", "queue", "serial")

    def __init__(
        self, queue: Queue, serial: int, pattern: Exact | Wildcard, first: int, after: int = NEVER
    ) -> None:
        self.queue = queue
        self.serial = serial
        self.pattern = pattern
        self.first = first
        self.after = after


class Queue:
    """Messages that match one of its patterns, in the order of the log, each for one consumer.

    ``dropped`` counts those that came when ``limit`` were unsettled, since the broker started.
    """

    __slots__ = (
        "_backlog",
        "_dropping",
        "_keeper",
        "_last",
        "_leases",
        "_settings",
        "bindings",
        "cursor",
        "dropped",
        "limit",
        "name",
        "number",
    )

    def __init__(
        self,
        keeper: Keeper,
        number: int,
        name: str,
        settings: SharedSettings,
        limit: int,
        state: CursorState,
    ) -> None:
        self.number = number
        self.name = name
        self.limit = limit
        self.dropped = 0
        self.bindings: dict[Exact | Wildcard, Binding] = {}
        self.cursor = Cursor(state)
        self._keeper = keeper
        self._settings = settings
        self._last = -1  # the last offset that was selected
        self._dropping = False
        self._backlog = array("q")  # offsets of its own that nobody has room for, in order
        self._leases: _QueueLeases | None = None  # only while there are consumers

    @property
    def settings(self) -> SharedSettings:
        """How it treats its messages."""
        return self._settings

    @settings.setter
    def settings(self, settings: SharedSettings) -> None:
        self._settings = settings
        if self._leases is not None:
            self._leases.settings = settings

    @property
    def patterns(self) -> tuple[Exact | Wildcard, ...]:
        """What it is bound to, in the order in which it was."""
        return tuple(self.bindings)

    @property
    def consumers(self) -> list[Subscriber]:
        """Who takes messages now."""
        return [] if self._leases is None else self._leases.consumers

    @property
    def lag(self) -> int:
        """Messages selected and not settled; after a start, as far as the log was read again."""
        return len(self._backlog) + len(self._held)

    @property
    def floor(self) -> int:
        """Nothing before this offset is needed any more."""
        return min((*self._backlog[:1], *self._held[:1]), default=self._keeper.position)

    @property
    def state(self) -> CursorState:
        """What to store of where it stands."""
        self.cursor.skip_to(self.floor)
        return self.cursor.state

    def bind(self, pattern: Exact | Wildcard) -> None:
        """Select what is published from now on and matches; harmless where it is bound already.

        Raises: StorageError, InvalidSettingsError.
        """
        if pattern not in self.bindings:
            self._keeper.bind(self, pattern)

    def unbind(self, pattern: Exact | Wildcard) -> None:
        """Select no more by this pattern; what it has selected stays. Raises StorageError."""
        if pattern in self.bindings:
            self._keeper.unbind(self, self.bindings[pattern])

    # Consumers, as in ``Leases``.

    def join(self, consumer: Consumer) -> None:
        """Let ``consumer`` have its share from now on."""
        if self._leases is None:
            self._leases = _QueueLeases(self, self._keeper)
        self._leases.join(consumer)

    def leave(self, consumer: Consumer) -> None:
        """Take back what ``consumer`` holds, for the others to have at once."""
        if self._leases is not None:
            self._leases.leave(consumer)

    def ack(self, lease: int) -> bool:
        """Settle a message; False if the lease has run out."""
        return self._leases is not None and self._leases.ack(lease)

    def nack(self, lease: int, delay: float | None = None) -> bool:
        """Give a message back, to be delivered again after ``delay`` seconds.

        Without a delay it has its old place among what waits.
        """
        return self._leases is not None and self._leases.nack(lease, delay)

    def extend(self, lease: int, seconds: float) -> bool:
        """Move the deadline of a lease to ``seconds`` from now."""
        return self._leases is not None and self._leases.extend(lease, seconds)

    def dispatch(self) -> None:
        """Hand out what waits, in the next turn; consumers call it when they have credit again."""
        if self._leases is not None:
            self._leases.dispatch()

    def close(self) -> None:
        """The queue is deleted: hand out nothing more."""
        if self._leases is not None:
            self._leases.close()
            self._leases = None

    # What comes in.

    def select(self, offset: int) -> bool:
        """Note that a message is the queue's own; whether to ``take`` its record at once."""
        if offset <= self._last or self.cursor.is_settled(offset):
            return False  # selected by another binding already, or done with before a restart
        self._last = offset
        if self._is_full():
            self.dropped += 1
            self._settle(offset)
            return False
        if self._leases is not None and not self._backlog and self._leases.is_wanting:
            return True
        self._backlog.append(offset)
        return False

    def take(self, record: Record) -> None:
        """Hold a record that was selected, or remember where it is."""
        if self._leases is None or not self._leases.take(record):
            self._backlog.append(record.offset)

    def refill(self, chunk_at: Callable[[int, bool], Chunk]) -> bool:
        """Take from the backlog what there is room for, out of one chunk; whether to go on.

        Raises: HubbubError where the log cannot be read now.
        """
        leases, backlog = self._leases, self._backlog
        if leases is None or not backlog:
            return False
        sample = min(_SAMPLE, len(backlog)) - 1
        chunk = chunk_at(backlog[0], backlog[sample] - backlog[0] < _DENSE * sample)
        done, is_full = 0, False
        for offset in backlog:
            if offset >= chunk.after or not leases.is_wanting:
                break
            record = chunk.record(offset)
            if record is not None and not leases.take(record):
                is_full = True
                break
            done += 1  # what is gone is settled with what stands next to it
        del backlog[:done]
        return bool(backlog) and leases.is_wanting and not is_full

    def selected_between(self, first: int, after: int) -> bool:
        """Whether something is unsettled at these offsets."""
        return any(
            (at := bisect_left(offsets, first)) < len(offsets) and offsets[at] < after
            for offsets in (self._backlog, self._held)
        )

    # For its leases.

    def ask_for_more(self) -> None:
        """There is room for what is in the backlog."""
        if self._backlog:
            self._keeper.refill(self)

    def is_behind(self, offset: int) -> bool:
        """Whether an earlier message is still in the log."""
        return bool(self._backlog) and self._backlog[0] < offset

    def give_back(self, offsets: Collection[int]) -> None:
        """What was held is in the backlog again."""
        back = array("q", sorted(offsets))
        if back and self.is_behind(back[-1]):
            self._backlog = array("q", sorted((*back, *self._backlog)))
        elif back:
            self._backlog = back + self._backlog
        self._forget_leases()

    def settled(self, offset: int) -> None:
        """A message that was held is done with."""
        self._settle(offset)
        self._forget_leases()

    def tried_again(self) -> None:
        """A message was delivered more than once, which a restart is to know."""
        self._keeper.changed(self)

    @property
    def _held(self) -> Sequence[int]:
        return () if self._leases is None else self._leases.held

    def _is_full(self) -> bool:
        slack = self.limit >> _SLACK_SHIFT if self._dropping else 0
        self._dropping = self.lag >= self.limit - slack
        return self._dropping

    def _settle(self, offset: int) -> None:
        """Settle it, and with it all around it up to what is still to be settled.

        In between nothing is the queue's own: so what is settled in order is one range.
        """
        before, after = -1, NEVER
        for offsets in (self._backlog, self._held):
            at = bisect_left(offsets, offset)
            if at:
                before = max(before, offsets[at - 1])
            if at < len(offsets):
                after = min(after, offsets[at])
        self.cursor.settle(offset)
        self.cursor.settle(before + 1, offset + 1 if after == NEVER else after)
        self._keeper.changed(self)

    def _forget_leases(self) -> None:
        if self._leases is not None and not self._leases.held and not self._leases.consumers:
            self._leases = None


class _QueueLeases(Leases):
    """What the consumers of a queue have, and what is in memory for them to have next.

    ``held`` are the offsets of all that, dead letters on their way included, in order.
    """

    def __init__(self, queue: Queue, keeper: Keeper) -> None:
        super().__init__(
            queue.name,
            queue.settings,
            keeper.timers,
            keeper.dead_letter,
            keeper.may_receive,
            keeper.lease_numbers,
        )
        self.held: list[int] = []
        self._queue = queue

    @property
    def is_wanting(self) -> bool:
        """Whether more records would be delivered soon."""
        waiting = len(self._waiting)
        return bool(self._consumers) and (
            waiting < READ_AHEAD
            or waiting < sum(max(0, consumer.credit) for consumer in self._consumers)
        )

    def take(self, record: Record) -> bool:
        """Hold the record if there is room for it; the queue's next one."""
        if not self._has_room(record):
            return False
        self.held.insert(bisect_left(self.held, record.offset), record.offset)
        self._hold(record)
        return True

    def _attempt(self, record: Record) -> int:
        attempt = self._queue.cursor.attempt(record.offset)
        if attempt > 1:
            self._queue.tried_again()
        return attempt

    def _attempts(self, record: Record) -> int:
        return self._queue.cursor.attempts(record.offset)

    def _done(self, record: Record) -> None:
        del self.held[bisect_left(self.held, record.offset)]
        self._queue.settled(record.offset)

    def _more(self) -> None:
        if self._consumers:
            self._queue.ask_for_more()

    def _kept(self, records: Sequence[Record]) -> None:
        offsets = {record.offset for record in records}
        self.held = [offset for offset in self.held if offset not in offsets]
        self._queue.give_back(offsets)

    def _to_front(self, records: Sequence[Record]) -> None:
        back = sorted(records, key=_offset)
        self._waiting.extendleft(reversed(back))
        if len(self._waiting) > len(back) > 0 and back[-1].offset > self._waiting[len(back)].offset:
            self._waiting = deque(sorted(self._waiting, key=_offset))

    def _once_more(self, record: Record) -> None:
        if self._queue.is_behind(record.offset):
            self._let_go((record,))
        else:
            self._waiting = deque(merge((record,), self._waiting, key=_offset))


def _offset(record: Record) -> int:
    return record.offset
