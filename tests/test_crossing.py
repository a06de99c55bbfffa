"""One message, every pair of systems: published by the one's client, received by the other's."""

from __future__ import annotations

import uuid

import pytest
import redis

import hubbub
from clients import CLIENTS, ConfluentKafka, KafkaPython, PythonApi, RedisPy, event

pytestmark = pytest.mark.server


@pytest.fixture
def topic(shared_server):
    name = f"crossing.{uuid.uuid4().hex}"
    with hubbub.Broker.connect(shared_server.url) as broker:
        broker.create_topic(name, partitions=3)
    return name


@pytest.mark.parametrize("subscriber", CLIENTS, ids=lambda client: f"to {client.name}")
@pytest.mark.parametrize("publisher", CLIENTS, ids=lambda client: f"from {client.name}")
def test_what_one_client_publishes_another_receives_once_and_whole(
    shared_server, topic, publisher, subscriber
):
    payloads = [event(number) for number in range(5)] + [b"", b"\x00\xff binary", b"x" * 100_000]
    with subscriber(shared_server).subscribed(topic) as inbox:
        publisher(shared_server).publish(topic, payloads, key=b"one key, one order")
        assert inbox.take(len(payloads)) == payloads
    assert inbox.rest() == []


def test_every_subscriber_of_every_system_gets_its_own_copy(shared_server, topic):
    from contextlib import ExitStack

    with ExitStack() as stack:
        inboxes = [
            stack.enter_context(client(shared_server).subscribed(topic))
            for client in CLIENTS
            for _ in range(2)
        ]
        RedisPy(shared_server).publish(topic, [event(1), event(2)])
        assert [inbox.take(2) for inbox in inboxes] == [[event(1), event(2)]] * len(inboxes)


def test_a_publisher_cannot_tell_who_listens(shared_server, topic):
    """Item 3: the same answers with no subscriber, one, or many."""
    with hubbub.Broker.connect(shared_server.url) as broker:
        alone = broker.publish(topic, b"x")
        with ConfluentKafka(shared_server).subscribed(topic):
            assert type(broker.publish(topic, b"x")) is type(alone)


def test_redis_never_replays_what_kafka_does(shared_server, topic):
    """Items 45, 47 and 79: stored for the others, gone for a Redis subscriber that came late."""
    RedisPy(shared_server).publish(topic, [event(1)])
    with (
        RedisPy(shared_server).subscribed(topic) as late,
        KafkaPython(shared_server).subscribed(topic) as log,
    ):
        assert log.take(1) == [event(1)]
        RedisPy(shared_server).publish(topic, [event(2)])
        assert late.take(1) == [event(2)]
        assert log.take(1) == [event(2)]


def test_a_channel_that_no_topic_captures_leaves_nothing_behind(shared_server):
    client = redis.Redis(port=shared_server.ports["redis"])
    name = f"live.{uuid.uuid4().hex}"
    assert client.publish(name, b"into the void") == 0
    with hubbub.Broker.connect(shared_server.url) as broker:
        assert name not in [topic.name for topic in broker.topics()]
    client.close()


def test_an_auditor_by_pattern_sees_topics_made_after_it_subscribed(shared_server):
    """Item 106."""
    prefix = f"audit{uuid.uuid4().hex}"
    client = redis.Redis(port=shared_server.ports["redis"])
    pubsub = client.pubsub()
    pubsub.psubscribe(f"{prefix}.*")
    assert pubsub.get_message(timeout=10)["type"] == "psubscribe"
    ConfluentKafka(shared_server).publish(f"{prefix}.new", [event(1)])
    PythonApi(shared_server).publish(f"{prefix}.other", [event(2)])
    got = [pubsub.get_message(timeout=10) for _ in range(2)]
    assert [(m["channel"], m["data"]) for m in got] == [
        (f"{prefix}.new".encode(), event(1)),
        (f"{prefix}.other".encode(), event(2)),
    ]
    pubsub.close()
    client.close()
