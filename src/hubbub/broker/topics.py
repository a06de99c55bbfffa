"""Topics and the catalogue of them, which is itself a compacted topic."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from hubbub.broker.names import QUEUED, is_reserved
from hubbub.broker.partition import Partition
from hubbub.broker.router import Router
from hubbub.broker.state import STATE_SETTINGS, StateLog
from hubbub.model.address import Address
from hubbub.model.errors import (
    DeniedError,
    HubbubError,
    InvalidAddressError,
    InvalidSettingsError,
    TopicExistsError,
)
from hubbub.model.faults import contain
from hubbub.model.pattern import Exact, parse_pattern
from hubbub.model.settings import TopicSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubbub.broker.timers import Timers
    from hubbub.log.seam import Log
    from hubbub.model.pattern import Pattern

# Each partition costs a file and an index in memory; Kafka advises against more on one broker.
MAX_PARTITIONS = 10_000

_CATALOGUE_NUMBER = 0
_NEXT_NUMBER_KEY = b""  # no topic has an empty name


class TopicEntry(msgspec.Struct, frozen=True):
    """A topic as the catalogue stores it."""

    number: int
    id: uuid.UUID
    partitions: int
    settings: TopicSettings
    created_ms: int


class Topic:
    """A named log that remembers what is published to its name and to what it captures."""

    def __init__(self, name: Address, entry: TopicEntry) -> None:
        self.name = name
        self.number = entry.number
        self.id = entry.id
        self.created_ms = entry.created_ms
        self.settings = entry.settings
        self.internal = is_reserved(name)
        self.queued = name == QUEUED  # it holds what waits in queues, a copy of what others hold
        self.partitions: list[Partition] = []

    @property
    def entry(self) -> TopicEntry:
        """What the catalogue stores."""
        return TopicEntry(
            self.number, self.id, len(self.partitions), self.settings, self.created_ms
        )

    def captures(self) -> list[Pattern]:
        """The patterns of all addresses that the topic remembers."""
        return [Exact(self.name), *map(parse_pattern, self.settings.captures)]


class Catalogue:
    """All topics. A change is in the log before it is in effect, and durable with the next sync."""

    def __init__(self, log: Log, timers: Timers, max_partitions: int = MAX_PARTITIONS) -> None:
        self._log = log
        self._max_partitions = max_partitions
        self._timers = timers
        self._topics: dict[Address, Topic] = {}
        self._by_id: dict[uuid.UUID, Topic] = {}
        self._next_number = _CATALOGUE_NUMBER + 1
        self._state = StateLog(log.open(_CATALOGUE_NUMBER, 0, STATE_SETTINGS), timers)
        self._watchers: list[Callable[[Topic], None]] = []
        self.capturing: Router[Topic] = Router()
        self._borrowed: Counter[tuple[Topic, Pattern]] = Counter()
        self._load()

    def __iter__(self) -> Iterator[Topic]:
        return iter([self._topics[name] for name in sorted(self._topics)])

    def get(self, name: Address) -> Topic | None:
        """The topic of that name."""
        return self._topics.get(name)

    def by_id(self, topic_id: uuid.UUID) -> Topic | None:
        """The topic of that id, which no later topic of the same name shares."""
        return self._by_id.get(topic_id)

    def holders(self, address: Address) -> list[Topic]:
        """The topics in which clients find what is published to the address."""
        return [topic for topic in self.capturing.route(address) if not topic.queued]

    def capture(self, topic: Topic, pattern: Pattern) -> None:
        """Let ``topic`` remember what matches, until it was released as often as captured.

        It is none of the topic's settings, and not stored.
        """
        self._borrowed[topic, pattern] += 1
        if self._borrowed[topic, pattern] == 1:
            self.capturing.add(pattern, topic)

    def release(self, topic: Topic, pattern: Pattern) -> None:
        """Undo one ``capture``."""
        self._borrowed[topic, pattern] -= 1
        if not self._borrowed[topic, pattern]:
            del self._borrowed[topic, pattern]
            self.capturing.remove(pattern, topic)

    def watch(self, call: Callable[[Topic], None]) -> Callable[[], None]:
        """Call ``call`` with each topic that is made or gets partitions; the result undoes it."""
        self._watchers.append(call)
        return lambda: self._watchers.remove(call)

    def create(
        self, name: Address, partitions: int = 1, settings: TopicSettings | None = None
    ) -> Topic:
        """A new topic.

        Raises: TopicExistsError, InvalidAddressError, InvalidSettingsError, DeniedError for a
            reserved name, StorageError.
        """
        if is_reserved(name):
            raise DeniedError(f"{name} is a reserved name")
        return self.create_internal(name, partitions, settings)

    def create_internal(
        self, name: Address, partitions: int, settings: TopicSettings | None = None
    ) -> Topic:
        """As ``create``, for the broker's own topics."""
        if name in self._topics:
            raise TopicExistsError(f"topic {name} exists")
        if not name:
            raise InvalidAddressError("a topic has a name")
        _check_partitions(partitions)
        settings = settings or TopicSettings()
        check_captures(settings)
        if not is_reserved(name):  # which a broker cannot start without
            self._check_room(partitions)
        number, self._next_number = self._next_number, self._next_number + 1
        entry = TopicEntry(number, uuid.uuid4(), partitions, settings, self._timers.wall_ms)
        topic = Topic(name, entry)
        try:
            # First what may fail for want of files or space, then the entry that makes it a topic.
            self._open_partitions(topic, partitions)
            self._state.put(
                (name.encode(), msgspec.json.encode(entry)),
                (_NEXT_NUMBER_KEY, msgspec.json.encode(self._next_number)),
            )
        except HubbubError:
            self._log.remove(number)
            raise
        self._register(topic)
        self._tell(topic)
        return topic

    def delete(self, topic: Topic) -> None:
        """Forget the topic and, once that is durable, its messages."""
        self._state.put((topic.name.encode(), None))
        del self._topics[topic.name]
        del self._by_id[topic.id]
        for pattern in topic.captures():
            self.capturing.remove(pattern, topic)
        for partition in topic.partitions:
            partition.close()
        self.when_durable(lambda failure: None if failure else self._log.remove(topic.number))

    def add_partitions(self, topic: Topic, total: int) -> None:
        """Give the topic ``total`` partitions; keys move, as in Kafka."""
        _check_partitions(total)
        if total <= len(topic.partitions):
            raise InvalidSettingsError(f"{topic.name} has {len(topic.partitions)} partitions")
        self._check_room(total - len(topic.partitions))
        before = len(topic.partitions)
        try:
            self._open_partitions(topic, total)
            self._save_entry(topic, topic.entry)
        except HubbubError:
            del topic.partitions[before:]  # their empty files are used when it is tried again
            raise
        self._tell(topic)

    def change(self, topic: Topic, settings: TopicSettings) -> None:
        """Replace the topic's settings; in effect at once."""
        check_captures(settings)
        self._save_entry(topic, msgspec.structs.replace(topic.entry, settings=settings))
        for pattern in topic.captures():
            self.capturing.remove(pattern, topic)
        topic.settings = settings
        for pattern in topic.captures():
            self.capturing.add(pattern, topic)
        for partition in topic.partitions:
            partition.log.settings = settings

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once every change made so far survives power loss, or with the failure."""
        self._state.when_durable(done)

    def _load(self) -> None:
        entries = self._state.load()
        stored_next = entries.pop(_NEXT_NUMBER_KEY, None)
        if stored_next is not None:
            self._next_number = msgspec.json.decode(stored_next, type=int)
        for key, value in entries.items():
            entry = msgspec.json.decode(value, type=TopicEntry)
            topic = Topic(Address(key.decode()), entry)
            self._open_partitions(topic, entry.partitions)
            self._register(topic)
        self._log.retain({_CATALOGUE_NUMBER, *(topic.number for topic in self)})

    def _register(self, topic: Topic) -> None:
        self._topics[topic.name] = topic
        self._by_id[topic.id] = topic
        for pattern in topic.captures():
            self.capturing.add(pattern, topic)

    def _check_room(self, more: int) -> None:
        total = sum(len(topic.partitions) for topic in self)
        if total + more > self._max_partitions:
            raise InvalidSettingsError(
                f"the broker has {total} of at most {self._max_partitions} partitions"
            )

    def _open_partitions(self, topic: Topic, total: int) -> None:
        for index in range(len(topic.partitions), total):
            log = self._log.open(topic.number, index, topic.settings)
            topic.partitions.append(Partition(topic, index, log))

    def _tell(self, topic: Topic) -> None:
        for call in tuple(self._watchers):
            contain(call, topic)

    def _save_entry(self, topic: Topic, entry: TopicEntry) -> None:
        self._state.put((topic.name.encode(), msgspec.json.encode(entry)))


def check_captures(settings: TopicSettings) -> None:
    """Refuse settings whose captures are no patterns, or reach for the broker's own state."""
    for text in settings.captures:
        try:
            pattern = parse_pattern(text)
        except HubbubError as error:
            raise InvalidSettingsError(f"captures: {error}") from error
        if isinstance(pattern, Exact) and is_reserved(pattern.address):
            raise InvalidSettingsError(f"captures: {text} is a reserved name")


def _check_partitions(partitions: int) -> None:
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise InvalidSettingsError(f"a topic has 1 to {MAX_PARTITIONS} partitions")
