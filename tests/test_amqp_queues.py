"""What queues of RabbitMQ do besides queueing, as their arguments ask for it."""

from __future__ import annotations

import pytest

from amqp_clients import ClosedError, NackedError, here_only
from clients import WAIT_SECONDS

pytestmark = pytest.mark.server

KINDS = pytest.mark.parametrize("kind", ["classic", "quorum"])


def numbers(count):
    return [b"%d" % number for number in range(count)]


def bodies(client, queue):
    return [got.body for got in client.get_all(queue)]


@pytest.fixture
def dead(amqp_client, name):
    """A queue for dead letters, and the arguments that send them there."""
    amqp_client.declare_queue(f"{name}.dead")
    return {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": f"{name}.dead"}


# Time to live


def test_messages_die_when_their_queue_says_so(amqp_client, name, dead):
    amqp_client.declare_queue(name, x_message_ttl=40, **dead)
    for job in numbers(3):
        amqp_client.publish("", name, job)
    assert [amqp_client.await_get(f"{name}.dead").body for _ in range(3)] == numbers(3)
    assert amqp_client.get(name) is None


def test_messages_die_when_they_say_so_themselves(amqp_client, name, dead):
    amqp_client.declare_queue(name, x_message_ttl=600_000, **dead)
    amqp_client.publish("", name, b"short", expiration="20")
    amqp_client.publish("", name, b"long")
    got = amqp_client.await_get(f"{name}.dead")
    assert got.body == b"short"
    assert "expiration" not in got.properties  # or it would die again
    assert got.headers["x-death"][0]["original-expiration"] == "20"
    assert bodies(amqp_client, name) == [b"long"]


def test_a_message_without_time_is_only_for_who_waits(amqp_client, name, dead):
    amqp_client.declare_queue(name, **dead)
    amqp_client.publish("", name, b"nobody", expiration="0")
    assert amqp_client.await_get(f"{name}.dead").body == b"nobody"
    amqp_client.consume(name)
    amqp_client.publish("", name, b"somebody", expiration="0")
    assert amqp_client.bodies(1) == [b"somebody"]


def test_a_queue_that_nobody_uses_goes(amqp_client, name):
    amqp_client.declare_queue(name, x_expires=30)
    amqp_client.declare_queue(f"{name}.used", x_expires=30)
    amqp_client.consume(f"{name}.used")
    marker = f"{name}.marker"
    amqp_client.declare_queue(marker)
    amqp_client.declare_queue(
        f"{name}.later", x_message_ttl=300, x_dead_letter_exchange="",
        x_dead_letter_routing_key=marker,
    )  # fmt: skip
    amqp_client.publish("", f"{name}.later")
    amqp_client.await_get(marker)  # ten times as much later
    assert amqp_client.consumers(f"{name}.used") == 1
    with pytest.raises(ClosedError) as caught:
        amqp_client.declare_queue(name, passive=True)
    assert caught.value.text == f"NOT_FOUND - no queue '{name}' in vhost '/'"


# Dead letters


def test_a_rejected_message_tells_of_its_death(amqp_client, name, dead):
    amqp_client.declare_queue(name, **dead)
    amqp_client.declare_exchange(f"{name}.x", "topic")
    amqp_client.bind(name, f"{name}.x", "a.*")
    amqp_client.publish(f"{name}.x", "a.b", b"job", headers={"mine": 1}, message_id="m")
    amqp_client.reject(amqp_client.get(name))
    got = amqp_client.await_get(f"{name}.dead")
    assert (got.body, got.exchange, got.key) == (b"job", "", f"{name}.dead")
    assert got.properties["message_id"] == "m"
    [death] = got.headers.pop("x-death")
    death.pop("time")
    assert death == {
        "count": 1, "reason": "rejected", "queue": name, "exchange": f"{name}.x",
        "routing-keys": ["a.b"],
    }  # fmt: skip
    assert got.headers.items() >= {
        "mine": 1, "x-first-death-reason": "rejected", "x-first-death-queue": name,
        "x-first-death-exchange": f"{name}.x",
    }.items()  # fmt: skip


def test_without_a_key_of_its_own_a_dead_letter_keeps_the_one_it_had(amqp_client, name):
    amqp_client.declare_exchange(f"{name}.x", "topic")
    amqp_client.declare_queue(name, x_dead_letter_exchange=f"{name}.x")
    amqp_client.declare_queue(f"{name}.dead")
    amqp_client.bind(f"{name}.dead", f"{name}.x", "#")
    amqp_client.publish("", name, b"x")
    amqp_client.reject(amqp_client.get(name))
    got = amqp_client.await_get(f"{name}.dead")
    assert (got.exchange, got.key) == (f"{name}.x", name)


def test_deaths_are_counted_for_each_queue_and_reason(amqp_client, name):
    """The retry of many frameworks: a job waits in a queue that nobody reads, and comes back."""
    amqp_client.declare_queue(
        name, x_dead_letter_exchange="", x_dead_letter_routing_key=f"{name}.wait"
    )
    amqp_client.declare_queue(
        f"{name}.wait", x_message_ttl=5, x_dead_letter_exchange="", x_dead_letter_routing_key=name
    )
    amqp_client.publish("", name, b"job")
    amqp_client.consume(name)
    for _ in range(3):
        amqp_client.reject(amqp_client.take(1)[0])
    [got] = amqp_client.take(1)
    deaths = [(one["queue"], one["reason"], one["count"]) for one in got.headers["x-death"]]
    assert deaths == [(f"{name}.wait", "expired", 3), (name, "rejected", 3)]
    assert got.headers["x-first-death-reason"] == "rejected"
    assert got.headers["x-first-death-queue"] == name


def test_a_message_that_would_only_die_in_circles_is_dropped(amqp_client, name):
    amqp_client.declare_queue(
        name, x_message_ttl=1, x_dead_letter_exchange="", x_dead_letter_routing_key=name
    )
    amqp_client.declare_queue(f"{name}.end")
    amqp_client.declare_queue(
        f"{name}.later", x_message_ttl=100, x_dead_letter_exchange="",
        x_dead_letter_routing_key=f"{name}.end",
    )  # fmt: skip
    amqp_client.publish("", name, b"x")
    amqp_client.publish("", f"{name}.later", b"y")
    amqp_client.await_get(f"{name}.end")
    assert amqp_client.count(name) == 0


# Length


@KINDS
def test_the_oldest_make_room(amqp_client, name, dead, kind):
    amqp_client.declare_queue(name, durable=True, x_max_length=2, x_queue_type=kind, **dead)
    for job in numbers(5):
        amqp_client.publish("", name, job)
    got = [amqp_client.await_get(f"{name}.dead") for _ in range(3)]
    assert [(one.body, one.headers["x-death"][0]["reason"]) for one in got] == [
        (b"%d" % number, "maxlen") for number in range(3)
    ]  # fmt: skip
    assert bodies(amqp_client, name) == [b"3", b"4"]


def test_bytes_are_counted_too(amqp_client, name):
    amqp_client.declare_queue(name, x_max_length_bytes=25)
    for letter in (b"a", b"b", b"c"):
        amqp_client.publish("", name, letter * 10)
    assert bodies(amqp_client, name) == [b"b" * 10, b"c" * 10]


def test_what_is_with_a_consumer_does_not_count(amqp_client, name):
    amqp_client.declare_queue(name, x_max_length=1)
    amqp_client.consume(name, prefetch=2)
    for job in numbers(4):
        amqp_client.publish("", name, job)
    assert amqp_client.bodies(2) == numbers(2)
    assert amqp_client.count(name) == 1


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
def test_a_full_queue_refuses_and_its_dead_letters_hold_what_it_refused(
    amqp_client, name, dead, overflow
):
    amqp_client.declare_queue(name, x_max_length=1, x_overflow=overflow, **dead)
    amqp_client.publish("", name, b"0")
    with pytest.raises(NackedError):
        amqp_client.publish("", name, b"1")
    assert bodies(amqp_client, name) == [b"0"]
    if overflow == "reject-publish":
        assert amqp_client.count(f"{name}.dead") == 0
    else:
        assert amqp_client.await_get(f"{name}.dead").body == b"1"


def test_one_full_queue_of_two_makes_a_nack(amqp_client, name):
    amqp_client.declare_exchange(name, "fanout")
    amqp_client.declare_queue(f"{name}.full", x_max_length=0, x_overflow="reject-publish")
    amqp_client.declare_queue(f"{name}.room")
    for queue in (f"{name}.full", f"{name}.room"):
        amqp_client.bind(queue, name)
    with pytest.raises(NackedError):
        amqp_client.publish(name, "", b"x")
    assert bodies(amqp_client, f"{name}.room") == [b"x"]


# Priorities


def test_the_urgent_come_first_and_in_order(amqp_client, name):
    amqp_client.declare_queue(name, x_max_priority=5)
    for number, priority in enumerate([0, 3, 5, 3, 9, None]):
        props = {} if priority is None else {"priority": priority}
        amqp_client.publish("", name, b"%d" % number, **props)
    assert bodies(amqp_client, name) == [b"2", b"4", b"1", b"3", b"0", b"5"]  # 9 is as much as 5


def test_a_consumer_of_higher_priority_is_served_first(amqp_connect, name):
    low, high, publisher = amqp_connect(), amqp_connect(), amqp_connect()
    publisher.declare_queue(name)
    low.consume(name, prefetch=10)
    high.consume(name, prefetch=2, x_priority=5)
    for job in numbers(4):
        publisher.publish("", name, job)
    assert high.bodies(2) == [b"0", b"1"]
    assert low.bodies(2) == [b"2", b"3"]


def test_one_consumer_is_active_and_the_next_follows_it(amqp_connect, name):
    first, second, publisher = amqp_connect(), amqp_connect(), amqp_connect()
    publisher.declare_queue(name, x_single_active_consumer=True)
    first.consume(name, tag="first")
    second.consume(name, tag="second")
    for job in numbers(3):
        publisher.publish("", name, job)
    assert [one.body for one in first.take(3)] == numbers(3)
    assert second.rest(name) == []
    first.close()
    got = second.take(3)
    assert sorted((one.body, one.redelivered) for one in got) == [
        (body, True) for body in numbers(3)
    ]
    publisher.publish("", name, b"3")
    assert second.bodies(1) == [b"3"]


def test_an_exclusive_consumer_wants_no_other(amqp_connect, name):
    first, second = amqp_connect(), amqp_connect()
    first.declare_queue(name)
    first.consume(name, exclusive=True)
    with pytest.raises(ClosedError) as caught:
        second.consume(name)
    assert caught.value.text == (f"ACCESS_REFUSED - queue '{name}' in vhost '/' in exclusive use")


# Quorum queues


def test_a_poisonous_message_is_given_up_after_its_limit(amqp_client, name, dead):
    amqp_client.declare_queue(name, durable=True, x_queue_type="quorum", x_delivery_limit=2, **dead)
    amqp_client.publish("", name, b"poison")
    amqp_client.consume(name)
    counts = []
    for _ in range(3):
        [got] = amqp_client.take(1)
        counts.append((got.redelivered, got.headers.get("x-delivery-count")))
        amqp_client.reject(got, requeue=True)
    assert counts[0] in {(False, None), (False, 0)}
    assert counts[1:] == [(True, 1), (True, 2)]
    got = amqp_client.await_get(f"{name}.dead")
    assert [(one["queue"], one["reason"]) for one in got.headers["x-death"]] == [
        (name, "delivery_limit")
    ]
    assert amqp_client.rest(name) == []


def test_a_quorum_queue_is_a_work_queue(amqp_connect, name):
    publisher, worker = amqp_connect(), amqp_connect()
    publisher.declare_queue(name, durable=True, x_queue_type="quorum")
    for job in numbers(20):
        publisher.publish("", name, job, delivery_mode=2)
    worker.consume(name, prefetch=5)
    got = []
    while len(got) < 20:
        [one] = worker.take(1)
        worker.ack(one)
        got.append(one.body)
    assert got == numbers(20)
    publisher.await_count(name, 0)
    publisher.delete_queue(name)


# Streams


@pytest.fixture
def stream(amqp_connect, amqp_client, name):
    """A stream of ten messages."""
    amqp_client.declare_queue(name, durable=True, x_queue_type="stream")
    for number in range(10):
        amqp_client.publish("", name, b"%d" % number, headers={"n": number})
    yield name
    amqp_connect().delete_queue(name)


@pytest.mark.parametrize(
    ("offset", "first"), [("first", 0), (0, 0), (4, 4), ("1h", 0)]
)  # fmt: skip
def test_a_stream_is_read_from_an_offset_as_often_as_one_likes(amqp_connect, stream, offset, first):
    for client in (amqp_connect(), amqp_connect()):
        client.consume(stream, prefetch=5, **{"x-stream-offset": offset})
        offsets = []
        while len(offsets) < 10 - first:
            [got] = client.take(1)
            assert got.headers == {"n": int(got.body), "x-stream-offset": int(got.body)}
            offsets.append(got.headers["x-stream-offset"])
            client.ack(got)
        assert offsets == list(range(first, 10))


def test_a_stream_shows_what_comes_next(amqp_connect, stream):
    reader, publisher = amqp_connect(), amqp_connect()
    reader.consume(stream, prefetch=10)
    publisher.publish("", stream, b"new")
    [got] = reader.take(1)
    assert (got.body, got.headers["x-stream-offset"]) == (b"new", 10)


def test_a_stream_wants_a_prefetch_and_acknowledgements_move_it_on(amqp_connect, stream):
    reader = amqp_connect()
    reader.consume(stream, prefetch=3, **{"x-stream-offset": "first"})
    got = reader.take(3)
    assert reader.rest(stream) == []
    reader.ack(got[2], multiple=True)
    assert reader.bodies(3) == [b"3", b"4", b"5"]


@pytest.mark.parametrize(
    ("consume", "text"),
    [
        (
            lambda client, queue: client.consume(queue),
            "PRECONDITION_FAILED - consumer prefetch count is not set for ",
        ),
        (
            lambda client, queue: client.consume(queue, no_ack=True, prefetch=1),
            "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream ",
        ),
        (
            lambda client, queue: client.get(queue),
            "NOT_IMPLEMENTED - basic.get not supported by stream queues ",
        ),
    ],
    ids=["without prefetch", "without acknowledgements", "by basic.get"],
)
def test_a_stream_is_not_consumed_in_ways_that_it_cannot(amqp_connect, stream, consume, text):
    with pytest.raises(ClosedError) as caught:
        consume(amqp_connect(), stream)
    assert caught.value.text.startswith(text)
    assert f"queue '{stream}' in vhost '/'" in caught.value.text


# Delayed messages, which RabbitMQ has by a plugin of its community


@here_only
def test_a_delayed_message_waits_in_its_exchange(amqp_client, name):
    amqp_client.declare_exchange(name, "x-delayed-message", **{"x-delayed-type": "topic"})
    amqp_client.declare_queue(name)
    amqp_client.bind(name, name, "a.*")
    amqp_client.consume(name)
    amqp_client.publish(name, "a.1", b"later", headers={"x-delay": 2500})
    amqp_client.publish(name, "a.2", b"soon", headers={"x-delay": 1200})
    amqp_client.publish(name, "a.3", b"now")
    amqp_client.publish(name, "b", b"elsewhere", headers={"x-delay": 1})
    got = amqp_client.take(3)
    assert [(one.body, one.key) for one in got] == [
        (b"now", "a.3"), (b"soon", "a.2"), (b"later", "a.1"),
    ]  # fmt: skip
    assert got[2].headers == {"x-delay": -2500}  # as the plugin says that it has waited


@here_only
@pytest.mark.timeout(2 * WAIT_SECONDS)
def test_a_delayed_message_in_a_durable_exchange_outlives_the_server(server, name):
    from amqp_clients import Pika

    with Pika(server.amqp) as client:
        client.declare_exchange(
            name, "x-delayed-message", durable=True, **{"x-delayed-type": "fanout"}
        )
        client.declare_queue(name, durable=True)
        client.bind(name, name)
        client.publish(name, "", b"x", delivery_mode=2, headers={"x-delay": 1500})
    server.kill()
    server.start()
    with Pika(server.amqp) as client:
        client.consume(name)
        assert client.bodies(1) == [b"x"]
