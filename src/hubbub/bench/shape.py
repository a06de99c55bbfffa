"""What a load looks like, and what came of it."""

from __future__ import annotations

from typing import Literal

import msgspec

Protocol = Literal["redis", "nats", "mqtt", "amqp"]

# On the way at once, unless a shape says otherwise. Far below what makes nats-server (64 MB) and
# redis-server (8 MB for a minute) drop a subscriber, and enough to keep every broker busy.
WINDOW_BYTES = 1024 * 1024
# In one send, unless a shape says otherwise: what a pipelining client hands to its socket at most.
WRITE_BYTES = 256 * 1024
# Stored publishes that may be unacknowledged.
STORED_WINDOW = 65536


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A load: ``groups`` subjects that have publishers and subscribers of their own.

    With ``topics`` above 1 a group's publishers go through that many subjects, message by message,
    and its subscribers subscribe to all of them by a wildcard. ``window``, of each group, and
    ``write`` are messages (0: by bytes), ``rate`` messages a second in all (0: as fast as it goes),
    ``size`` bytes of payload, ``qos`` MQTT's quality of service on both sides or, in AMQP, whether
    messages are persistent and confirmed, ``acks`` after how many deliveries an AMQP subscriber
    acknowledges them in one (0: it does not have to), ``patience`` how long nothing may come before
    it is lost. Without subscribers a message has arrived when it is acknowledged.
    """

    protocol: Protocol
    groups: int = 1
    publishers: int = 1
    subscribers: int = 1
    topics: int = 1
    size: int = 128
    window: int = 0
    write: int = 0
    rate: int = 0
    qos: int = 0
    acks: int = 1
    patience: float = 5.0
    warmup: float = 0.3
    seconds: float = 2.0


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles in microseconds."""

    p50: float
    p99: float
    p999: float
    max: float
    count: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run measured; rates are messages a second, ``processor`` the generator's own share."""

    published: float
    delivered: float
    acknowledged: float
    lost: int
    duplicated: int
    seconds: float
    processor: float
    delivery: Latency | None = None
    acknowledgement: Latency | None = None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a generator process is told: where, what, and whether it is the relay that listens."""

    host: str
    port: int
    shape: Shape
    relay: bool = False
