"""What of AMQP outlives the server, stopped or killed, and what does not."""

from __future__ import annotations

import pytest

from amqp_clients import ClosedError, Pika, here_only

pytestmark = [pytest.mark.server, here_only]

BOTH_WAYS = pytest.mark.parametrize("end", ["stop", "kill"])
PERSISTENT = {"delivery_mode": 2}


def restart(server, end):
    getattr(server, end)()
    server.start()


@BOTH_WAYS
def test_persistent_messages_of_durable_queues_stay_in_order(server, name, end):
    with Pika(server.amqp) as client:
        client.declare_queue(name, durable=True)
        client.declare_queue(f"{name}.transient")
        for number in range(100):
            mode = 1 if number % 10 == 5 else 2
            client.publish("", name, b"%d" % number, delivery_mode=mode, headers={"n": number})
        for _ in range(10):
            client.ack(client.get(name))
        held = client.get(name)
        assert held.body == b"10"
        restart(server, end)
    with Pika(server.amqp) as client:
        got = client.get_all(name)
        assert [one.body for one in got] == [b"%d" % n for n in range(10, 100) if n % 10 != 5]
        assert [one.headers["n"] for one in got] == [int(one.body) for one in got]
        with pytest.raises(ClosedError):
            client.declare_queue(f"{name}.transient", passive=True)


@BOTH_WAYS
def test_durable_exchanges_and_bindings_stay(server, name, end):
    with Pika(server.amqp) as client:
        client.declare_exchange(name, "topic", durable=True, alternate_exchange=f"{name}.else")
        client.declare_exchange(f"{name}.else", "fanout", durable=True)
        client.declare_exchange(f"{name}.gone", "fanout")
        for queue in (name, f"{name}.else"):
            client.declare_queue(queue, durable=True)
        client.bind(name, name, "a.#")
        client.bind(name, name, "b.#")
        client.unbind(name, name, "b.#")
        client.bind(f"{name}.else", f"{name}.else")
        restart(server, end)
    with Pika(server.amqp) as client:
        for key in ("a.b", "b.c"):
            client.publish(name, key, key.encode(), mandatory=True)
        assert [got.body for got in client.get_all(name)] == [b"a.b"]
        assert [got.body for got in client.get_all(f"{name}.else")] == [b"b.c"]
        with pytest.raises(ClosedError) as caught:
            client.declare_exchange(f"{name}.gone", passive=True)
        assert caught.value.code == 404


@BOTH_WAYS
def test_the_arguments_of_a_queue_stay(server, name, end):
    arguments = {
        "x_max_priority": 5, "x_max_length": 3, "x_dead_letter_exchange": "",
        "x_dead_letter_routing_key": f"{name}.dead",
    }  # fmt: skip
    with Pika(server.amqp) as client:
        client.declare_queue(name, durable=True, **arguments)
        client.declare_queue(f"{name}.dead", durable=True)
        for number, priority in enumerate([1, 4, 2]):
            client.publish("", name, b"%d" % number, priority=priority, **PERSISTENT)
        restart(server, end)
    with Pika(server.amqp) as client:
        client.declare_queue(name, durable=True, **arguments)
        client.publish("", name, b"3", priority=5, **PERSISTENT)
        assert client.count(name) == 3
        assert client.count(f"{name}.dead") == 1
        with pytest.raises(ClosedError) as caught:
            client.declare_queue(name, durable=True)
        assert caught.value.code == 406


@BOTH_WAYS
def test_time_goes_on_while_the_server_is_away(server, name, end):
    with Pika(server.amqp) as client:
        client.declare_queue(
            name, durable=True, x_message_ttl=50, x_dead_letter_exchange="",
            x_dead_letter_routing_key=f"{name}.dead",
        )  # fmt: skip
        client.declare_queue(f"{name}.dead", durable=True)
        for number in range(3):
            client.publish("", name, b"%d" % number, **PERSISTENT)
        restart(server, end)
    with Pika(server.amqp) as client:
        assert [client.await_get(f"{name}.dead").body for _ in range(3)] == [b"0", b"1", b"2"]
        assert client.get(name) is None


@BOTH_WAYS
def test_a_quorum_queue_counts_deliveries_on(server, name, end):
    with Pika(server.amqp) as client:
        client.declare_queue(
            name, durable=True, x_queue_type="quorum", x_delivery_limit=2,
            x_dead_letter_exchange="", x_dead_letter_routing_key=f"{name}.dead",
        )  # fmt: skip
        client.declare_queue(f"{name}.dead", durable=True)
        client.publish("", name, b"poison", **PERSISTENT)
        for _ in range(2):
            client.reject(client.get(name), requeue=True)
        client.count(name)
        restart(server, end)
    with Pika(server.amqp) as client:
        got = client.get(name)
        assert got.headers["x-delivery-count"] == 2
        client.reject(got, requeue=True)
        assert client.await_get(f"{name}.dead").body == b"poison"


@BOTH_WAYS
def test_a_stream_stays_whole(server, name, end):
    with Pika(server.amqp) as client:
        client.declare_queue(name, durable=True, x_queue_type="stream")
        for number in range(50):
            client.publish("", name, b"%d" % number)  # a stream keeps transient messages, too
        restart(server, end)
    with Pika(server.amqp) as client:
        client.consume(name, prefetch=100, **{"x-stream-offset": 10})
        assert client.bodies(40) == [b"%d" % number for number in range(10, 50)]


@BOTH_WAYS
def test_what_was_deleted_or_purged_stays_away(server, name, end):
    with Pika(server.amqp) as client:
        for queue in (name, f"{name}.purged"):
            client.declare_queue(queue, durable=True)
            client.publish("", queue, b"x", **PERSISTENT)
        client.delete_queue(name)
        client.purge(f"{name}.purged")
        restart(server, end)
    with Pika(server.amqp) as client:
        assert client.count(f"{name}.purged") == 0
        client.declare_queue(name, durable=True)
        assert client.count(name) == 0
