"""The listener on the broker as it is, kept in memory."""

from __future__ import annotations

import pytest

from hubbub.broker.broker import Broker
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.model.address import Address
from hubbub.model.message import Message
from hubbub.model.settings import TopicSettings
from hubbub.protocols.redis.listener import RedisListener
from redis_double import Connection, request


@pytest.fixture
def listener():
    listener = RedisListener(Broker(MemoryLog(), Timers(1000.0, 1_700_000_000_000)))
    yield listener
    listener.broker.close()


def test_a_publish_is_stored_where_a_topic_captures_it_and_delivered_live(listener):
    broker = listener.broker
    topic = broker.create_topic(Address("orders"), 1)
    client = Connection(listener)
    client.ask(request("SUBSCRIBE", "orders"))
    publisher = Connection(listener)
    assert publisher.ask_inline("PUBLISH orders 1", "PUBLISH other 2") == b":1\r\n:0\r\n"
    assert client.read() == request("message", "orders", "1")
    assert topic.partitions[0].log.end_offset == 1


def test_a_subscriber_gets_nothing_of_what_was_published_before(listener):
    listener.broker.create_topic(Address("orders"), 1)
    Connection(listener).ask_inline("PUBLISH orders 1")
    late = Connection(listener)
    late.ask_inline("SUBSCRIBE orders")
    assert late.read() == b""


def test_what_others_publish_arrives(listener):
    client = Connection(listener)
    client.ask_inline("PSUBSCRIBE orders.*")
    listener.broker.publish(Message(Address("orders.eu"), b"1", key=b"k"))
    assert client.read() == request("pmessage", "orders.*", "orders.eu", "1")


def test_a_message_larger_than_its_topic_allows_is_refused_and_reaches_nobody(listener):
    settings = TopicSettings(max_message_bytes=1000)
    listener.broker.create_topic(Address("small"), 1, settings)
    client = Connection(listener)
    client.ask_inline("SUBSCRIBE small")
    reply = Connection(listener).ask(request("PUBLISH", "small", "x" * 2000))
    assert reply.startswith(b"-ERR ")
    assert client.read() == b""


@pytest.mark.parametrize("name", ["__consumer_offsets", "__transaction_state", "__hubbub_state"])
def test_the_brokers_own_names_cannot_be_published_to(listener, name):
    assert Connection(listener).ask(request("PUBLISH", name, "x")).startswith(b"-NOPERM ")
