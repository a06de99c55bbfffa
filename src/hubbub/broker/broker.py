"""The facade that every listener, the Python API and the command line talk to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from hubbub.broker import names
from hubbub.broker.access import AllowAll
from hubbub.broker.config import BrokerConfig
from hubbub.broker.decode import record_decoder
from hubbub.broker.groups import GroupCoordinator
from hubbub.broker.identity import Identity
from hubbub.broker.offsets import CommittedOffsets
from hubbub.broker.publication import Publication, Stored
from hubbub.broker.router import Router
from hubbub.broker.state import STATE_SETTINGS, StateLog
from hubbub.broker.subscriptions import Subscriptions
from hubbub.broker.topics import Catalogue
from hubbub.log.hashing import murmur2
from hubbub.log.records import encode_messages
from hubbub.model.errors import DeniedError, HubbubError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.access import Access, Action
    from hubbub.broker.observer import Observer
    from hubbub.broker.partition import Partition
    from hubbub.broker.timers import Timers
    from hubbub.broker.topics import Topic
    from hubbub.log.seam import Appended, Log, PartitionLog
    from hubbub.model.address import Address
    from hubbub.model.message import Message
    from hubbub.model.pattern import Pattern
    from hubbub.model.settings import TopicSettings

logger = logging.getLogger(__name__)


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
        state = self._internal(names.STATE).partitions[0].log
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
        if names.is_reserved(message.address):
            raise DeniedError(f"{message.address} is a reserved name")
        self._authorise(principal, "publish", message.address)
        if message.timestamp_ms < 0:
            message = msgspec.structs.replace(message, timestamp_ms=self.timers.wall_ms)
        topics = self.topics.capturing.route(message.address)
        if not topics:
            return Publication(self._deliver(message))
        home = self.topics.get(message.address) or topics[0]
        stored = [self._store(home, message)]
        failure = self._store_elsewhere(home, message, stored)
        return Publication(self._deliver(message), tuple(stored), failure)

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
        stored = [_stored(partition, appended)]
        failure: StorageError | None = None
        if not appended.duplicate and self._others_want(topic):
            for record in self.decode(bytes(batch), partition):
                failure = self._store_elsewhere(topic, record.message, stored) or failure
                self._deliver(record.message)
        return Publication(0, tuple(stored), failure)

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

    def may(self, principal: str, action: Action, target: Address | Pattern) -> bool:
        """Whether ``principal`` may do this."""
        return self.access.may(principal, action, target)

    def close(self) -> None:
        """Write down where every subscription stands and let go of the log."""
        try:
            self.subscriptions.store()
        finally:
            self.log.close()

    def _authorise(self, principal: str, action: Action, target: Address | Pattern) -> None:
        if not self.access.may(principal, action, target):
            raise DeniedError(f"{principal or 'anonymous'} may not {action} {target}")

    def _deliver(self, message: Message) -> int:
        delivered = 0
        for observer in self.observers.route(message.address):
            # Decided on the concrete address, because the pattern may cover what is denied.
            if self.access.may(observer.subscriber.principal, "receive", message.address):
                observer.observe(message)
                delivered += 1
        return delivered

    def _store(self, topic: Topic, message: Message) -> Stored:
        partition = topic.partitions[_partition_of(message, len(topic.partitions))]
        batch = encode_messages([message], topic.name)
        return _stored(partition, partition.log.append(batch, self.timers.wall_ms))

    def _store_elsewhere(
        self, home: Topic, message: Message, stored: list[Stored]
    ) -> StorageError | None:
        """Store what ``home`` holds in the other topics that capture its address.

        What one of them refuses by its settings is its own affair; a disk that refuses is told to the
        publisher when it asks whether the message is durable.
        """
        failure: StorageError | None = None
        for topic in self.topics.capturing.route(message.address):
            if topic is home:
                continue
            try:
                stored.append(self._store(topic, message))
            except StorageError as error:
                failure = error
            except HubbubError as error:
                logger.warning("%s refused a message to %s: %s", topic.name, message.address, error)
        return failure

    def _others_want(self, topic: Topic) -> bool:
        # A record's own address may differ from the topic's name only where the topic captures more.
        return bool(
            self.observers.route(topic.name)
            or topic.settings.captures
            or len(self.topics.capturing.route(topic.name)) > 1
        )

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

    def _internal(self, name: Address) -> Topic:
        return self.topics.get(name) or self.topics.create_internal(name, 1, STATE_SETTINGS)

    def _clean(self) -> None:
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


def _stored(partition: Partition, appended: Appended) -> Stored:
    return Stored(
        partition.log,
        partition.topic.name,
        partition.index,
        appended.base_offset,
        appended.next_offset,
    )


def _partition_of(message: Message, count: int) -> int:
    """Kafka's partition of the key; without one of the address, whose order is kept then."""
    if count == 1:
        return 0
    key = message.address.encode() if message.key is None else message.key
    return (murmur2(key) & 0x7FFFFFFF) % count
