"""MQTT and the other systems: names, properties and requests that cross."""

from __future__ import annotations

import asyncio
import uuid

import nats
import pytest

import hubbub
from clients import WAIT_SECONDS, Inbox, KafkaPython
from paho_client import PahoClient, connected

pytestmark = pytest.mark.server


@pytest.fixture
def name():
    """An address that is the test's own, of one level."""
    return f"across{uuid.uuid4().hex}"


@pytest.fixture
def bus(shared_server):
    with hubbub.Broker.connect(shared_server.url) as broker:
        yield broker


def test_a_message_from_mqtt_has_its_properties_in_python(shared_server, bus, name):
    inbox = Inbox()
    with PahoClient(shared_server) as client, bus.subscribe(f"{name}.>", inbox.put):
        client.publish(
            f"{name}/a b/c", b"x", 1, ContentType="text/plain", ResponseTopic=f"{name}/re",
            CorrelationData=b"\x00\xff", UserProperty=[("b", "1"), ("a", "ü"), ("b", "2")],
        )  # fmt: skip
        [message] = inbox.take(1)
    assert str(message.address) == f"{name}.a b.c"
    assert message.value == b"x"
    assert message.content_type == "text/plain"
    assert message.reply_to == f"{name}.re"
    assert message.correlation_id == b"\x00\xff"
    assert list(message.headers) == [("b", b"1"), ("a", "ü".encode()), ("b", b"2")]


def test_an_event_of_python_has_its_slots_in_mqtt(shared_server, bus, name):
    with PahoClient(shared_server) as client:
        client.subscribe(f"{name}/#", qos=1)
        bus.publish(
            f"{name}.created", {"id": 1}, key="k", headers={"a": "b"}, reply_to=f"{name}.re",
            correlation_id=b"7",
        )  # fmt: skip
        [message] = client.take(1)
    assert (message.topic, message.payload) == (f"{name}/created", b'{"id":1}')
    assert message.properties.ContentType == "application/json"
    assert message.properties.ResponseTopic == f"{name}/re"
    assert message.properties.CorrelationData == b"7"
    assert set(message.properties.UserProperty) >= {("hubbub-key", "k"), ("a", "b")}


def test_names_come_back_as_they_went(shared_server, bus, name):
    """A dot, a wildcard of another system and an empty level are letters like any other."""
    topics = [
        f"{name}/{rest}"
        for rest in ("a", "a.b", "a b/c", "", "/", "*", ">", "a>/*b", "%20", "ü/ß", "$SYS", "_x2E_")
    ]
    with connected(shared_server, 2) as (publisher, client):
        client.subscribe(f"back/{name}/#", qos=1)

        def send_back(message):
            bus.publish_soon(f"back.{message.address}", message.value)

        with bus.subscribe(f"{name}.>", send_back):
            for topic in topics:
                publisher.publish(topic, topic.encode())
            got = {(m.topic.removeprefix("back/"), m.payload.decode()) for m in client.take(12)}
    assert got == {(topic, topic) for topic in topics}


def test_a_request_from_mqtt_is_answered_by_a_handler_in_python(shared_server, bus, name):
    def answer(message):
        bus.publish_soon(
            message.reply_to, b"re: " + message.value, correlation_id=message.correlation_id
        )

    with PahoClient(shared_server) as client, bus.subscribe(name, answer):
        client.subscribe(f"{name}/answers", qos=1)
        client.publish(name, b"?", ResponseTopic=f"{name}/answers", CorrelationData=b"7")
        [message] = client.take(1)
        assert (message.payload, message.properties.CorrelationData) == (b"re: ?", b"7")


def test_a_request_from_nats_is_answered_by_mqtt_and_the_reverse(shared_server, name):
    """The one's inbox is the other's response topic."""

    async def scenario(client):
        async with await nats.connect(shared_server.nats) as connection:
            asking = asyncio.create_task(connection.request(name, b"from nats", WAIT_SECONDS))
            [asked] = await asyncio.to_thread(client.take, 1)
            reply = asked.properties.ResponseTopic
            await asyncio.to_thread(client.publish, reply, b"re: " + asked.payload)
            assert (await asking).data == b"re: from nats"

            async def answer(message):
                await message.respond(b"re: " + message.data)

            await connection.subscribe(f"{name}.nats", cb=answer)
            await connection.flush()
            wanted = {"ResponseTopic": f"{name}/answers"}
            await asyncio.to_thread(client.publish, f"{name}/nats", b"from mqtt", **wanted)
            assert await asyncio.to_thread(client.payloads, 1) == [b"re: from mqtt"]

    with PahoClient(shared_server) as client:
        client.subscribe(name, f"{name}/answers", qos=1)
        asyncio.run(scenario(client))


def test_a_stored_topic_keeps_what_mqtt_was_told_is_safe(server, name):
    with hubbub.Broker.connect(server.url) as broker:
        broker.create_topic(f"{name}.orders", partitions=1)
    with PahoClient(server) as publisher:
        for number in range(20):
            publisher.publish(f"{name}/orders", b"%d" % number, 1 + number % 2)
        server.kill()
    server.start()
    with KafkaPython(server).subscribed(f"{name}.orders") as inbox:
        assert inbox.take(20) == [b"%d" % number for number in range(20)]
