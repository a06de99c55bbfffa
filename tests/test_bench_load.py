from __future__ import annotations

import pytest

from bench_servers import faulty_relay, started_or_skipped, task
from hubbub.bench.generator import run
from hubbub.bench.load import Load

# A broker, the protocol that it is to be spoken to in, and at which quality of service.
BROKERS = [
    ("hubbub", "redis", 0),
    ("hubbub", "mqtt", 0),
    ("hubbub", "mqtt", 1),
    ("hubbub", "amqp", 0),
    ("hubbub", "amqp", 1),
    ("redis", "redis", 0),
    ("nats", "nats", 0),
    ("mosquitto", "mqtt", 0),
    ("mosquitto", "mqtt", 1),
    ("rabbitmq", "amqp", 0),
    ("rabbitmq", "amqp", 1),
    ("relay", "redis", 0),
    ("relay", "nats", 0),
    ("relay", "mqtt", 1),
]


@pytest.fixture(scope="module", params=BROKERS, ids=lambda chosen: "-".join(map(str, chosen)))
def broker(request, tmp_path_factory):
    name, protocol, qos = request.param
    with started_or_skipped(name, protocol, tmp_path_factory.mktemp("peer")) as started:
        yield started, protocol, qos


def measured(broker, **shape):
    started, protocol, qos = broker
    port = started.ports[protocol]
    outcome = run(task(port, relay=started.relay, protocol=protocol, qos=qos, **shape))
    assert outcome.lost == outcome.duplicated == 0
    return outcome


@pytest.mark.server
@pytest.mark.parametrize("size", [16, 128, 1024])
def test_every_message_of_any_size_arrives_once(broker, size):
    assert measured(broker, size=size).delivered > 0


@pytest.mark.server
def test_every_subscriber_counts_for_itself(broker):
    outcome = measured(broker, subscribers=5, window=100)
    # What is on its way when the clock stops may have reached some subscribers and not others.
    assert abs(outcome.delivered - 5 * outcome.published) * outcome.seconds <= 5 * 2 * 100


@pytest.mark.server
def test_pairs_do_not_hear_each_other(broker):
    assert measured(broker, groups=4, window=10).delivered > 0


@pytest.mark.server
def test_many_publishers_share_a_window(broker):
    assert measured(broker, publishers=20, subscribers=3, window=200, write=10).delivered > 0


@pytest.mark.server
def test_interleaved_topics_arrive_by_wildcard(broker):
    assert measured(broker, topics=16, subscribers=2).delivered > 0


@pytest.mark.server
def test_a_paced_load_is_timed(broker):
    outcome = measured(broker, rate=500)
    assert outcome.delivery.count > 0
    assert outcome.delivery.p50 <= outcome.delivery.p99 <= outcome.delivery.max
    assert bool(outcome.acknowledged) == (outcome.acknowledgement is not None)


@pytest.mark.server
@pytest.mark.parametrize(
    ("name", "protocol", "qos"),
    [
        ("hubbub-disk", "redis", 0),
        ("hubbub-disk", "mqtt", 1),
        ("hubbub-disk", "amqp", 1),
        ("mosquitto", "mqtt", 1),
        ("rabbitmq", "amqp", 1),
    ],
)
def test_a_publish_without_subscribers_counts_when_it_is_acknowledged(
    tmp_path, name, protocol, qos
):
    with started_or_skipped(name, protocol, tmp_path) as started:
        port = started.ports[protocol]
        outcome = run(task(port, protocol=protocol, qos=qos, subscribers=0, window=1000))
        assert outcome.lost == 0
        assert outcome.published == outcome.acknowledged > 0


def test_a_dropped_message_is_a_loss():
    with faulty_relay(lambda number, frame: b"" if number == 7 else frame) as port:
        outcome = run(task(port, relay=True, window=20))
    assert (outcome.lost, outcome.duplicated) == (1, 0)


def test_a_dropped_last_message_is_a_loss_too():
    # Nothing that comes after it tells.
    with faulty_relay(lambda number, frame: b"" if number >= 7 else frame) as port:
        outcome = run(task(port, relay=True, window=1))
    assert (outcome.lost, outcome.duplicated) == (1, 0)


def test_a_repeated_message_is_a_duplicate():
    with faulty_relay(lambda number, frame: frame * 2 if number == 7 else frame) as port:
        outcome = run(task(port, relay=True, window=20))
    assert (outcome.lost, outcome.duplicated) == (0, 1)


def test_messages_that_change_places_are_noticed():
    held = []

    def swap(number, frame):
        if number == 7:
            held.append(frame)
            return b""
        return frame + held.pop() if held else frame

    with faulty_relay(swap) as port:
        outcome = run(task(port, relay=True, window=20))
    assert outcome.lost or outcome.duplicated


def test_frames_cut_anywhere_are_put_together():
    begun = bytearray()

    def ragged(number, frame):
        """Hold back the end of each frame until the next one comes; none after the 500th."""
        begun.extend(frame)
        size = len(begun) if number % 10 == 9 else len(begun) - number % len(frame) - 1
        cut, begun[:] = bytes(begun[:size]), begun[size:]
        return cut

    with faulty_relay(ragged) as port:
        outcome = run(task(port, relay=True, window=10, write=10))
    assert outcome.duplicated == 0
    assert outcome.delivered > 0


def test_what_nobody_published_ends_the_run():
    with (
        faulty_relay(lambda number, frame: b"nonsense\r\n" if number == 7 else frame) as port,
        pytest.raises(ConnectionError, match="nonsense"),
    ):
        run(task(port, relay=True, window=20))


def test_what_nobody_published_may_be_long():
    with (
        faulty_relay(lambda number, frame: b"nonsense\r\n" * 10_000) as port,
        pytest.raises(ConnectionError, match="nonsense"),
    ):
        run(task(port, relay=True, window=1))


def test_a_server_that_wants_to_know_is_answered_a_pong():
    with faulty_relay(lambda number, frame: b"PING\r\n" + frame) as port:
        outcome = run(task(port, relay=True, window=1))
    assert outcome.lost == 0


def test_a_payload_that_cannot_be_checked_is_refused():
    with pytest.raises(ValueError, match="does not hold"):
        run(task(1, size=4))


def test_a_load_nobody_answers_is_refused():
    frame = bytes(32)
    load = Load(
        groups=1,
        published_bytes=32,
        published_at=8,
        delivered_bytes=32,
        delivered_at=8,
        delivered_start=frame[:4],
        ring_messages=4,
        window=1,
        write_messages=1,
    )
    with pytest.raises(ValueError, match="without subscribers or replies"):
        load.run(0, 0)
