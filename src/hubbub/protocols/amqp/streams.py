"""Stream queues (RabbitMQ: "Streams"): a topic that consumers read from where they like."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hubbub.broker.tail import FromOffset, FromTime, Start, Tail, start_offset
from hubbub.broker.work_queues import LOG_SETTINGS
from hubbub.log import batch
from hubbub.log.records import ADDRESS_HEADER, MARK_HEADER, parts_of
from hubbub.model.address import from_opaque
from hubbub.model.errors import HubbubError
from hubbub.model.settings import FOREVER, TopicSettings
from hubbub.protocols.amqp.deliveries import encode_delivery, routing_size
from hubbub.protocols.amqp.errors import not_implemented, precondition_failed
from hubbub.protocols.amqp.mapping import mark_of, message_of
from hubbub.protocols.amqp.marks import with_header
from hubbub.protocols.amqp.names import joined
from hubbub.protocols.amqp.receiving import may_receive
from hubbub.protocols.amqp.tables import Field
from hubbub.protocols.amqp.unacknowledged import PrefetchWindow

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.broker import Broker
    from hubbub.broker.partition import Partition
    from hubbub.broker.topics import Topic
    from hubbub.broker.work_item import Item
    from hubbub.model.address import Address
    from hubbub.model.message import Record
    from hubbub.protocols.amqp.channel import Channel
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.queue_arguments import QueueArguments

OFFSET = "x-stream-offset"
STREAM_PREFIX = "__hubbub_stream."
_INTERVAL = re.compile(r"(\d{1,9})([YMDhms])")
_SECONDS = {"Y": 31_536_000, "M": 2_592_000, "D": 86_400, "h": 3600, "m": 60, "s": 1}
_INTEGERS = frozenset("bBsuIilL")


def open_topic(broker: Broker, vhost: str, queue: AmqpQueue) -> Topic:
    """The topic of a stream, made if need be. Raises StorageError.

    It is the broker's own: a topic of the queue's name would capture what is published to the queue
    by the default exchange once more.
    """
    address = stream_address(vhost, queue.name)
    return broker.topics.get(address) or broker.topics.create_internal(
        address, 1, _settings(queue.parsed)
    )


def stream_address(vhost: str, name: str) -> Address:
    """The name of a stream's topic."""
    return from_opaque(f"{STREAM_PREFIX}{joined(vhost, name)}".encode())


def _settings(parsed: QueueArguments) -> TopicSettings:
    usual = TopicSettings()
    return TopicSettings(
        retention_ms=FOREVER if parsed.max_age_ms is None else parsed.max_age_ms,
        retention_bytes=FOREVER if parsed.max_bytes is None else parsed.max_bytes,
        segment_bytes=parsed.segment_bytes or usual.segment_bytes,
        max_message_bytes=LOG_SETTINGS.max_message_bytes,  # the listener has a limit
    )


class Stream:
    """What a stream queue appends to and its consumers read from."""

    def __init__(self, broker: Broker, topic: Topic) -> None:
        self._broker = broker
        self.topic = topic

    @property
    def partition(self) -> Partition:
        """The only one."""
        return self.topic.partitions[0]

    def put(self, item: Item) -> int:
        """Append a message; 0 where it cannot be stored."""
        try:
            self.append(item)
        except HubbubError:
            return 0
        return 1

    def append(self, item: Item) -> None:
        """Append a message. Raises what ``PartitionLog.append`` raises."""
        at = routing_size(item.mark)
        message = message_of(self.topic.name, item.value, item.mark[at:], item.timestamp_ms)
        timestamp, key, value, headers = parts_of(message, self.topic.name)
        headers = (
            (ADDRESS_HEADER, self.topic.name.encode()),
            (MARK_HEADER, item.mark),
            *headers,
        )
        data = batch.encode([(timestamp, key, value, headers)])
        self.partition.log.append(data, self._broker.timers.wall_ms, own=True)

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once all that was appended survives power loss, or with the failure."""
        log = self.partition.log
        log.when_durable(log.end_offset, done)

    def taker(self, channel: Channel, tag: str, queue: str, args: Any) -> StreamTaker:
        """A consumer. Raises ChannelError, ConnectionFailure."""
        if args.no_ack:
            raise not_implemented(f"automatic acknowledgement not supported by stream {queue}")
        if not channel.prefetch:
            raise precondition_failed(f"consumer prefetch count is not set for stream {queue}")
        start = _start(args.arguments.get(OFFSET), self._broker.timers.wall_ms)
        return StreamTaker(self, channel, tag.encode("utf-8", "surrogateescape"), queue, start)

    def read(self, offset: int, take: Callable[[Record], bool]) -> Tail[Record]:
        """Follow the stream."""
        return Tail(self.partition, offset, take, self._broker.timers, self._broker.decode)


class StreamTaker:
    """One consumer's way through a stream: an acknowledgement is credit for one more."""

    def __init__(
        self, stream: Stream, channel: Channel, tag: bytes, named: str, start: Start | str
    ) -> None:
        self._stream = stream
        self._channel = channel
        self._tag = tag
        self._window = PrefetchWindow(channel.prefetch)
        self._start = start
        self._tail: Tail[Record] | None = None
        self._entry = StreamEntry(StreamLeases(self, named))

    def begin(self) -> None:
        """Deliver from now on."""
        partition = self._stream.partition
        if self._start == "last":
            offset = _last_batch(partition)
        elif isinstance(self._start, FromOffset):
            # It may be on its way to the disk, or not be there yet.
            offset = max(self._start.offset, partition.log.start_offset)
        else:
            offset = start_offset(partition, self._start)  # type: ignore[arg-type]
        self._tail = self._stream.read(offset, self._take)

    def end(self) -> None:
        """Deliver no more."""
        if self._tail is not None:
            self._tail.close()
            self._tail = None
        self._channel.limits.unacknowledged.forget_consumer(self._window)

    def wake(self) -> None:
        """There may be room again."""
        if self._tail is not None:
            self._tail.resume()

    def _take(self, record: Record) -> bool:
        limits, connection = self._channel.limits, self._channel.connection
        if self._window.outstanding >= self._window.prefetch or not limits.is_flowing:
            return False
        if limits.is_behind():
            return False
        mark = record.mark or mark_of(record.message, persistent=True)
        if self._channel.has_limited_access and not may_receive(self._channel, mark):
            return True  # others may have it: it stays where it is
        tag = limits.unacknowledged.push(self._entry, self._window)
        mark = with_header(mark, OFFSET, Field("l", record.offset))
        connection.write(
            encode_delivery(
                limits.number,
                limits.frame_max,
                self._tag,
                tag,
                False,
                mark,
                record.message.value or b"",
            )
        )
        return True


class StreamEntry:
    """A delivery of a stream: nothing happens to the message, whatever becomes of this."""

    __slots__ = ("queue",)

    def __init__(self, leases: StreamLeases) -> None:
        self.queue = leases


class StreamLeases:
    """Stands where other deliveries have their queue: one that is settled makes room for one more."""

    __slots__ = ("_taker", "named")

    def __init__(self, taker: StreamTaker, named: str) -> None:
        self._taker = taker
        self.named = named

    def settle(self, _entry: object) -> None:
        """An acknowledgement."""
        self._taker.wake()

    def give_back(self, _entry: object, _counts: bool) -> None:
        """It is in the stream anyhow; only who is gone gives back."""


def _start(field: Field | None, now_ms: int) -> Start | str:
    """Where an `x-stream-offset` is. Raises ChannelError."""
    if field is None:
        return "new"  # "next", RabbitMQ's default
    if field.letter == "T":
        return FromTime(int(field.value) * 1000)
    if field.letter in _INTEGERS:
        return FromOffset(max(0, int(field.value)))
    if field.letter in "Sx":
        text = field.value.decode("utf-8", "replace")
        if text in _NAMED:
            return _NAMED[text]
        found = _INTERVAL.fullmatch(text)
        if found is not None:
            return FromTime(max(0, now_ms - int(found[1]) * _SECONDS[found[2]] * 1000))
    raise precondition_failed(f"invalid {OFFSET} argument")


_NAMED: dict[str, Start | str] = {"first": "beginning", "last": "last", "next": "new"}


def _last_batch(partition: Partition) -> int:
    """Where the last chunk begins, which here is the last message."""
    return max(partition.log.start_offset, partition.log.durable_offset - 1)
