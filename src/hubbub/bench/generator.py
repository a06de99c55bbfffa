"""Run one load: `python -m hubbub.bench.generator` reads a Task as JSON and writes an Outcome.

A process of its own, so that what it costs is known and no broker shares its interpreter.
"""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from hubbub.bench.descriptors import raise_descriptor_limit
from hubbub.bench.dialects import Dialect, Relayed, dialect_of
from hubbub.bench.load import (
    PAYLOAD_BYTES_MIN,
    RING_MESSAGES_MAX,
    TIMED_PAYLOAD_BYTES_MIN,
    Load,
)
from hubbub.bench.shape import (
    STORED_WINDOW,
    WINDOW_BYTES,
    WRITE_BYTES,
    Latency,
    Outcome,
    Shape,
    Task,
)

if TYPE_CHECKING:
    from hubbub.bench.histogram import Histogram

# A ring is sent from the processor's cache, so it is no larger; several share the room.
_RING_BYTES = 256 * 1024
# Below, a loss could not be told from a repetition.
_RING_MESSAGES_MIN = 64
_NUMBERS = struct.Struct("=II")
_CONNECT_SECONDS = 20.0


def run(task: Task) -> Outcome:
    """Connect, subscribe, and run the load.

    Raises:
        ConnectionError: the broker refused, or closed a connection.
        OSError: no broker listens there.
        ValueError: the shape is impossible.
    """
    raise_descriptor_limit()
    shape = task.shape
    dialect = dialect_of(shape)
    if task.relay:
        dialect = Relayed(dialect)
    with ExitStack() as stack:
        load = _prepare(task, dialect, stack)
        load.run(shape.warmup, shape.seconds)
    return _outcome(load)


def connect(host: str, port: int) -> socket.socket:
    """A connection that sends at once. Raises OSError."""
    connection = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _subjects(group: int, topics: int) -> tuple[list[str], str]:
    """A group's subjects, of one length whatever the numbers, and what subscribes to all."""
    subject = f"bench.{group:05d}"
    if topics == 1:
        return [subject], subject
    return [f"{subject}.{topic:03d}" for topic in range(topics)], f"{subject}.*"


def _prepare(task: Task, dialect: Dialect, stack: ExitStack) -> Load:
    shape = task.shape
    timed = shape.rate > 0
    if shape.size < (TIMED_PAYLOAD_BYTES_MIN if timed else PAYLOAD_BYTES_MIN):
        raise ValueError(f"a payload of {shape.size} bytes does not hold what is checked")
    subjects, pattern = _subjects(0, shape.topics)
    payload = b"\xff" * shape.size  # which nothing before it looks like
    published = dialect.published(subjects[0], payload)
    delivered = dialect.delivered(subjects[0], pattern, payload)
    messages, window = _ring_and_window(shape, len(published), len(delivered))
    load = Load(
        groups=shape.groups,
        published_bytes=len(published),
        published_at=published.index(payload),
        delivered_bytes=len(delivered),
        delivered_at=delivered.index(payload),
        delivered_start=delivered[dialect.start_at : dialect.start_at + 4],
        delivered_start_at=dialect.start_at,
        ring_messages=messages,
        window=window,
        write_messages=shape.write or max(1, WRITE_BYTES // len(published)),
        rate=shape.rate,
        replies=dialect.replies,
        confirms=dialect.confirms,
        receipt=dialect.receipt,
        timed=timed,
        patience=shape.patience,
    )
    for group in range(shape.groups):
        subjects, pattern = _subjects(group, shape.topics)
        for _ in range(shape.subscribers):
            connection = stack.enter_context(connect(task.host, task.port))
            dialect.prepare_subscriber(connection, group, pattern)
            load.add_subscriber(connection.fileno(), group)
        for place in range(shape.publishers):
            connection = stack.enter_context(connect(task.host, task.port))
            dialect.prepare_publisher(connection, group, subjects[0])
            load.add_publisher(
                connection.fileno(), _ring(dialect, subjects, place, messages, shape.size), group
            )
    return load


def _ring_and_window(shape: Shape, published_bytes: int, delivered_bytes: int) -> tuple[int, int]:
    """How many frames a publisher's ring holds, and how many messages may be on their way."""
    window = shape.window
    if not window:
        window = max(1, WINDOW_BYTES // delivered_bytes) if shape.subscribers else STORED_WINDOW
    most = RING_MESSAGES_MAX // shape.topics * shape.topics
    if shape.rate or shape.qos:
        # What is stamped or identified is not sent again while it is on its way.
        window = min(window, most - 1)
    if shape.rate:
        # A load that is paced has few messages on their way; more is a broker that falls behind.
        return most, window
    room = _RING_BYTES // max(1, shape.groups * shape.publishers // 4)
    messages = max(_RING_MESSAGES_MIN, room // published_bytes, window + 1 if shape.qos else 0)
    return -(-messages // shape.topics) * shape.topics, window


def _ring(dialect: Dialect, subjects: list[str], place: int, messages: int, size: int) -> bytearray:
    filler = bytes(ord("a") + at % 26 for at in range(size - _NUMBERS.size))
    ring = bytearray()
    for number in range(messages):
        payload = _NUMBERS.pack(place, number) + filler
        ring += dialect.published(subjects[number % len(subjects)], payload, number)
    return ring


def _outcome(load: Load) -> Outcome:
    seconds = load.seconds or 1.0
    return Outcome(
        published=load.published / seconds,
        delivered=load.delivered / seconds,
        acknowledged=load.acknowledged / seconds,
        lost=load.lost,
        duplicated=load.duplicated,
        seconds=load.seconds,
        processor=load.processor_seconds / seconds,
        delivery=_latency(load.delivery),
        acknowledgement=_latency(load.acknowledgement),
    )


def _latency(histogram: Histogram) -> Latency | None:
    if not histogram.count:
        return None
    p50, p99, p999 = (histogram.percentile(percent) / 1000 for percent in (50, 99, 99.9))
    return Latency(p50=p50, p99=p99, p999=p999, max=histogram.max / 1000, count=histogram.count)


def main() -> None:
    """Do what standard input says."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    try:
        outcome = run(task)
    except (OSError, ValueError) as error:
        sys.exit(f"{error}")
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
