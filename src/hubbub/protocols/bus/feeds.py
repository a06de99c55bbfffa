"""What one subscription of a client gets: live messages, a replay, or a group's share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from hubbub.broker.membership import Membership
from hubbub.broker.replay import Replay
from hubbub.protocols.bus import mapping
from hubbub.protocols.bus.codec import Grouped, Lease, Replayed

if TYPE_CHECKING:
    from hubbub.broker.broker import Broker
    from hubbub.broker.observer import Subscriber
    from hubbub.broker.shared import Delivery
    from hubbub.model.message import Message, Record
    from hubbub.model.pattern import Exact, Wildcard
    from hubbub.protocols.bus.codec import Place, Subscribe

# Stored messages a client may have on their way to it, all told by it with ``credit``.
MAX_CREDIT = 65_536


class Sink(Protocol):
    """Where deliveries go."""

    @property
    def congested(self) -> bool:
        """Whether stored messages should wait; looked at again with each new credit."""

    def deliver(
        self, subscription: int, message: Message, place: Place | None, lease: Lease | None
    ) -> None:
        """Take one delivery. Never raises."""


class Credits:
    """How many stored messages the client will still take."""

    def __init__(self, count: int, sink: Sink) -> None:
        self._left = min(count, MAX_CREDIT)
        self._sink = sink

    @property
    def left(self) -> int:
        """How many more may be delivered right now."""
        return 0 if self._sink.congested else self._left

    def add(self, more: int) -> None:
        """The client has made room."""
        self._left = min(self._left + more, MAX_CREDIT)

    def use(self) -> None:
        """One is on its way."""
        self._left -= 1


class LiveFeed:
    """An observer and nothing more: what comes faster than the client reads is the outbox's worry."""

    positions: tuple[Place, ...] = ()

    def __init__(
        self,
        broker: Broker,
        subscriber: Subscriber,
        pattern: Exact | Wildcard,
        request: Subscribe,
        sink: Sink,
    ) -> None:
        self.subscriber = subscriber
        self._broker = broker
        self._pattern = pattern
        self._number = request.subscription
        self._sink = sink
        broker.subscribe(pattern, self)

    def observe(self, message: Message) -> None:
        """Pass it on."""
        self._sink.deliver(self._number, message, None, None)

    def add_credit(self, more: int) -> None:
        """Nothing waits for credit here."""

    def close(self) -> None:
        """Deliver nothing more."""
        self._broker.unsubscribe(self._pattern, self)


class ReplayFeed:
    """Stored messages as the client has credit for them."""

    def __init__(
        self,
        broker: Broker,
        subscriber: Subscriber,
        pattern: Exact | Wildcard,
        request: Subscribe,
        source: Replayed,
        sink: Sink,
    ) -> None:
        self._number = request.subscription
        self._sink = sink
        self._credits = Credits(request.credit, sink)
        known = None if source.positions is None else mapping.positions(source.positions)
        self._replay = Replay(
            broker, subscriber, pattern, source.start, self._take, self._take_live, known
        )

    @property
    def positions(self) -> tuple[Place, ...]:
        """Where it stands."""
        return mapping.places(self._replay.positions)

    def add_credit(self, more: int) -> None:
        """Go on."""
        self._credits.add(more)
        self._replay.resume()

    def close(self) -> None:
        """Deliver nothing more."""
        self._replay.close()

    def _take(self, record: Record) -> bool:
        if self._credits.left <= 0:
            return False
        self._credits.use()
        self._sink.deliver(self._number, record.message, mapping.place_of(record), None)
        return True

    def _take_live(self, message: Message) -> None:
        self._sink.deliver(self._number, message, None, None)


class GroupFeed:
    """A worker in the group's subscriptions."""

    positions: tuple[Place, ...] = ()

    def __init__(
        self,
        broker: Broker,
        subscriber: Subscriber,
        pattern: Exact | Wildcard,
        request: Subscribe,
        source: Grouped,
        sink: Sink,
    ) -> None:
        self.subscriber = subscriber
        self._number = request.subscription
        self._sink = sink
        self._credits = Credits(request.credit, sink)
        self.membership = Membership(
            broker,
            source.name,
            pattern,
            source.start,
            mapping.shared_settings(source.settings),
            self,
        )

    @property
    def credit(self) -> int:
        """As ``Worker`` has it."""
        return self._credits.left

    def work(self, source: int, delivery: Delivery) -> None:
        """As ``Worker`` has it."""
        self._credits.use()
        record = delivery.record
        lease = Lease(source, delivery.lease, delivery.attempt)
        self._sink.deliver(self._number, record.message, mapping.place_of(record), lease)

    def add_credit(self, more: int) -> None:
        """Take more work."""
        self._credits.add(more)
        self.membership.dispatch()

    def close(self) -> None:
        """Leave; what is not settled goes to the others."""
        self.membership.leave()


Feed: TypeAlias = LiveFeed | ReplayFeed | GroupFeed


def open_feed(
    broker: Broker,
    subscriber: Subscriber,
    pattern: Exact | Wildcard,
    request: Subscribe,
    sink: Sink,
) -> Feed:
    """The feed that the request asks for. Raises DeniedError, StorageError, InvalidAddressError."""
    source = request.source
    if source is None:
        return LiveFeed(broker, subscriber, pattern, request, sink)
    if isinstance(source, Replayed):
        return ReplayFeed(broker, subscriber, pattern, request, source, sink)
    return GroupFeed(broker, subscriber, pattern, request, source, sink)
