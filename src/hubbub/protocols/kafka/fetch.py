"""Fetch (1): stored batches as they are, now or as soon as there are enough of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.log.batch import scan
from hubbub.model.errors import HubbubError, OffsetOutOfRangeError
from hubbub.protocols.kafka.fetch_response import (
    FIRST_WITH_TOPIC_IDS,
    FetchedPartition,
    FetchedTopic,
    encode_fetch,
)
from hubbub.protocols.kafka.leader_epochs import check_current_epoch
from hubbub.protocols.kafka.lookup import find_partition
from hubbub.protocols.kafka.mapping import error_code
from hubbub.protocols.kafka.readable import check_readable, find_readable, find_readable_id
from hubbub.protocols.kafka.refusal import Refusal
from hubbub.protocols.kafka.versions import FETCH

if TYPE_CHECKING:
    from hubbub.broker.partition import Partition
    from hubbub.broker.timers import Timer
    from hubbub.broker.topics import Topic
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

# What one response holds at most, its first batch aside. Clients ask for 50 MiB and come back for
# the rest; this is enough to hide the round trip, and bounds what a connection makes us hold.
MAX_RESPONSE_BYTES = 16 * 1024 * 1024

_READ_COMMITTED = 1
_UNKNOWN = -1


def handle(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answer at once if there are ``min_bytes``, or an error; else wait for them, ``max_wait`` long."""
    if getattr(request, "session_epoch", _UNKNOWN) > 0:
        # KIP-227: it goes on with a session, and none was ever made.
        error = ErrorCode.fetch_session_id_not_found
        reply(encode_fetch(context.api_version, (), error=error))
        return
    _Fetch(context, request, reply).start()


class _Fetch:
    """One request. What was read is kept while it waits, so nothing is read twice."""

    def __init__(self, context: RequestContext, request: Any, reply: Reply) -> None:
        self._context = context
        self._request = request
        self._reply = reply
        self._max_bytes = min(request.max_bytes, MAX_RESPONSE_BYTES)
        self._timer: Timer | None = None
        self._topics = [
            (topic, [_PartitionFetch(context, topic, wanted) for wanted in topic.partitions])
            for topic in request.topics
        ]
        self._partitions = [one for _, several in self._topics for one in several]

    def start(self) -> None:
        """Answer, or wait."""
        self._read()
        max_wait = self._request.max_wait.total_seconds()
        if max_wait <= 0 or self._is_enough():
            self._answer()
            return
        self._timer = self._context.broker.timers.after(max_wait, self._answer_late)
        for partition in self._watched():
            partition.watch(self._moved)
        self._context.connection.when_gone(self._stop)

    def _watched(self) -> list[Partition]:
        return [fetch.partition for fetch in self._partitions if fetch.partition is not None]

    def _moved(self) -> None:
        self._read()
        if self._is_enough():
            self._answer_late()

    def _answer_late(self) -> None:
        self._stop()
        self._answer()

    def _stop(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
        for partition in self._watched():
            partition.unwatch(self._moved)
        self._context.connection.forget(self._stop)

    def _read(self) -> None:
        total = sum(fetch.size for fetch in self._partitions)
        for fetch in self._partitions:
            # KIP-74: the first batch of the response comes whatever the limits, or a client would
            # never get past a batch larger than they are.
            total += fetch.read(self._max_bytes - total, at_least_one=total == 0)

    def _is_enough(self) -> bool:
        """Kafka's reasons not to wait: bytes, nothing asked for, an error, no room for more."""
        return (
            not self._partitions
            or any(fetch.error for fetch in self._partitions)
            or sum(fetch.size for fetch in self._partitions)
            >= min(self._request.min_bytes, self._max_bytes)
            or any(fetch.has_more() for fetch in self._partitions)
        )

    def _answer(self) -> None:
        version = self._context.api_version
        topics = [
            FetchedTopic(
                getattr(topic, "topic", ""),
                getattr(topic, "topic_id", None),
                [fetch.result() for fetch in partitions],
            )
            for topic, partitions in self._topics
        ]
        committed = self._request.isolation_level == _READ_COMMITTED
        self._reply(encode_fetch(version, topics, read_committed=committed))


class _PartitionFetch:
    """What is wanted of one partition, and what was read so far."""

    def __init__(self, context: RequestContext, topic: Any, wanted: Any) -> None:
        self._context = context
        self._index: int = wanted.partition
        self._next_offset: int = wanted.fetch_offset
        self._max_bytes: int = wanted.partition_max_bytes
        self._chunks: list[bytes] = []
        self._unscanned = b""  # the last chunk, as long as nobody needs to know where it ends
        self.size = 0
        self.error = ErrorCode.none
        self.partition: Partition | None = None
        try:
            self.partition = find_partition(_find_topic(context, topic), wanted.partition)
            check_current_epoch(getattr(wanted, "current_leader_epoch", _UNKNOWN))
        except Refusal as refusal:
            self.error = refusal.code

    def read(self, room: int, *, at_least_one: bool) -> int:
        """Read on; how many bytes that gave."""
        if self.error or self.partition is None:
            return 0
        if self.partition.closed:
            self.error = self._unknown_topic()
            return 0
        if self._chunks and not self.has_more():
            return 0
        limit = max(0, min(self._max_bytes - self.size, room))
        try:
            check_readable(self._context, self.partition.topic)  # the right may go while it waits
            data = self.partition.log.read(self._position(), limit, at_least_one=at_least_one)
        except Refusal as refusal:
            self.error = refusal.code
            return 0
        except HubbubError as error:
            # Retention may pass by while the request waits; what was read before is still good.
            if not (self._chunks and isinstance(error, OffsetOutOfRangeError)):
                self.error = error_code(error)
            return 0
        if data:
            self._chunks.append(data)
            self._unscanned = data
            self.size += len(data)
        return len(data)

    def has_more(self) -> bool:
        """Whether there is something to read behind what was read."""
        return self.partition is not None and self._position() < self.partition.log.durable_offset

    def result(self) -> FetchedPartition:
        """What the response says."""
        if self.error or self.partition is None:
            return FetchedPartition(self._index, self.error, _UNKNOWN, _UNKNOWN, ())
        log = self.partition.log
        return FetchedPartition(self._index, 0, log.durable_offset, log.start_offset, self._chunks)

    def _position(self) -> int:
        if self._unscanned:
            self._next_offset = scan(self._unscanned, check_crc=False)[-1].next_offset
            self._unscanned = b""
        return self._next_offset

    def _unknown_topic(self) -> ErrorCode:
        if self._context.api_version >= FIRST_WITH_TOPIC_IDS:
            return ErrorCode.unknown_topic_id
        return ErrorCode.unknown_topic_or_partition


def _find_topic(context: RequestContext, wanted: Any) -> Topic:
    if context.api_version >= FIRST_WITH_TOPIC_IDS:
        return find_readable_id(context, wanted.topic_id)
    return find_readable(context, wanted.topic)


HANDLERS: dict[int, Handler] = {FETCH: handle}
