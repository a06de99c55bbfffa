"""The order of replies while some of them wait for the disk."""

from __future__ import annotations

import pytest

from hubbub.model.errors import StorageError, StorageFullError
from hubbub.model.settings import TopicSettings
from hubbub.protocols.redis import replies
from redis_double import Connection, request, small_listener


@pytest.fixture
def listener():
    listener = small_listener()
    listener.broker.store("stored", "other")
    return listener


def test_a_publish_to_a_stored_topic_is_answered_when_it_is_durable(listener):
    client = Connection(listener)
    assert client.ask_inline("PUBLISH stored 1") == b""
    listener.broker.sync()
    assert client.read() == b":0\r\n"


def test_later_replies_wait_their_turn(listener):
    client = Connection(listener)
    assert client.ask_inline("PING", "PUBLISH stored 1", "PING a", "nonsense") == b"+PONG\r\n"
    assert client.ask_inline("PUBLISH other 2", "PUBLISH live 3") == b""
    listener.broker.partition("other").sync()
    assert client.read() == b""
    listener.broker.partition("stored").sync()
    assert client.read() == (
        b":0\r\n$1\r\na\r\n-ERR unknown command 'nonsense', with args beginning with: \r\n"
        b":0\r\n:0\r\n"
    )


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (StorageError("the disk refused"), b"-MISCONF the disk refused\r\n"),
        (StorageFullError("no space left"), b"-MISCONF no space left\r\n"),
    ],
)
def test_a_publish_that_the_disk_lost_is_answered_with_an_error(listener, failure, code):
    client = Connection(listener)
    client.ask_inline("PUBLISH stored 1", "PING")
    listener.broker.sync(failure)
    assert client.read() == code + b"+PONG\r\n"
    assert b"errorstat_MISCONF:count=1\r\n" in client.ask_inline("INFO errorstats")


def test_a_publish_that_is_refused_at_once_is_answered_at_once(listener):
    listener.broker.store("small", settings=TopicSettings(max_message_bytes=100))
    client, large = Connection(listener), "x" * 100
    answers = client.ask(request("PUBLISH", "small", large) + request("PUBLISH", "live", large))
    refused, second, _ = answers.split(b"\r\n")
    assert refused.startswith(b"-ERR the batch has ")
    assert second == b":0"


def test_exec_is_one_array_however_long_its_publishes_take(listener):
    client = Connection(listener)
    client.ask_inline("HELLO 3", "SUBSCRIBE live")
    assert client.ask_inline("MULTI", "PING", "PUBLISH stored 1", "PING a", "EXEC") == (
        b"+OK\r\n" + b"+QUEUED\r\n" * 3 + b"*3\r\n+PONG\r\n"
    )
    Connection(listener).ask_inline("PUBLISH live x")
    assert client.read() == b""  # a delivery now would be taken for an element
    listener.broker.sync()
    assert client.read() == (b":0\r\n$1\r\na\r\n>3\r\n$7\r\nmessage\r\n$4\r\nlive\r\n$1\r\nx\r\n")


def test_no_message_comes_before_the_confirmation_of_its_subscription(listener):
    client = Connection(listener)
    client.ask_inline("PUBLISH stored 1", "SUBSCRIBE live")
    Connection(listener).ask_inline("PUBLISH live x")
    listener.broker.sync()
    assert client.read() == (
        b":0\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nlive\r\n:1\r\n" + request("message", "live", "x")
    )


def test_deliveries_that_wait_are_held_to_the_outbox_limit(listener):
    client = Connection(listener)
    client.ask_inline("PUBLISH stored 1", "SUBSCRIBE live")
    client.outbox.limit = 1000
    publisher = Connection(listener)
    for _ in range(20):
        publisher.ask_inline("PUBLISH live " + "x" * 100)
    assert client.outbox.overflowed
    assert listener.stats.slow_consumers == 1


def test_deliveries_that_waited_once_count_no_more(listener):
    client = Connection(listener)
    client.ask_inline("HELLO 3", "SUBSCRIBE live")
    client.outbox.limit = 1000
    publisher = Connection(listener)
    for _ in range(20):
        client.ask_inline("PUBLISH stored 1")
        publisher.ask_inline("PUBLISH live " + "x" * 100)
        listener.broker.sync()
        assert client.read().endswith(b"x\r\n")
        assert client.ask_inline("PUBLISH live " + "y" * 100).endswith(b"y\r\n")


def test_reading_pauses_while_too_many_replies_wait(listener, monkeypatch):
    monkeypatch.setattr(replies, "MAX_WAITING", 3)
    client = Connection(listener)
    client.ask_inline("PUBLISH stored 1", "PUBLISH stored 2")
    assert not client.session.paused
    client.ask_inline("PING")
    assert client.session.paused
    listener.broker.sync()
    assert not client.session.paused
    assert client.read() == b":0\r\n:0\r\n+PONG\r\n"


def test_quit_closes_after_the_replies_that_wait(listener):
    client = Connection(listener)
    client.ask_inline("PUBLISH stored 1", "QUIT", "PING")
    assert not client.closed
    listener.broker.sync()
    assert client.read() == b":0\r\n+OK\r\n"
    assert client.closed


def test_a_muted_publish_keeps_no_place(listener):
    client = Connection(listener)
    assert client.ask_inline("CLIENT REPLY SKIP", "PUBLISH stored 1", "PING") == b"+PONG\r\n"
    listener.broker.sync()
    assert client.read() == b""


def test_durability_that_comes_after_the_client_went_hurts_nobody(listener):
    client = Connection(listener)
    client.ask_inline("PUBLISH stored 1")
    client.session.disconnected()
    listener.broker.sync()
    assert not listener.broker.awaited


@pytest.mark.parametrize("before", ["PING", "PUBLISH stored 1"])
def test_a_client_that_leaves_too_many_replies_unread_is_cut_off(listener, monkeypatch, before):
    monkeypatch.setattr(replies, "MAX_UNREAD_BYTES", 1000)
    client, echo = Connection(listener), "ECHO " + "x" * 100
    client.session.receive(f"{before}\r\n".encode() + f"{echo}\r\n".encode() * 9)
    assert not client.closed
    listener.broker.sync()
    client.outbox.take()
    client.session.receive(f"{before}\r\n".encode() + f"{echo}\r\n".encode() * 10)
    assert client.outbox.overflowed


def test_muted_publishes_do_not_count_as_unread_answers(listener, monkeypatch):
    monkeypatch.setattr(replies, "MAX_UNREAD_BYTES", 1000)
    client = Connection(listener)
    client.ask_inline("CLIENT REPLY OFF")
    for _ in range(300):
        client.session.receive(request("PUBLISH", "stored", "x"))
        listener.broker.sync()
    assert client.ask_inline("CLIENT REPLY ON", "PING") == b"+OK\r\n+PONG\r\n"
    assert not client.closed
