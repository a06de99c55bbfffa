"""AMQP and the other systems: addresses, properties and requests that cross."""

from __future__ import annotations

import asyncio
import uuid

import nats
import pytest
import redis

import hubbub
from amqp_clients import Pika, here_only
from clients import WAIT_SECONDS, Inbox, RedisPy
from paho_client import PahoClient

pytestmark = [pytest.mark.server, here_only]


@pytest.fixture
def name():
    """An address that is the test's own, of one level."""
    return f"across{uuid.uuid4().hex}"


@pytest.fixture
def bus(shared_server):
    with hubbub.Broker.connect(shared_server.url) as broker:
        yield broker


@pytest.fixture
def client(shared_server):
    with Pika(shared_server.amqp) as connected:
        yield connected


def test_a_message_from_amqp_has_its_properties_in_python(client, bus, name):
    inbox = Inbox()
    with bus.subscribe(f"{name}.>", inbox.put):
        client.publish(
            "amq.topic", f"{name}.a.b", b"x", content_type="text/plain", reply_to="answers",
            correlation_id="7", message_id="m", headers={"a": "b", "n": 5},
        )  # fmt: skip
        [message] = inbox.take(1)
    assert (str(message.address), message.value) == (f"{name}.a.b", b"x")
    assert (message.content_type, message.correlation_id) == ("text/plain", b"7")
    assert (message.message_id, message.reply_to) == ("m", "answers")
    headers = dict(message.headers)
    assert (headers["a"], headers["n"]) == (b"b", b"5")


def test_an_event_of_python_has_its_slots_in_amqp(client, bus, name):
    client.declare_queue(name)
    client.bind(name, "amq.topic", f"{name}.#")
    bus.publish(
        f"{name}.created", {"id": 1}, key="k", headers={"a": "b"}, reply_to="answers",
        correlation_id=b"7",
    )  # fmt: skip
    got = client.await_get(name)
    assert (got.body, got.exchange, got.key) == (b'{"id":1}', "amq.topic", f"{name}.created")
    assert got.properties["content_type"] == "application/json"
    assert got.properties["correlation_id"] == "7"
    assert got.properties["reply_to"] == "answers"
    assert got.headers.items() >= {"a": "b", "hubbub-key": "k"}.items()


def test_mqtt_and_amqp_share_addresses_by_level_and_word(shared_server, client, name):
    client.declare_queue(name)
    client.bind(name, "amq.topic", f"{name}.*.state")
    with PahoClient(shared_server) as phone:
        phone.subscribe(f"{name}/+/state")
        client.publish("amq.topic", f"{name}.lamp.state", b"from amqp", content_type="text/plain")
        [message] = phone.take(1)
        assert (message.topic, message.payload) == (f"{name}/lamp/state", b"from amqp")
        assert message.properties.ContentType == "text/plain"
        phone.publish(f"{name}/door/state", b"from mqtt", 1, ContentType="text/plain")
    first, second = client.await_get(name), client.await_get(name)
    assert first.body == b"from amqp"
    assert (second.body, second.key) == (b"from mqtt", f"{name}.door.state")
    assert second.properties["content_type"] == "text/plain"


def test_a_fanout_exchange_is_an_address_and_so_is_a_queue(shared_server, client, bus, name):
    inbox = Inbox()
    client.declare_exchange(f"{name}.fan", "fanout")
    for queue in (f"{name}.1", f"{name}.2"):
        client.declare_queue(queue)
        client.bind(queue, f"{name}.fan")
    with bus.subscribe(f"{name}.>", inbox.put):
        client.publish(f"{name}.fan", "ignored", b"from the exchange")
        client.publish("", f"{name}.1", b"to the queue")
        client.declare_exchange(f"{name}.x", "direct")
        client.publish(f"{name}.x", "key", b"by another exchange")
        got = inbox.take(3)
    assert [(str(one.address), one.value) for one in got] == [
        (f"{name}.fan", b"from the exchange"),
        (f"{name}.1", b"to the queue"),
        (f"{name}.x.key", b"by another exchange"),
    ]
    speaker = redis.Redis(port=shared_server.ports["redis"])
    speaker.publish(f"{name}.fan", b"from redis")
    speaker.publish(f"{name}.2", b"to the other queue")
    speaker.close()
    client.await_count(f"{name}.2", 3)
    assert [got.body for got in client.get_all(f"{name}.1")] == [
        b"from the exchange", b"to the queue", b"from redis",
    ]  # fmt: skip
    assert [got.body for got in client.get_all(f"{name}.2")] == [
        b"from the exchange", b"from redis", b"to the other queue",
    ]  # fmt: skip


def test_a_queue_bound_in_several_ways_gets_one_copy(shared_server, client, name):
    client.declare_exchange(name, "fanout")
    client.declare_queue(name)
    client.bind(name, name)
    client.bind(name, "amq.topic", name)
    client.bind(name, "amq.topic", "#")
    RedisPy(shared_server).publish(name, [b"once"])
    RedisPy(shared_server).publish(name, [b"end"])
    client.await_count(name, 2)
    assert [got.body for got in client.get_all(name)] == [b"once", b"end"]


def test_a_request_of_nats_is_answered_by_a_worker_of_amqp(shared_server, client, name):
    client.declare_queue(name)
    client.consume(name, no_ack=True)

    def answer():
        [request] = client.take(1)
        client.publish("", request.properties["reply_to"], b"re: " + request.body)

    async def scenario():
        async with await nats.connect(shared_server.nats) as connection:
            answering = asyncio.create_task(asyncio.to_thread(answer))
            got = await connection.request(name, b"?", WAIT_SECONDS)
            await answering
            assert got.data == b"re: ?"

    asyncio.run(scenario())


def test_a_request_of_amqp_is_answered_by_a_handler_in_python(client, bus, name):
    reply = f"{name}.answers"
    client.declare_queue(reply, exclusive=True)

    def answer(message):
        bus.publish_soon(
            message.reply_to, b"re: " + message.value, correlation_id=message.correlation_id
        )

    with bus.subscribe(name, answer):
        client.publish("amq.topic", name, b"?", reply_to=reply, correlation_id="7")
        got = client.await_get(reply)
    assert (got.body, got.properties["correlation_id"]) == (b"re: ?", "7")


def test_a_request_by_direct_reply_to_is_answered_by_a_handler_in_python(client, bus, name):
    def answer(message):
        bus.publish_soon(message.reply_to, b"re: " + message.value)

    client.consume("amq.rabbitmq.reply-to", no_ack=True)
    with bus.subscribe(name, answer):
        client.publish("amq.topic", name, b"?", reply_to="amq.rabbitmq.reply-to")
        assert client.bodies(1) == [b"re: ?"]


def test_a_durable_queue_keeps_what_others_publish_while_nobody_consumes(server, name):
    with Pika(server.amqp) as client:
        client.declare_queue(name, durable=True)
        client.bind(name, "amq.topic", f"{name}.#")
    with PahoClient(server) as phone:
        for qos in (0, 1, 2):
            phone.publish(f"{name}/{qos}", b"%d" % qos, qos)
    server.kill()
    server.start()
    with Pika(server.amqp) as client:
        assert [got.body for got in client.get_all(name)] == [b"1", b"2"]  # QoS 0 is transient
