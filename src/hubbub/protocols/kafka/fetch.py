"""Fetch (1): stored batches as they are, now or as soon as there are enough of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.log.batch import scan
from hubbub.protocols.kafka.fetch_response import (
    FIRST_WITH_TOPIC_IDS,
    FetchedPartition,
    FetchedTopic,
    encode_fetch,
)
from hubbub.protocols.kafka.leader_epochs import check_current_epoch
from hubbub.protocols.kafka.lookup import find_partition
from hubbub.protocols.kafka.readable import check_readable, find_readable, find_readable_id
from hubbub.protocols.kafka.reader import MalformedRequestError
from hubbub.protocols.kafka.refusal import Refusal, attempt
from hubbub.protocols.kafka.versions import FETCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.partition import Partition
    from hubbub.broker.timers import Timer
    from hubbub.broker.topics import Topic
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

# What one response holds at most, its first batch aside. Clients ask for 50 MiB and come back for
# the rest; this is enough to hide the round trip, and bounds what a connection makes us hold.
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
# A consumer of ten thousand partitions reads them in one request; each costs a read of its log.
MAX_PARTITIONS_PER_REQUEST = 10_000
# What the waiting fetches of a connection watch together. A consumer has one of them, a client that
# pipelines a few; whoever asks for more is answered with what there is.
MAX_PARKED_PARTITIONS = 2 * MAX_PARTITIONS_PER_REQUEST

_READ_COMMITTED = 1
_UNKNOWN = -1


def handle(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answer at once if there are ``min_bytes``, or an error; else wait for them, ``max_wait`` long."""
    if getattr(request, "session_epoch", _UNKNOWN) > 0:
        # KIP-227: it goes on with a session, and none was ever made.
        error = ErrorCode.fetch_session_id_not_found
        reply(encode_fetch(context.api_version, (), error=error))
        return
    if sum(len(topic.partitions) for topic in request.topics) > MAX_PARTITIONS_PER_REQUEST:
        raise MalformedRequestError(f"a fetch of more than {MAX_PARTITIONS_PER_REQUEST} partitions")
    _Fetch(context, request, reply).start()


class _Fetch:
    """One request. While it waits it holds no messages, only how many bytes of them there are."""

    def __init__(self, context: RequestContext, request: Any, reply: Reply) -> None:
        self._context = context
        self._request = request
        self._reply = reply
        self._max_bytes = min(request.max_bytes, MAX_RESPONSE_BYTES)
        self._min_bytes = min(request.min_bytes, self._max_bytes)
        self._size = 0
        self._topics = [
            (topic, [_PartitionFetch(context, topic, wanted) for wanted in topic.partitions])
            for topic in request.topics
        ]
        self._partitions = [fetch for _, fetches in self._topics for fetch in fetches]
        self._timer: Timer | None = None
        self._watched: list[tuple[Partition, Callable[[], None]]] = []

    def start(self) -> None:
        """Answer, or wait."""
        for fetch in self._partitions:
            self._read(fetch)
        max_wait = self._request.max_wait.total_seconds()
        if (
            max_wait <= 0
            or not self._partitions
            or any(map(self._is_enough, self._partitions))
            or not self._may_park()
        ):
            self._answer()
        else:
            self._wait(max_wait)

    def _may_park(self) -> bool:
        parked = self._context.connection.parked_partitions
        return parked + len(self._partitions) <= MAX_PARKED_PARTITIONS

    def _read(self, fetch: _PartitionFetch) -> None:
        # KIP-74: the first batch of the response comes whatever the limits, or a client would never
        # get past a batch larger than they are.
        self._size += fetch.read(self._max_bytes - self._size, at_least_one=self._size == 0)

    def _is_enough(self, fetch: _PartitionFetch) -> bool:
        """Kafka's reasons not to wait: enough bytes, an error, or no room for what there is."""
        return bool(fetch.error) or self._size >= self._min_bytes or fetch.has_more()

    def _wait(self, seconds: float) -> None:
        self._timer = self._context.broker.timers.after(seconds, self._answer_late)
        self._context.connection.when_gone(self._stop)
        self._context.connection.parked_partitions += len(self._partitions)
        for fetch in self._partitions:
            fetch.drop()
            if fetch.partition is not None:
                moved = partial(self._moved, fetch)
                self._watched.append((fetch.partition, moved))
                fetch.partition.watch(moved)

    def _moved(self, fetch: _PartitionFetch) -> None:
        if not self._watched:  # asked for the partition twice, and answered for the first
            return
        self._read(fetch)
        if self._is_enough(fetch):
            self._answer_late()
        else:
            fetch.drop()

    def _answer_late(self) -> None:
        self._stop()
        if any(fetch.dropped for fetch in self._partitions):
            self._size = 0
            for fetch in self._partitions:
                fetch.rewind()
                self._read(fetch)
        self._answer()

    def _stop(self) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
        for partition, moved in self._watched:
            partition.unwatch(moved)
        self._watched.clear()
        self._context.connection.forget(self._stop)
        self._context.connection.parked_partitions -= len(self._partitions)

    def _answer(self) -> None:
        topics = [
            FetchedTopic(
                getattr(topic, "topic", ""),
                getattr(topic, "topic_id", None),
                [fetch.result() for fetch in fetches],
            )
            for topic, fetches in self._topics
        ]
        committed = self._request.isolation_level == _READ_COMMITTED
        self._reply(encode_fetch(self._context.api_version, topics, read_committed=committed))


class _PartitionFetch:
    """What is wanted of one partition, and what was read so far."""

    def __init__(self, context: RequestContext, topic: Any, wanted: Any) -> None:
        self._context = context
        self._wanted = wanted
        self._position: int = wanted.fetch_offset
        self._data = b""
        self._size = 0
        self.dropped = False
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
        limit = max(0, min(self._wanted.partition_max_bytes - self._size, room))
        data = attempt(self._read, self.partition, limit, at_least_one=at_least_one)
        if isinstance(data, Refusal):
            self.error = data.code
            return 0
        self._data = data
        self._size += len(data)
        return len(data)

    def has_more(self) -> bool:
        """Whether there is something to read behind what was read."""
        return self.partition is not None and self._end() < self.partition.log.durable_offset

    def drop(self) -> None:
        """Let go of what was read, though not of how much it was."""
        if self._data:
            self._position = self._end()
            self._data = b""
            self.dropped = True

    def rewind(self) -> None:
        """Begin again where the client wants to."""
        self._position = self._wanted.fetch_offset
        self._size = 0

    def result(self) -> FetchedPartition:
        """What the response says."""
        index = self._wanted.partition
        if self.error or self.partition is None:
            return FetchedPartition(index, self.error, _UNKNOWN, _UNKNOWN, b"")
        log = self.partition.log
        return FetchedPartition(index, 0, log.durable_offset, log.start_offset, self._data)

    def _end(self) -> int:
        if not self._data:
            return self._position
        return scan(self._data, check_crc=False)[-1].next_offset

    def _read(self, partition: Partition, limit: int, *, at_least_one: bool) -> bytes:
        if partition.closed:
            by_id = self._context.api_version >= FIRST_WITH_TOPIC_IDS
            code = ErrorCode.unknown_topic_id if by_id else ErrorCode.unknown_topic_or_partition
            raise Refusal(code, "The topic was deleted.")
        check_readable(self._context, partition.topic)  # the right may go while the fetch waits
        return partition.log.read(self._position, limit, at_least_one=at_least_one)


def _find_topic(context: RequestContext, wanted: Any) -> Topic:
    if context.api_version >= FIRST_WITH_TOPIC_IDS:
        return find_readable_id(context, wanted.topic_id)
    return find_readable(context, wanted.topic)


HANDLERS: dict[int, Handler] = {FETCH: handle}
