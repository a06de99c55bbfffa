"""One consumer in the shared subscriptions of all topics that a pattern names."""

from __future__ import annotations

import logging
from itertools import count
from typing import TYPE_CHECKING, Protocol

from hubbub.model.errors import DeniedError, HubbubError, StorageError
from hubbub.model.pattern import Exact

if TYPE_CHECKING:
    from hubbub.broker.broker import Broker
    from hubbub.broker.observer import Subscriber
    from hubbub.broker.shared import Delivery, SharedSettings, SharedSubscription
    from hubbub.broker.tail import Start
    from hubbub.broker.topics import Topic
    from hubbub.model.pattern import Wildcard

logger = logging.getLogger(__name__)

# How often a subscription that cannot be stored (a full disk) is tried again, in seconds.
_JOIN_AGAIN_AFTER = 1.0


class Worker(Protocol):
    """Who does the work. ``credit`` is how many more deliveries it would take right now."""

    @property
    def subscriber(self) -> Subscriber:
        """Who it is."""

    @property
    def credit(self) -> int:
        """How many more deliveries it has room for."""

    def work(self, source: int, delivery: Delivery) -> None:
        """Take one, from the subscription ``source`` of the membership. Never raises."""


class _Member:
    """The worker as the consumer of one of the subscriptions."""

    def __init__(self, worker: Worker, source: int) -> None:
        self.subscriber = worker.subscriber
        self._worker = worker
        self._source = source

    @property
    def credit(self) -> int:
        return self._worker.credit

    def deliver(self, delivery: Delivery) -> None:
        self._worker.work(self._source, delivery)


class Membership:
    """A worker's share of the subscriptions called ``name``.

    They are over every topic that ``pattern`` names now or later; the topic of an exact pattern is
    made if need be. Where a subscription is new it begins at ``start``. ``settings`` of None leave those of an
    existing one as they are.

    Raises:
        DeniedError, StorageError, InvalidAddressError: as when the topic is made. Then it has joined
            nothing.
    """

    def __init__(
        self,
        broker: Broker,
        name: str,
        pattern: Exact | Wildcard,
        start: Start,
        settings: SharedSettings | None,
        worker: Worker,
    ) -> None:
        self._broker = broker
        self._name = name
        self._pattern = pattern
        self._settings = settings
        self._worker = worker
        self._sources: dict[int, tuple[SharedSubscription, _Member]] = {}
        self._numbers = count()  # a lease names its source, so none stands for another later
        self._left = False
        principal = worker.subscriber.principal
        if not broker.may(principal, "subscribe", pattern):
            raise DeniedError(f"{principal or 'anonymous'} may not subscribe {pattern}")
        if isinstance(pattern, Exact) and broker.topic_for(pattern.address).internal:
            raise DeniedError(f"{pattern} is a reserved name")
        self._unwatch = broker.topics.watch(self._join_new)
        try:
            for topic in broker.topics:
                self._join(topic, start)
        except BaseException:
            self.leave()
            raise

    def ack(self, source: int, lease: int) -> bool:
        """Settle a delivery; False if there is no such lease any more."""
        return self._holds(source) and self._sources[source][0].ack(lease)

    def nack(self, source: int, lease: int, delay: float | None) -> bool:
        """Give a delivery back, to come again after ``delay`` seconds."""
        return self._holds(source) and self._sources[source][0].nack(lease, delay)

    def extend(self, source: int, lease: int, seconds: float) -> bool:
        """Move the deadline of a delivery to ``seconds`` from now."""
        return self._holds(source) and self._sources[source][0].extend(lease, seconds)

    def dispatch(self) -> None:
        """The worker has credit again."""
        for subscription, _ in self._sources.values():
            subscription.dispatch()

    def leave(self) -> None:
        """Give back what is held, for the others to have."""
        self._left = True
        self._unwatch()
        for subscription, member in self._sources.values():
            subscription.leave(member)

    def _join_new(self, topic: Topic) -> None:
        """Join a topic that was made just now. Whoever made it has no use for our errors."""
        self._forget_deleted()
        if self._left or not self._exists(topic):
            return
        try:
            self._join(topic, "beginning")
        except HubbubError as error:
            logger.warning("%s cannot join topic %s: %s", self._name, topic.name, error)
            if isinstance(error, StorageError):
                self._broker.timers.after(_JOIN_AGAIN_AFTER, lambda: self._join_new(topic))

    def _forget_deleted(self) -> None:
        self._sources = {
            number: source
            for number, source in self._sources.items()
            if self._exists(source[0].topic)
        }

    def _exists(self, topic: Topic) -> bool:
        return self._broker.topics.by_id(topic.id) is topic

    def _join(self, topic: Topic, start: Start) -> None:
        if topic.internal or not self._pattern.matches(topic.name):
            return
        subscription = self._broker.subscriptions.open(self._name, topic, start, self._settings)
        if any(joined is subscription for joined, _ in self._sources.values()):
            return
        source = next(self._numbers)
        member = _Member(self._worker, source)
        self._sources[source] = (subscription, member)
        subscription.join(member)

    def _holds(self, source: int) -> bool:
        return source in self._sources
