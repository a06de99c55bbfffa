"""Every row of the benchmark as data: what is done, to whom, and what we want to reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from hubbub.bench.shape import Protocol, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

Measure = Literal[
    "load",
    "table",
    "subscribing",
    "connections",
    "rest",
    "produce",
    "consume",
    "kafka latency",
]


class Figure(msgspec.Struct, frozen=True):
    """What a number is: its unit, and whether more of it is better."""

    unit: str
    more: bool = True


FIGURES = {
    "delivered": Figure("delivered/s"),
    "acknowledged": Figure("acknowledged/s"),
    "produced": Figure("produced/s"),
    "consumed": Figure("consumed/s"),
    "subscribe": Figure("subscribed/s"),
    "unsubscribe": Figure("unsubscribed/s"),
    "cost": Figure("ns a delivery", more=False),
    "p50": Figure("us p50", more=False),
    "p99": Figure("us p99", more=False),
    "ack p50": Figure("us p50 to the ack", more=False),
    "ack p99": Figure("us p99 to the ack", more=False),
    "connection": Figure("KiB a connection", more=False),
    "start": Figure("s to ready", more=False),
    "idle": Figure("MiB idle", more=False),
}


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """``by``'s figure is at least ``bound`` times ``over``'s, or ``bound`` itself without one.

    Where less is better, it is at most that.
    """

    figure: str
    bound: float
    over: str = ""
    by: str = "hubbub"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report; ``contenders`` are peers by name, or the ``disk``."""

    name: str
    title: str
    section: str
    measure: Measure
    contenders: tuple[str, ...]
    figures: tuple[str, ...]
    goals: tuple[Goal, ...] = ()
    protocol: str = "kafka"
    shape: Shape | None = None
    count: int = 0
    fresh: bool = False  # every round wants a broker that was started for it
    quick: bool = False  # part of what `hubbub bench` runs when it is told nothing


_PEER: dict[Protocol, str] = {
    "redis": "redis",
    "nats": "nats",
    "mqtt": "mosquitto",
    "amqp": "rabbitmq",
}
_VERB: dict[Protocol, str] = {
    "redis": "Redis PUBLISH",
    "nats": "NATS PUB",
    "mqtt": "MQTT PUBLISH",
    "amqp": "AMQP publish",
}
_DISTRIBUTIONS = {
    "1-1": ("1 to 1", {}),
    "1-10": ("1 to 10", {"subscribers": 10}),
    "1-100": ("1 to 100", {"subscribers": 100}),
    "pairs": ("4 pairs", {"groups": 4}),
}
# How many times what the peer delivers: at 128 bytes by shape, and at other sizes.
_OVER_PEER: dict[Protocol, dict[str, float]] = {
    "redis": {
        "1-1": 6,
        "1-10": 3.5,
        "1-100": 5,
        "pairs": 5,
        "many": 1.4,
        "ping": 1.1,
        "topics": 3.5,
    },
    "nats": {"1-1": 5, "1-10": 4.5, "1-100": 7, "pairs": 3, "many": 4, "ping": 1.5, "topics": 5},
    "mqtt": dict.fromkeys((*_DISTRIBUTIONS, "many", "topics"), 4),
}
_OVER_PEER_BY_SIZE: dict[Protocol, dict[int, float]] = {
    "redis": {16: 4, 1024: 2.2},
    "nats": {16: 4, 1024: 2.2},
    "mqtt": {16: 4, 1024: 4},
}
_OF_RELAY = 0.7
# What is not to be above the peer's, by messages a second.
_LATENCIES: dict[Protocol, dict[int, tuple[str, ...]]] = {
    "redis": dict.fromkeys((1_000, 10_000), ("p50", "p99")),
    "nats": dict.fromkeys((1_000, 10_000), ("p50", "p99")),
    "mqtt": {1_000: ("p99",), 10_000: ()},
    "amqp": {1_000: ("p99",)},
}
_IDLE_KIB: dict[Protocol, float] = {"redis": 8, "nats": 8, "mqtt": 20, "amqp": 20}
# As far as the rows of scaling go.
_SUBSCRIBERS = (1, 10, 100, 1_000, 10_000)
_SUBSCRIPTIONS = (1, 1_000, 10_000, 100_000)
_IDLE_CONNECTIONS = 10_000
_SUBSCRIBING = 100_000
_STORED_BYTES = 100
_STORED_RATE = 1e6
_OF_UNSYNCED = 0.7
# mosquitto acknowledges what it has in memory; rabbitmq-server syncs before it confirms.
_STORED_OVER_PEER: dict[Protocol, float] = {"mqtt": 5, "amqp": 10}
_ACKNOWLEDGED_OVER_PEER = 8


def _over_peer(protocol: Protocol, bound: float | None) -> tuple[Goal, ...]:
    return (Goal(figure="delivered", bound=bound, over=_PEER[protocol]),) if bound else ()


def _throughput(protocol: Protocol) -> Iterator[Row]:
    """One publisher, or pairs, as fast as it goes."""
    peer = _PEER[protocol]
    for size in (128, 16, 1024):
        for name, (title, shape) in _DISTRIBUTIONS.items():
            bound = _OVER_PEER_BY_SIZE[protocol].get(size) or _OVER_PEER[protocol][name]
            goals = _over_peer(protocol, bound)
            if size == 128:
                goals += (Goal(figure="delivered", bound=_OF_RELAY, over="relay"),)
            yield Row(
                name=f"{protocol}-{name}-{size}",
                title=f"{_VERB[protocol]}, {size} B, {title}",
                section="Throughput",
                measure="load",
                protocol=protocol,
                contenders=("hubbub", peer, *(("relay",) if size == 128 else ())),
                figures=("delivered",),
                goals=goals,
                shape=Shape(protocol=protocol, size=size, **shape),
                quick=size == 128 and name in {"1-1", "1-10"},
            )


def _harder(protocol: Protocol) -> Iterator[Row]:
    """Shapes in which a broker cannot hide behind large chunks."""
    peer = _PEER[protocol]
    shapes = {
        "many": (
            "50 publishers to 10 subscribers, 500 in flight",
            Shape(protocol=protocol, publishers=50, subscribers=10, window=500, write=10),
        ),
        "ping": (
            "50 pairs, one message in flight each",
            Shape(protocol=protocol, groups=50, window=1),
        ),
        "topics": (
            "16 topics interleaved, by wildcard, 1 to 10",
            Shape(protocol=protocol, topics=16, subscribers=10),
        ),
    }
    for name, (title, shape) in shapes.items():
        yield Row(
            name=f"{protocol}-{name}",
            title=f"{_VERB[protocol]}, 128 B, {title}",
            section="Harder shapes",
            measure="load",
            protocol=protocol,
            contenders=("hubbub", peer),
            figures=("delivered",),
            goals=_over_peer(protocol, _OVER_PEER[protocol].get(name)),
            shape=shape,
        )


def _latency(protocol: Protocol) -> Iterator[Row]:
    peer = _PEER[protocol]
    for rate, figures in _LATENCIES[protocol].items():
        yield Row(
            name=f"{protocol}-latency-{rate}",
            title=f"{_VERB[protocol]}, 128 B, 1 to 1, {rate:,} a second",
            section="Latency, publish to receive",
            measure="load",
            protocol=protocol,
            contenders=("hubbub", peer),
            figures=("p50", "p99"),
            goals=tuple(Goal(figure=figure, bound=1, over=peer) for figure in figures),
            shape=Shape(protocol=protocol, rate=rate),
            quick=rate == 1_000,
        )


def _synced(figure: str) -> tuple[Goal, ...]:
    return (
        Goal(figure=figure, bound=_STORED_RATE, by="hubbub-disk"),
        Goal(figure=figure, bound=_OF_UNSYNCED, by="hubbub-disk", over="hubbub-unsynced"),
    )


def _stored_over_peers() -> Iterator[Row]:
    rows = {
        "mqtt-stored": (
            f"{_VERB['mqtt']} at QoS 1 to a stored topic, 100 B (mosquitto: to memory)",
            Shape(protocol="mqtt", qos=1, subscribers=0, size=_STORED_BYTES),
            ("hubbub-disk", "hubbub-unsynced", "mosquitto"),
        ),
        "amqp-confirmed": (
            f"{_VERB['amqp']} of persistent messages to a durable queue, with confirms, 100 B",
            Shape(protocol="amqp", qos=1, subscribers=0, size=_STORED_BYTES),
            ("hubbub-disk", "rabbitmq"),
        ),
    }
    for name, (title, shape, contenders) in rows.items():
        peer = _PEER[shape.protocol]
        bound = _STORED_OVER_PEER[shape.protocol]
        yield Row(
            name=name,
            title=title,
            section="Stored, acknowledged after fsync",
            measure="load",
            protocol=shape.protocol,
            contenders=contenders,
            figures=("acknowledged",),
            goals=(Goal(figure="acknowledged", bound=bound, over=peer, by="hubbub-disk"),),
            shape=shape,
        )


def _stored() -> Iterator[Row]:
    yield Row(
        name="redis-stored",
        title="Redis PUBLISH to a stored topic, 100 B",
        section="Stored, acknowledged after fsync",
        measure="load",
        protocol="redis",
        contenders=("hubbub-disk", "hubbub-unsynced"),
        figures=("acknowledged",),
        goals=_synced("acknowledged"),
        shape=Shape(protocol="redis", subscribers=0, size=_STORED_BYTES),
    )
    yield from _stored_over_peers()
    yield Row(
        name="kafka-stored",
        title="Kafka produce, acks=all, linger 5 ms, 100 B",
        section="Stored, acknowledged after fsync",
        measure="produce",
        contenders=("hubbub-disk", "hubbub-unsynced"),
        figures=("produced",),
        goals=_synced("produced"),
    )
    for rate in (1_000, 10_000):
        yield Row(
            name=f"redis-stored-latency-{rate}",
            title=f"Redis PUBLISH to a stored topic, {rate:,} a second",
            section="Stored, acknowledged after fsync",
            measure="load",
            protocol="redis",
            contenders=("hubbub-disk", "disk"),
            figures=("ack p50", "ack p99"),
            goals=(Goal(figure="ack p50", bound=3, over="disk", by="hubbub-disk"),),
            shape=Shape(protocol="redis", subscribers=0, rate=rate),
        )
    yield Row(
        name="kafka-latency",
        title="Kafka produce, acks=all, one message at a time, 100 B",
        section="Stored, acknowledged after fsync",
        measure="kafka latency",
        contenders=("hubbub-disk", "disk", "mock", "kafka"),
        figures=("ack p50", "ack p99"),
        goals=(Goal(figure="ack p50", bound=3, over="disk", by="hubbub-disk"),),
    )


def _confirmed() -> Iterator[Row]:
    for name in ("1-1", "1-10"):
        title, shape = _DISTRIBUTIONS[name]
        yield Row(
            name=f"mqtt-qos1-{name}",
            title=f"MQTT PUBLISH at QoS 1, 128 B, {title}, delivered at QoS 1",
            section="Acknowledged on both sides",
            measure="load",
            protocol="mqtt",
            contenders=("hubbub", "hubbub-disk", "mosquitto"),
            figures=("delivered",),
            goals=(Goal(figure="delivered", bound=1, over="mosquitto"),),
            shape=Shape(protocol="mqtt", qos=1, **shape),
        )


def _work_queues() -> Iterator[Row]:
    """Transient messages, of which each delivery is acknowledged by itself."""
    ways = {"1-1": "by a queue", "1-10": "by a fan-out exchange", "pairs": "by queues"}
    for name, way in ways.items():
        title, shape = _DISTRIBUTIONS[name]
        yield Row(
            name=f"amqp-{name}-128",
            title=f"{_VERB['amqp']}, 128 B, {title} {way}, each delivery acknowledged",
            section="Work queues",
            measure="load",
            protocol="amqp",
            contenders=("hubbub", "rabbitmq"),
            figures=("delivered",),
            goals=_over_peer("amqp", _ACKNOWLEDGED_OVER_PEER),
            shape=Shape(protocol="amqp", **shape),
            quick=name != "pairs",
        )


def _kafka() -> Iterator[Row]:
    titles: dict[Measure, tuple[str, str]] = {
        "produce": ("produced", "produce, acks=all, linger 5 ms, 100 B"),
        "consume": ("consumed", "consume, 100 B"),
    }
    for measure, (figure, title) in titles.items():
        yield Row(
            name=f"kafka-{measure}",
            title=f"Kafka {title}",
            section="Kafka, with confluent-kafka",
            measure=measure,
            contenders=("hubbub", "hubbub-disk", "mock", "kafka"),
            figures=(figure,),
            goals=(
                Goal(figure=figure, bound=0.95, over="mock"),
                Goal(figure=figure, bound=1, over="kafka"),
            ),
        )


def _scaling(protocol: Protocol) -> Iterator[Row]:
    contenders = ("hubbub", _PEER[protocol])
    for subscribers in _SUBSCRIBERS:
        yield Row(
            name=f"{protocol}-subscribers-{subscribers}",
            title=f"{_VERB[protocol]}, 128 B, 1 to {subscribers:,}",
            section="Cost of a delivery",
            measure="load",
            protocol=protocol,
            contenders=contenders,
            figures=("cost",),
            shape=Shape(protocol=protocol, subscribers=subscribers),
        )
    for count in _SUBSCRIPTIONS:
        yield Row(
            name=f"{protocol}-subscriptions-{count}",
            title=f"{_VERB[protocol]}, 128 B, 1 to 1, beside {count:,} subscriptions",
            section="Subscriptions",
            measure="table",
            protocol=protocol,
            contenders=contenders,
            figures=("delivered",),
            shape=Shape(protocol=protocol),
            count=count,
        )
    yield Row(
        name=f"{protocol}-subscribing",
        title=f"{protocol}, {_SUBSCRIBING:,} subscriptions made and ended",
        section="Subscriptions",
        measure="subscribing",
        protocol=protocol,
        contenders=contenders,
        figures=("subscribe", "unsubscribe"),
        count=_SUBSCRIBING,
    )


def _rest(protocol: Protocol) -> Iterator[Row]:
    contenders = ("hubbub", _PEER[protocol])
    yield Row(
        name=f"{protocol}-connections",
        title=f"{protocol}, {_IDLE_CONNECTIONS:,} idle connections",
        section="At rest",
        measure="connections",
        protocol=protocol,
        contenders=contenders,
        figures=("connection",),
        goals=(Goal(figure="connection", bound=_IDLE_KIB[protocol]),),
        count=_IDLE_CONNECTIONS,
        fresh=True,
    )
    yield Row(
        name=f"{protocol}-rest",
        title=f"{protocol}, started and left alone",
        section="At rest",
        measure="rest",
        protocol=protocol,
        contenders=contenders,
        figures=("start", "idle"),
        goals=(Goal(figure="start", bound=0.3), Goal(figure="idle", bound=60)),
        fresh=True,
    )


def _all() -> Iterator[Row]:
    live: tuple[Protocol, ...] = ("nats", "redis", "mqtt")
    every: tuple[Protocol, ...] = (*live, "amqp")
    for rows in (_throughput, _harder):
        for protocol in live:
            yield from rows(protocol)
    yield from _work_queues()
    yield from _stored()
    yield from _confirmed()
    yield from _kafka()
    for protocol in every:
        yield from _latency(protocol)
    # mosquitto would take minutes to deliver what is on its way to 10,000 subscribers.
    for protocol in ("nats", "redis"):
        yield from _scaling(protocol)
    for protocol in every:
        yield from _rest(protocol)


ROWS: dict[str, Row] = {row.name: row for row in _all()}
