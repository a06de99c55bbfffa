"""All shared subscriptions: made once, kept in the state topic, there again after a restart."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import msgspec

from hubbub.broker.cursor import CursorState
from hubbub.broker.shared import (
    SharedSettings,
    SharedSubscription,
    decode_settings,
    encode_settings,
)
from hubbub.broker.tail import start_offset
from hubbub.model.errors import InvalidSettingsError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubbub.broker.decode import RecordDecoder
    from hubbub.broker.shared import DeadLetter
    from hubbub.broker.state import StateLog
    from hubbub.broker.tail import Start
    from hubbub.broker.timers import Timer, Timers
    from hubbub.broker.topics import Catalogue, Topic
    from hubbub.model.address import Address

# The name is part of every cursor's key; Kafka's and AMQP's names end here, too.
MAX_NAME_BYTES = 255
# How often a cursor that cannot be stored (a full disk) is tried again, in seconds.
_STORE_AGAIN_AFTER = 1.0


class SettingsKey(msgspec.Struct, frozen=True, tag="subscription", tag_field="of"):
    """Names a subscription's settings in the state topic."""

    name: str
    topic: uuid.UUID


class CursorKey(msgspec.Struct, frozen=True, tag="cursor", tag_field="of"):
    """Names a subscription's place in one partition."""

    name: str
    topic: uuid.UUID
    partition: int


class Subscriptions:
    """Shared subscriptions by name and topic."""

    def __init__(
        self,
        state: StateLog,
        topics: Catalogue,
        timers: Timers,
        decode: RecordDecoder,
        dead_letter: DeadLetter,
        may_receive: Callable[[str, Address], bool],
    ) -> None:
        self._state = state
        self._topics = topics
        self._timers = timers
        self._decode = decode
        self._dead_letter = dead_letter
        self._may_receive = may_receive
        self._subscriptions: dict[SettingsKey, SharedSubscription] = {}
        self._dirty: dict[CursorKey, SharedSubscription] = {}
        self._turn: Timer | None = None
        self._load()
        topics.watch(self._topic_grew)

    def __iter__(self) -> Iterator[SharedSubscription]:
        return iter(tuple(self._subscriptions.values()))

    def get(self, name: str, topic: Topic) -> SharedSubscription | None:
        """The subscription of that name over the topic."""
        return self._subscriptions.get(SettingsKey(name, topic.id))

    def open(
        self, name: str, topic: Topic, start: Start = "new", settings: SharedSettings | None = None
    ) -> SharedSubscription:
        """The subscription, made at ``start`` where it is new. Raises StorageError."""
        key = SettingsKey(name, topic.id)
        found = self._subscriptions.get(key)
        if found is not None:
            if settings is not None and settings != found.settings:
                self._state.put((msgspec.json.encode(key), encode_settings(settings)))
                found.settings = settings
            return found
        if len(name.encode()) > MAX_NAME_BYTES:
            raise InvalidSettingsError(f"a subscription's name has at most {MAX_NAME_BYTES} bytes")
        settings = settings or SharedSettings()
        self._state.put((msgspec.json.encode(key), encode_settings(settings)))
        subscription = self._make(key, topic, settings)
        for partition in topic.partitions:
            subscription.open(partition.index, CursorState(start_offset(partition, start)))
            self._changed(subscription, partition.index)
        return subscription

    def delete(self, subscription: SharedSubscription) -> None:
        """Forget the subscription. Raises StorageError."""
        key = SettingsKey(subscription.name, subscription.topic.id)
        cursors = [CursorKey(key.name, key.topic, index) for index in subscription.cursors]
        self._state.put(*((msgspec.json.encode(name), None) for name in (key, *cursors)))
        subscription.close()
        del self._subscriptions[key]
        for cursor in cursors:
            self._dirty.pop(cursor, None)

    def topic_deleted(self, topic: Topic) -> None:
        """Forget every subscription over the topic."""
        for subscription in self:
            if subscription.topic is topic:
                self.delete(subscription)

    def store(self) -> None:
        """Write down where every subscription stands. Raises StorageError."""
        pairs = [
            (msgspec.json.encode(key), msgspec.json.encode(found.cursors[key.partition].state))
            for key, found in self._dirty.items()
        ]
        if pairs:
            self._state.put(*pairs)
        self._dirty.clear()

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once every change made so far survives power loss, or with the failure."""
        self._state.when_durable(done)

    def _make(self, key: SettingsKey, topic: Topic, settings: SharedSettings) -> SharedSubscription:
        subscription = SharedSubscription(
            key.name,
            topic,
            settings,
            self._timers,
            self._decode,
            self._dead_letter,
            self._may_receive,
            self._changed,
        )
        self._subscriptions[key] = subscription
        return subscription

    def _changed(self, subscription: SharedSubscription, partition: int) -> None:
        if SettingsKey(subscription.name, subscription.topic.id) not in self._subscriptions:
            return  # deleted while a dead letter was on its way
        key = CursorKey(subscription.name, subscription.topic.id, partition)
        self._dirty[key] = subscription
        if self._turn is None:
            self._turn = self._timers.after(0, self._store_in_turn)

    def _store_in_turn(self) -> None:
        self._turn = None
        try:
            self.store()
        except StorageError:
            self._turn = self._timers.after(_STORE_AGAIN_AFTER, self._store_in_turn)

    def _topic_grew(self, topic: Topic) -> None:
        for subscription in self:
            if subscription.topic is topic:
                for index in range(len(subscription.cursors), len(topic.partitions)):
                    subscription.open(index, CursorState(0))

    def _load(self) -> None:
        cursors: dict[CursorKey, CursorState] = {}
        for raw, value in self._state.load().items():
            key = msgspec.json.decode(raw, type=SettingsKey | CursorKey)
            if isinstance(key, CursorKey):
                cursors[key] = msgspec.json.decode(value, type=CursorState)
                continue
            topic = self._topics.by_id(key.topic)
            if topic is not None:
                self._make(key, topic, decode_settings(value))
        for subscription in self:
            for partition in subscription.topic.partitions:
                place = CursorKey(subscription.name, subscription.topic.id, partition.index)
                fresh = CursorState(partition.log.start_offset)
                state = cursors.get(place, fresh).before(partition.log.end_offset)
                subscription.open(partition.index, state)
