"""Messages that an exchange of type x-delayed-message holds back (RabbitMQ's delayed message plugin).

They wait in a work queue of their own, which keeps the persistent ones, and are leased from it by the one
taker here: so they are where confirms and restarts expect them. When a message is due is its time of
publishing plus its `x-delay`, by the wall clock.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

from hubbub.broker.observer import Subscriber
from hubbub.broker.takers import OpenTaker
from hubbub.broker.work_item import Item
from hubbub.broker.work_settings import WorkQueueSettings
from hubbub.model.errors import HubbubError
from hubbub.protocols.amqp.arguments import INTEGER_TYPES
from hubbub.protocols.amqp.marks import Mark, decode_mark
from hubbub.protocols.amqp.names import joined
from hubbub.protocols.amqp.properties import decode_headers, decode_properties, replace_headers
from hubbub.protocols.amqp.queue import AmqpQueue
from hubbub.protocols.amqp.queue_arguments import QueueArguments
from hubbub.protocols.amqp.tables import Field

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.broker.broker import Broker
    from hubbub.broker.leases import Entry
    from hubbub.broker.timers import Timer
    from hubbub.broker.work_queue import WorkQueue
    from hubbub.protocols.amqp.exchanges import Exchange
    from hubbub.protocols.amqp.routing import Routing
    from hubbub.protocols.amqp.tables import Table

X_DELAY = "x-delay"

# The plugin's: what its timers take. 49 days.
MAX_DELAY_MS = 2**32 - 1

# Messages that are due are published so many a turn, that everybody else has theirs.
_AT_ONCE = 1000
# How soon what could not be published is tried again, in seconds: a full disk, most likely.
_AGAIN_AFTER = 1.0
# A timer further away than this only looks at the wall clock again, which somebody may have set.
_LOOK_AGAIN_AFTER = 60.0

_PREFIX = "amqp-delayed"
_ROOM = 2**31 - 1


class Delayed:
    """What one exchange holds back; ``queue`` is what a route ends in for such a message."""

    def __init__(self, broker: Broker, vhost: str, exchange: Exchange, routing: Routing) -> None:
        self._broker = broker
        self._timers = broker.timers
        self._exchange = exchange
        self._routing = routing
        self._due: list[tuple[int, int, Entry]] = []  # a heap: Unix ms, then order
        self._order = count()
        self._timer: Timer | None = None
        self._work = broker.work_queues.open(
            _name(vhost, exchange), WorkQueueSettings(durable=exchange.durable)
        )
        self._work.on_dead = self._outlived
        self._taker = _DelayTaker(self)
        self._work.join(self._taker)
        self.queue = AmqpQueue(
            exchange.name,
            durable=exchange.durable,
            auto_delete=False,
            owner=None,
            arguments={},
            parsed=QueueArguments(type="classic", settings=self._work.settings),
            id_=exchange.id,
        )
        self.queue.work = self._work

    def __len__(self) -> int:
        return self._work.ready + self._work.unsettled

    def takes(self, headers: Table) -> bool:
        """Whether a message with these headers is to wait."""
        return 0 < delay_ms(headers) <= MAX_DELAY_MS

    def delete(self) -> None:
        """The exchange is gone, and what waits with it. Raises StorageError."""
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        self._broker.work_queues.delete(self._work)

    def hold(self, entry: Entry) -> None:
        """Have it published when it is due."""
        item = entry.item()
        try:
            delay = delay_ms(decode_headers(decode_mark(item.mark).properties) or {})
        except HubbubError:
            delay = 0
        self._hold_until(item.timestamp_ms + max(delay, 0), entry)

    # --- inside --------------------------------------------------------------------------------

    def _hold_until(self, due_ms: int, entry: Entry) -> None:
        heapq.heappush(self._due, (due_ms, next(self._order), entry))
        if self._due[0][2] is entry or self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._due:
            seconds = max(self._due[0][0] - self._timers.wall_ms, 0) / 1000
            self._timer = self._timers.after(min(seconds, _LOOK_AGAIN_AFTER), self._publish_due)

    def _publish_due(self) -> None:
        self._timer = None
        entries: list[Entry] = []
        while self._due and self._due[0][0] <= self._timers.wall_ms and len(entries) < _AT_ONCE:
            entries.append(heapq.heappop(self._due)[2])
        works: dict[WorkQueue, None] = {}
        for entry in entries:
            self._publish(entry.item(), works)
        if entries:
            self._broker.work_queues.flush()
            _Settlement(self, entries, list(works)).begin()
        self._set_timer()

    def _publish(self, item: Item, works: dict[WorkQueue, None]) -> None:
        """Give it to its queues; those that store it are noted."""
        mark = decode_mark(item.mark)
        try:
            properties, ttl_ms = _released(mark.properties)
            queues = self._routing.route(self._exchange, mark.key, properties)
        except (HubbubError, ValueError):
            return  # headers that are none
        released = Item(
            item.value,
            Mark(mark.exchange, mark.key, properties).encode(),
            self._timers.wall_ms,
            ttl_ms,
            item.priority,
            item.persistent,
        )
        for queue in queues:
            queue.put(released)
            if queue.work is not None and queue.durable and item.persistent:
                works[queue.work] = None

    def settle(self, entries: list[Entry]) -> None:
        """They are where they belong."""
        for entry in entries:
            self._work.settle(entry)

    def try_again(self, entries: list[Entry]) -> None:
        """They could not be stored there."""
        soon = self._timers.wall_ms + int(_AGAIN_AFTER * 1000)
        for entry in entries:
            self._hold_until(soon, entry)

    def _outlived(self, entry: Entry, _reason: str) -> None:
        """Its time to live ends before its delay: that only counts where it goes then."""
        item = entry.item()
        self._work.put(
            Item(item.value, item.mark, item.timestamp_ms, -1, item.priority, item.persistent)
        )


class _Settlement:
    """Settles messages here once they are durable where they went: a crash between is harmless."""

    def __init__(self, delayed: Delayed, entries: list[Entry], works: list[WorkQueue]) -> None:
        self._delayed = delayed
        self._entries = entries
        self._works = works
        self._waiting = len(works)
        self._failed = False

    def begin(self) -> None:
        """Wait for all of them."""
        if not self._works:
            self._delayed.settle(self._entries)
        for work in self._works:
            work.when_durable(self._durable)

    def _durable(self, failure: Exception | None) -> None:
        self._waiting -= 1
        self._failed = self._failed or failure is not None
        if self._waiting:
            return
        if self._failed:
            self._delayed.try_again(self._entries)
        else:
            self._delayed.settle(self._entries)


class _DelayTaker(OpenTaker):
    """Takes all there is."""

    def __init__(self, delayed: Delayed) -> None:
        self._delayed = delayed
        self.subscriber = Subscriber("amqp", "", "")

    @property
    def room(self) -> int:
        return _ROOM

    def take(self, entry: Entry) -> None:
        self._delayed.hold(entry)


def delay_ms(headers: Table) -> int:
    """What `x-delay` says, in whatever type; 0 if there is none that is a number."""
    found = headers.get(X_DELAY)
    if found is None:
        return 0
    if found.type_name in INTEGER_TYPES or found.type_name in ("float", "double"):
        return int(found.value)
    if found.type_name == "longstr" and len(found.value) <= len(str(MAX_DELAY_MS)):
        text: bytes = found.value
        return int(text) if text.removeprefix(b"-").isdigit() else 0
    return 0


def delete_orphans(broker: Broker, vhost: str, exchanges: Iterable[Exchange]) -> None:
    """Delete what a crash left of exchanges that were deleted."""
    kept = {_name(vhost, exchange) for exchange in exchanges}
    for work in broker.work_queues:
        if work.name.startswith(joined(_PREFIX, vhost, "")) and work.name not in kept:
            broker.work_queues.delete(work)


def _name(vhost: str, exchange: Exchange) -> str:
    return joined(_PREFIX, vhost, exchange.name, str(exchange.id))


def _released(properties: bytes) -> tuple[bytes, int]:
    """The properties with the delay as a negative number, and the time to live in ms, -1 for ever.

    So it is not delayed again further on, and consumers see that it was.
    """
    decoded = decode_properties(properties)
    headers = dict(decoded.headers or {})
    headers[X_DELAY] = Field("l", -delay_ms(headers))
    expiration = decoded.expiration
    ttl_ms = int(expiration) if expiration is not None and expiration.isdecimal() else -1
    return replace_headers(properties, headers), ttl_ms
