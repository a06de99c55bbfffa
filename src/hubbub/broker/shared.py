"""The shared subscription: each message is leased to one consumer and settled on its own.

A Redis stream group, a JetStream consumer, an AMQP queue, an MQTT session, a Google subscription
and an SQS queue are all this, with other settings.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from hubbub.broker.cursor import Cursor, CursorState
from hubbub.broker.tail import Tail
from hubbub.model.address import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hubbub.broker.decode import RecordDecoder
    from hubbub.broker.observer import Subscriber
    from hubbub.broker.partition import Partition
    from hubbub.broker.timers import Timer, Timers
    from hubbub.broker.topics import Topic
    from hubbub.model.message import Message, Record

# Unsettled messages that one subscription keeps in memory: enough to keep hundreds of consumers
# busy, little enough that a subscription without consumers costs nothing to speak of.
MAX_LEASED = 10_000
# And their bytes: what is behind stays in the log until something is settled.
MAX_HELD_BYTES = 16 * 1024 * 1024
# After what nobody may receive, or no dead-letter topic takes, is tried again where leases do not end.
_TRY_AGAIN_AFTER = 30.0


class SharedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a shared subscription treats its messages. Times are seconds.

    An ``ack_deadline`` of ``math.inf`` leaves a message with its consumer until that leaves. A message
    that was delivered ``max_deliveries`` times without being acknowledged (0: no limit) goes to
    ``dead_letter``, or is dropped where that is None.
    """

    ack_deadline: float = 30.0
    retry_delay: float = 0.0
    max_deliveries: int = 0
    dead_letter: Address | None = None


def encode_settings(settings: SharedSettings) -> bytes:
    """As JSON, which has no infinity: a deadline that never comes is null there."""
    fields = msgspec.structs.asdict(settings)
    if settings.ack_deadline == math.inf:
        fields["ack_deadline"] = None
    return msgspec.json.encode(fields)


def decode_settings(raw: bytes) -> SharedSettings:
    """Inverse of ``encode_settings``."""
    fields = msgspec.json.decode(raw, type=dict[str, Any])
    if fields.get("ack_deadline", 0) is None:
        fields["ack_deadline"] = math.inf
    return msgspec.convert(fields, SharedSettings)


class Delivery(NamedTuple):
    """One lease: ``attempt`` counts from 1; ``lease`` names it in ``ack``, ``nack`` and ``extend``."""

    lease: int
    record: Record
    attempt: int


class Consumer(Protocol):
    """Takes leased messages. ``credit`` is how many it would take right now."""

    @property
    def subscriber(self) -> Subscriber:
        """Who it is."""

    @property
    def credit(self) -> int:
        """How many more deliveries it has room for."""

    def deliver(self, delivery: Delivery) -> None:
        """Take one; it is the consumer's to settle until the deadline. Never raises."""


class DeadLetter(Protocol):
    """Publishes a message that nobody could handle and says when that is durable."""

    def __call__(
        self,
        target: Address,
        message: Message,
        subscription: str,
        done: Callable[[Exception | None], None],
        /,
    ) -> None:
        """Publish to ``target``."""


class _Lease(NamedTuple):
    record: Record
    consumer: Consumer
    deadline: Timer | None


class Leases(ABC):
    """Hands records out to consumers, each on lease, until they are settled.

    What is over it says where the records come from and keeps the books about them.
    """

    def __init__(
        self,
        name: str,
        settings: SharedSettings,
        timers: Timers,
        dead_letter: DeadLetter,
        may_receive: Callable[[str, Address], bool],
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.name = name
        self.settings = settings
        self._timers = timers
        self._dead_letter = dead_letter
        self._may_receive = may_receive
        self._numbers = count(1) if numbers is None else numbers  # of leases
        self._held_bytes = 0  # of the records that wait, are on lease or delayed
        self._waiting: deque[Record] = deque()  # to be delivered, oldest first
        self._delayed: dict[int, tuple[Timer, Record]] = {}
        self._leases: dict[int, _Lease] = {}
        self._consumers: deque[Consumer] = deque()  # the next to get something stands first
        self._turn: Timer | None = None

    @property
    def consumers(self) -> list[Subscriber]:
        """Who takes messages now."""
        return [consumer.subscriber for consumer in self._consumers]

    def join(self, consumer: Consumer) -> None:
        """Let ``consumer`` have its share from now on."""
        self._consumers.append(consumer)
        self.dispatch()

    def leave(self, consumer: Consumer) -> None:
        """Take back what ``consumer`` holds, for the others to have at once."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)
        held = [at for at, lease in self._leases.items() if lease.consumer is consumer]
        self._to_front([self._take_back(lease) for lease in held])
        if not self._consumers:
            self._rest()
        self.dispatch()

    def ack(self, lease: int) -> bool:
        """Settle a message; False if the lease has run out."""
        if lease not in self._leases:
            return False
        self._settle(self._take_back(lease))
        self.dispatch()
        return True

    def nack(self, lease: int, delay: float | None = None) -> bool:
        """Give a message back, to be delivered again after ``delay`` seconds."""
        if lease not in self._leases:
            return False
        self._again(self._take_back(lease), self.settings.retry_delay if delay is None else delay)
        self.dispatch()
        return True

    def extend(self, lease: int, seconds: float) -> bool:
        """Move the deadline of a lease to ``seconds`` from now."""
        held = self._leases.get(lease)
        if held is None:
            return False
        if held.deadline is not None:
            held.deadline.cancel()
        self._leases[lease] = held._replace(deadline=self._deadline(lease, seconds))
        return True

    def dispatch(self) -> None:
        """Hand out what waits, in the next turn; consumers call it when they have credit again."""
        if self._turn is None:
            self._turn = self._timers.after(0, self._dispatch)

    def close(self) -> None:
        """Stop; what is out on lease will be delivered again after the next start."""
        for lease in tuple(self._leases):
            self._held_bytes -= _size(self._take_back(lease))
        self._consumers.clear()
        self._rest()

    # What is over it does.

    @abstractmethod
    def _attempt(self, record: Record) -> int:
        """Count one more delivery; which one it is, from 1."""

    @abstractmethod
    def _attempts(self, record: Record) -> int:
        """How many deliveries were made so far."""

    @abstractmethod
    def _done(self, record: Record) -> None:
        """Nobody needs the record any more."""

    @abstractmethod
    def _more(self) -> None:
        """Nothing waits to be delivered: ``_hold`` more if there is any."""

    @abstractmethod
    def _kept(self, records: Sequence[Record]) -> None:
        """Nobody listens: the log keeps everything, so memory need not."""

    def _to_front(self, records: Sequence[Record]) -> None:
        """Deliver these, which a consumer gave back in this order, before all else."""
        self._waiting.extendleft(reversed(records))

    def _once_more(self, record: Record) -> None:
        """Deliver the record again."""
        self._waiting.append(record)

    # What it does itself.

    def _has_room(self, record: Record) -> bool:
        held = len(self._waiting) + len(self._leases) + len(self._delayed)
        return not held or (
            held < MAX_LEASED and self._held_bytes + _size(record) <= MAX_HELD_BYTES
        )

    def _hold(self, record: Record) -> None:
        self._held_bytes += _size(record)
        self._waiting.append(record)
        self.dispatch()

    def _let_go(self, records: Sequence[Record]) -> None:
        for record in records:
            self._held_bytes -= _size(record)
        self._kept(records)

    def _rest(self) -> None:
        for timer, _ in self._delayed.values():
            timer.cancel()
        records = [*self._waiting, *(record for _, record in self._delayed.values())]
        self._delayed.clear()
        self._waiting.clear()
        self._let_go(records)

    def _dispatch(self) -> None:
        self._turn = None
        while self._waiting:
            if self._is_exhausted(self._waiting[0]):
                self._give_up(self._waiting.popleft())
                continue
            consumer = self._next_consumer(self._waiting[0])
            if consumer is not None:
                self._deliver(consumer, self._waiting.popleft())
            elif any(consumer.credit > 0 for consumer in self._consumers):
                # Nobody with room may have it. Rights change, and so does who listens: later again,
                # and the messages behind it need not wait for that.
                self._delay(self._waiting.popleft(), self._patience)
            else:
                break
        if not self._waiting:
            self._more()

    def _next_consumer(self, record: Record) -> Consumer | None:
        """Whose turn it is among those who have room and may receive the record's address."""
        for _ in range(len(self._consumers)):
            consumer = self._consumers[0]
            self._consumers.rotate(-1)
            principal = consumer.subscriber.principal
            if consumer.credit > 0 and self._may_receive(principal, record.message.address):
                return consumer
        return None

    def _deliver(self, consumer: Consumer, record: Record) -> None:
        attempt = self._attempt(record)
        lease = next(self._numbers)
        deadline = self._deadline(lease, self.settings.ack_deadline)
        self._leases[lease] = _Lease(record, consumer, deadline)
        consumer.deliver(Delivery(lease, record, attempt))

    def _deadline(self, lease: int, seconds: float) -> Timer | None:
        if seconds == math.inf:
            return None
        return self._timers.after(seconds, lambda: self._expire(lease))

    def _expire(self, lease: int) -> None:
        if lease in self._leases:
            self._again(self._take_back(lease), 0.0)
            self.dispatch()

    def _take_back(self, lease: int) -> Record:
        held = self._leases.pop(lease)
        if held.deadline is not None:
            held.deadline.cancel()
        return held.record

    def _again(self, record: Record, delay: float) -> None:
        if delay > 0 and not self._is_exhausted(record):
            self._delay(record, delay)
        else:
            self._once_more(record)

    def _is_exhausted(self, record: Record) -> bool:
        """Whether the record was delivered as often as it may be, however each delivery ended."""
        return 0 < self.settings.max_deliveries <= self._attempts(record)

    @property
    def _patience(self) -> float:
        """How long to wait for others to change their minds."""
        deadline = self.settings.ack_deadline
        return _TRY_AGAIN_AFTER if deadline == math.inf else deadline

    def _delay(self, record: Record, delay: float) -> None:
        key = next(self._numbers)

        def due() -> None:
            del self._delayed[key]
            self._once_more(record)
            self.dispatch()

        self._delayed[key] = self._timers.after(delay, due), record

    def _give_up(self, record: Record) -> None:
        target = self.settings.dead_letter
        if target is None:
            self._settle(record)
            return

        def stored(failure: Exception | None) -> None:
            if failure is None:  # only now: a crash in between delivers it once more
                self._settle(record)
            elif self._consumers:
                self._delay(record, self._patience)
            else:
                self._let_go((record,))

        self._dead_letter(target, record.message, self.name, stored)

    def _settle(self, record: Record) -> None:
        self._held_bytes -= _size(record)
        self._done(record)


class SharedSubscription(Leases):
    """One named subscription over one topic."""

    def __init__(
        self,
        name: str,
        topic: Topic,
        settings: SharedSettings,
        timers: Timers,
        decode: RecordDecoder,
        dead_letter: DeadLetter,
        may_receive: Callable[[str, Address], bool],
        changed: Callable[[SharedSubscription, int], None],
    ) -> None:
        super().__init__(name, settings, timers, dead_letter, may_receive)
        self.topic = topic
        self.cursors: dict[int, Cursor] = {}
        self._decode = decode
        self._changed = changed
        self._tails: dict[int, Tail[Record]] = {}
        self._seen: dict[int, int] = {}  # partition -> the offset after the last record taken

    @property
    def lag(self) -> int:
        """Messages not settled yet."""
        return sum(
            cursor.lag(self.topic.partitions[index].log.durable_offset)
            for index, cursor in self.cursors.items()
        )

    def open(self, index: int, state: CursorState) -> None:
        """Stand at ``state`` in partition ``index``."""
        self.cursors[index] = Cursor(state)
        if self._consumers:
            self._follow(self.topic.partitions[index])

    def join(self, consumer: Consumer) -> None:
        """Let ``consumer`` have its share from now on."""
        for index in self.cursors:
            if index not in self._tails:
                self._follow(self.topic.partitions[index])
        super().join(consumer)

    def _follow(self, partition: Partition) -> None:
        cursor = self.cursors[partition.index]
        self._seen[partition.index] = cursor.floor
        self._tails[partition.index] = Tail(
            partition, cursor.floor, self._take, self._timers, self._decode
        )

    def _take(self, record: Record) -> bool:
        if not self._has_room(record):
            return False
        cursor = self.cursors[record.partition]
        # What lies before it holds nothing any more, or never held a message.
        cursor.skip_to(self.topic.partitions[record.partition].log.start_offset)
        cursor.settle(min(self._seen[record.partition], record.offset), record.offset)
        self._seen[record.partition] = record.offset + 1
        if not cursor.is_settled(record.offset):
            self._hold(record)
        return True

    def _attempt(self, record: Record) -> int:
        attempt = self.cursors[record.partition].attempt(record.offset)
        if attempt > 1:
            self._changed(self, record.partition)
        return attempt

    def _attempts(self, record: Record) -> int:
        return self.cursors[record.partition].attempts(record.offset)

    def _done(self, record: Record) -> None:
        self.cursors[record.partition].settle(record.offset)
        self._changed(self, record.partition)

    def _more(self) -> None:
        for tail in self._tails.values():
            tail.resume()

    def _kept(self, records: Sequence[Record]) -> None:  # noqa: ARG002
        for tail in self._tails.values():
            tail.close()
        self._tails.clear()


def _size(record: Record) -> int:
    message = record.message
    return len(message.value or b"") + len(message.key or b"")
