"""The facade that every listener, the Python API and the command line talk to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hubbub.broker import names
from hubbub.broker.access import AllowAll
from hubbub.broker.config import BrokerConfig
from hubbub.broker.decode import record_decoder
from hubbub.broker.dispatch import Dispatcher
from hubbub.broker.groups import GroupCoordinator
from hubbub.broker.identity import Identity
from hubbub.broker.offsets import CommittedOffsets
from hubbub.broker.publication import Publication, Stored
from hubbub.broker.queues import QUEUED_SETTINGS, Queues
from hubbub.broker.retained import RETAINED_SETTINGS, Retained
from hubbub.broker.router import Router
from hubbub.broker.routes import Routes
from hubbub.broker.state import STATE_SETTINGS, StateLog
from hubbub.broker.subscriptions import Subscriptions
from hubbub.broker.topics import Catalogue
from hubbub.broker.work_queues import WorkQueues
from hubbub.log.batch import stamp
from hubbub.model.errors import DeniedError, HubbubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.access import Access, Action
    from hubbub.broker.observer import Observer
    from hubbub.broker.partition import Partition
    from hubbub.broker.timers import Timers
    from hubbub.broker.topics import Topic
    from hubbub.log.seam import Log, PartitionLog
    from hubbub.model.address import Address
    from hubbub.model.message import Message
    from hubbub.model.pattern import Pattern
    from hubbub.model.settings import TopicSettings


class Broker:
    """Publish, subscribe and look up. One thread's, driven by whoever advances ``timers``."""

    def __init__(
        self,
        log: Log,
        timers: Timers,
        config: BrokerConfig | None = None,
        access: Access | None = None,
    ) -> None:
        self.log = log
        self.timers = timers
        self.config = config or BrokerConfig()
        self.access: Access = access or AllowAll()
        self.topics = Catalogue(log, timers, self.config.max_partitions)
        self.observers: Router[Observer] = Router()
        self.routes = Routes(self.observers, self.topics)
        self.dispatcher = Dispatcher(self.routes, self.access, timers)
        state = self._state = self._internal(names.STATE).partitions[0].log
        self.retained = Retained(
            StateLog(self._internal(names.RETAINED, RETAINED_SETTINGS).partitions[0].log, timers),
            timers,
        )
        self.identity = Identity(StateLog(state, timers, b"broker"))
        self.cluster_id = self.identity.cluster_id
        self.decode = record_decoder(self.topics)
        self.subscriptions = Subscriptions(
            StateLog(state, timers, b"subscriptions"),
            self.topics,
            timers,
            self.decode,
            self._publish_dead_letter,
            lambda principal, address: self.access.may(principal, "receive", address),
        )
        self.queues = Queues(
            StateLog(state, timers, b"queues"),
            self.topics,
            self._internal(names.QUEUED, QUEUED_SETTINGS),
            timers,
            self._publish_dead_letter,
            lambda principal, address: self.access.may(principal, "receive", address),
        )
        self.work_queues = WorkQueues(
            StateLog(state, timers, b"work-queues"), self.topics, log, timers
        )
        committed = self._internal(names.CONSUMER_OFFSETS)
        self.offsets = CommittedOffsets(
            [partition.log for partition in committed.partitions], timers
        )
        self.groups = GroupCoordinator(timers, self.offsets, self.config)
        timers.after(self.config.cleaning_interval, self._clean)

    # Live

    def subscribe(self, pattern: Pattern, observer: Observer) -> None:
        """Give ``observer`` every message published from now on that matches. Raises DeniedError."""
        self._authorise(observer.subscriber.principal, "subscribe", pattern)
        self.observers.add(pattern, observer)

    def unsubscribe(self, pattern: Pattern, observer: Observer) -> None:
        """Undo ``subscribe``."""
        self.observers.remove(pattern, observer)

    def publish(self, message: Message, principal: str = "") -> Publication:
        """Store the message where topics capture its address, then hand it to every observer.

        The topic of that name, else the first that captures the address, decides whether it is
        taken; what it refuses nobody gets.

        Raises: DeniedError, MessageTooLargeError, MissingKeyError, StorageError.
        """
        if message.timestamp_ms < 0:
            message = msgspec.structs.replace(message, timestamp_ms=self.timers.wall_ms)
        return self.dispatcher.publish(self.routes.of(message.address), message, principal)

    # Stored

    def append(self, partition: Partition, batch: bytes, principal: str = "") -> Publication:
        """Append a record batch as received, and publish its records to everyone else.

        Raises: what ``PartitionLog.append`` raises, and DeniedError.
        """
        topic = partition.topic
        if topic.internal:
            raise DeniedError(f"{topic.name} is a reserved name")
        self._authorise(principal, "publish", topic.name)
        appended = partition.log.append(batch, self.timers.wall_ms)
        stored = Stored(
            partition.log, topic.name, partition.index, appended.base_offset, appended.next_offset
        )
        if appended.duplicate:
            return Publication(0, (stored,))
        whole = bytes(batch)
        if appended.append_time_ms >= 0:  # which is what others see, too
            whole = stamp(whole, appended.base_offset, append_time_ms=appended.append_time_ms)
        return self._pass_on(topic, partition, whole, stored)

    def topic_for(self, address: Address) -> Topic:
        """The topic of that name, made if need be; raises as ``Catalogue.create``."""
        return self.topics.get(address) or self.create_topic(address)

    def create_topic(
        self, name: Address, partitions: int | None = None, settings: TopicSettings | None = None
    ) -> Topic:
        """A new topic, with the default number of partitions unless said otherwise."""
        count = self.config.default_partitions if partitions is None else partitions
        return self.topics.create(name, count, settings)

    def delete_topic(self, topic: Topic) -> None:
        """Forget the topic, its messages, and where everyone stood in it."""
        if topic.internal:
            raise DeniedError(f"{topic.name} is a reserved name")
        self.subscriptions.topic_deleted(topic)
        self.offsets.delete_topic(topic.name)
        self.topics.delete(topic)

    def table(self, name: bytes) -> StateLog:
        """A table of that name in the broker's state, for what a listener has to remember."""
        return StateLog(self._state, self.timers, name)

    def may(self, principal: str, action: Action, target: Address | Pattern) -> bool:
        """Whether ``principal`` may do this."""
        return self.access.may(principal, action, target)

    def store(self) -> None:
        """Write down where every subscription and queue stands. Raises StorageError."""
        self.subscriptions.store()
        self.queues.store()

    def close(self) -> None:
        """Write down where everyone stands and let go of the log."""
        try:
            self.store()
            self.work_queues.close()
        finally:
            self.log.close()

    def _authorise(self, principal: str, action: Action, target: Address | Pattern) -> None:
        if not self.access.may(principal, action, target):
            raise DeniedError(f"{principal or 'anonymous'} may not {action} {target}")

    def _pass_on(
        self, topic: Topic, partition: Partition, batch: bytes, stored: Stored
    ) -> Publication:
        """Publish to everyone else what the topic now holds."""
        if topic.settings.captures:  # so that a record's address may be another one
            outcomes = [
                self.dispatcher.pass_on_message(
                    self.routes.of(record.message.address), record.message, topic
                )
                for record in self.decode(batch, partition)
            ]
        else:
            route = self.routes.of(topic.name)
            if not route.observers and len(route.topics) == 1:
                return Publication(0, (stored,))
            outcomes = [self.dispatcher.pass_on(route, batch)]
        elsewhere = [place for places, _ in outcomes for place in places]
        failure = next((failure for _, failure in outcomes if failure is not None), None)
        return Publication(0, (stored, *elsewhere), failure)

    def _publish_dead_letter(
        self,
        target: Address,
        message: Message,
        subscription: str,
        done: Callable[[Exception | None], None],
    ) -> None:
        headers = (
            *message.headers,
            ("dead-letter-address", message.address.encode()),
            ("dead-letter-subscription", subscription.encode()),
        )
        try:
            self.topic_for(target)
            letter = msgspec.structs.replace(message, address=target, headers=headers)
            self.publish(letter).when_durable(done)
        except HubbubError as error:
            done(error)

    def _internal(self, name: Address, settings: TopicSettings = STATE_SETTINGS) -> Topic:
        return self.topics.get(name) or self.topics.create_internal(name, 1, settings)

    def _clean(self) -> None:
        self.queues.trim()
        self.work_queues.trim()
        self._clean_next([part.log for topic in self.topics for part in topic.partitions])

    def _clean_next(self, logs: list[PartitionLog]) -> None:
        """One step a turn: compaction reads and writes, and the others have work to do."""
        if not logs:
            self.timers.after(self.config.cleaning_interval, self._clean)
            return
        self.timers.after(0, lambda: self._clean_next(logs))
        log = logs.pop()
        if log.clean(self.timers.wall_ms):
            logs.append(log)
