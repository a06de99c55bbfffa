"""Pub/Sub as its subscribers see it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_doubles import DenyList, Recorder
from hubbub.broker.observer import Subscriber
from hubbub.broker.outbox import Outbox
from hubbub.model.address import Address
from hubbub.model.message import Message
from hubbub.model.pattern import Exact
from hubbub.protocols.redis import subscriptions
from redis_double import Connection, request, small_listener

HELLO3 = request("HELLO", "3")


@pytest.fixture
def listener():
    return small_listener()


def subscriber(listener, *subscriptions, resp3=False):
    connection = Connection(listener)
    connection.ask((HELLO3 if resp3 else b"") + b"".join(request(*each) for each in subscriptions))
    return connection


def test_a_message_reaches_the_subscribers_of_its_channel_only(listener):
    news = subscriber(listener, ("SUBSCRIBE", "news"))
    other = subscriber(listener, ("SUBSCRIBE", "other"))
    assert Connection(listener).ask(request("PUBLISH", "news", "hi")) == b":1\r\n"
    assert news.read() == b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
    assert other.read() == b""


def test_channel_and_patterns_of_one_client_each_get_the_message_in_that_order(listener):
    client = subscriber(
        listener, ("PSUBSCRIBE", "n*"), ("SUBSCRIBE", "news"), ("PSUBSCRIBE", "*s"), resp3=True
    )
    assert Connection(listener).ask(request("PUBLISH", "news", "hi")) == b":3\r\n"
    assert client.read() == (
        b">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
        b">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
        b">4\r\n$8\r\npmessage\r\n$2\r\n*s\r\n$4\r\nnews\r\n$2\r\nhi\r\n"
    )


def test_messages_come_in_publish_order(listener):
    client = subscriber(listener, ("SUBSCRIBE", "a"), ("PSUBSCRIBE", "b"))
    publisher = Connection(listener)
    publisher.ask(b"".join(request("PUBLISH", "ab"[n % 2], n) for n in range(20)))
    heard = client.read().split(b"\r\n")
    assert [int(line) for line in heard if line.isdigit()] == list(range(20))


def test_the_publish_count_is_of_every_observer_whatever_its_protocol(listener):
    class Foreign:
        subscriber = Subscriber("test", "foreign")
        messages = ()

        def observe(self, message):
            self.messages += (message,)

    foreign = Foreign()
    listener.broker.subscribe(Exact(Address("news")), foreign)
    subscriber(listener, ("SUBSCRIBE", "news"))
    assert Connection(listener).ask(request("PUBLISH", "news", "hi")) == b":2\r\n"
    [message] = foreign.messages
    assert (message.address, message.value, message.timestamp_ms) == (
        "news", b"hi", listener.broker.timers.wall_ms
    )  # fmt: skip


def test_a_message_of_another_protocol_is_shown_with_its_value_only(listener):
    client = subscriber(listener, ("SUBSCRIBE", "news"))
    tombstone = Message(Address("news"), None, key=b"k", headers=(("h", b"v"),))
    listener.broker.publish(tombstone)
    assert client.read() == b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$0\r\n\r\n"


@settings(max_examples=150)
@given(st.binary(max_size=100), st.binary(max_size=50))
def test_a_channel_is_any_bytes_and_one_frame(channel, payload):
    listener = small_listener()
    client = subscriber(listener, ("SUBSCRIBE", channel))
    assert Connection(listener).ask(request("PUBLISH", channel, payload)) == b":1\r\n"
    assert client.read() == request("message", channel, payload)
    assert Connection(listener).ask(request("PUBSUB", "CHANNELS")) == request(channel)


def test_a_closed_connection_is_subscribed_to_nothing(listener):
    client = subscriber(listener, ("SUBSCRIBE", "a"), ("PSUBSCRIBE", "a*"), ("SSUBSCRIBE", "s"))
    client.session.disconnected()
    client.session.disconnected()
    other = Connection(listener)
    assert other.ask_inline("PUBLISH a x", "SPUBLISH s x", "PUBSUB NUMPAT") == b":0\r\n" * 3
    assert other.ask_inline("PUBSUB CHANNELS", "PUBSUB SHARDCHANNELS") == b"*0\r\n" * 2


def test_reset_unsubscribes_and_forgets_what_the_client_was(listener):
    client = subscriber(listener, ("SUBSCRIBE", "a"), ("CLIENT", "SETNAME", "me"), resp3=True)
    assert client.ask_inline("MULTI", "RESET", "CLIENT GETNAME") == b"+OK\r\n+RESET\r\n$-1\r\n"
    assert Connection(listener).ask(request("PUBLISH", "a", "x")) == b":0\r\n"


def test_numsub_counts_clients_and_numpat_patterns(listener):
    subscriber(listener, ("SUBSCRIBE", "a", "b"), ("PSUBSCRIBE", "p*", "q*"))
    subscriber(listener, ("SUBSCRIBE", "a"), ("PSUBSCRIBE", "p*"))
    asking = Connection(listener)
    assert asking.ask_inline("PUBSUB NUMSUB a b c") == (
        b"*6\r\n$1\r\na\r\n:2\r\n$1\r\nb\r\n:1\r\n$1\r\nc\r\n:0\r\n"
    )
    assert asking.ask_inline("PUBSUB NUMPAT", "PUBSUB CHANNELS [bc]") == b":2\r\n" + request("b")


def test_sharded_channels_are_a_name_space_of_their_own(listener):
    recorder = Recorder(listener.broker)
    sharded = subscriber(listener, ("SSUBSCRIBE", "a"))
    plain = subscriber(listener, ("SUBSCRIBE", "a"), ("PSUBSCRIBE", "*"))
    asking = Connection(listener)
    assert asking.ask_inline("SPUBLISH a 1", "PUBLISH a 2") == b":1\r\n:3\r\n"
    assert sharded.read() == request("smessage", "a", "1")
    assert plain.read() == request("message", "a", "2") + request("pmessage", "*", "a", "2")
    assert [message.value for message in recorder.messages] == [b"2"]
    assert asking.ask_inline("PUBSUB CHANNELS", "PUBSUB SHARDNUMSUB a") == (
        request("a") + b"*2\r\n$1\r\na\r\n:1\r\n"
    )


def test_what_a_command_delivers_to_its_own_client_follows_its_reply(listener):
    client = subscriber(listener, ("SUBSCRIBE", "a"), resp3=True)
    delivery = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"
    assert client.ask(request("PUBLISH", "a", "x")) == b":1\r\n" + delivery
    assert client.ask_inline("MULTI", "PUBLISH a x", "PING", "EXEC") == (
        b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n+PONG\r\n" + delivery
    )


def test_replies_may_be_silenced_but_not_deliveries_and_confirmations(listener):
    client = subscriber(listener, resp3=True)
    silent = client.ask_inline("CLIENT REPLY OFF", "PING", "PUBLISH a x", "nonsense")
    assert silent == b""
    assert client.ask_inline("SUBSCRIBE a").startswith(b">3\r\n$9\r\nsubscribe")
    Connection(listener).ask(request("PUBLISH", "a", "x"))
    assert client.read().startswith(b">3\r\n$7\r\nmessage")


def test_a_reserved_name_cannot_be_published_to(listener):
    state = listener.broker.partition("__hubbub_state")
    before = state.end_offset
    reply = Connection(listener).ask(request("PUBLISH", "__hubbub_state", "x"))
    assert reply.startswith(b"-NOPERM ")
    assert state.end_offset == before


@pytest.mark.parametrize("command", ["SUBSCRIBE", "SSUBSCRIBE"])
def test_one_name_that_is_refused_refuses_the_whole_request(command):
    denials = DenyList()
    listener = small_listener(denials)
    denials.denied.add(("subscribe", "secret"))
    client = Connection(listener)
    assert client.ask(request(command, "a", "secret")).startswith(b"-NOPERM ")
    assert client.ask(request(command, "a", "." * 201)).startswith(b"-ERR an address ")
    assert client.ask_inline("PUBSUB CHANNELS", "PUBSUB SHARDCHANNELS") == b"*0\r\n" * 2


@pytest.mark.parametrize(
    ("subscribe", "publish"), [("SSUBSCRIBE", "SPUBLISH"), ("SUBSCRIBE", "PUBLISH")]
)
def test_channels_ask_for_permission_to_publish_and_to_receive(subscribe, publish):
    denials = DenyList()
    listener = small_listener(denials)
    client = subscriber(listener, (subscribe, "a", "b"))
    denials.denied |= {("publish", "a"), ("receive", "b")}
    publisher = Connection(listener)
    assert publisher.ask(request(publish, "a", "x")).startswith(b"-NOPERM ")
    assert publisher.ask(request(publish, "b", "x")) == b":0\r\n"
    assert client.read() == b""


def test_a_client_has_a_bounded_number_of_subscriptions(listener, monkeypatch):
    monkeypatch.setattr(subscriptions, "MAX_SUBSCRIPTIONS", 3)
    client = subscriber(listener, ("SUBSCRIBE", "a", "b"), ("PSUBSCRIBE", "c"))
    assert client.ask_inline("SSUBSCRIBE d").startswith(b"-ERR a client has at most 3 ")
    assert client.ask_inline("SUBSCRIBE a b").count(b"subscribe") == 2


def test_a_pattern_too_long_to_match_safely_is_refused(listener):
    client = Connection(listener)
    assert client.ask(request("PSUBSCRIBE", "*" * 2000)).startswith(b"-ERR a glob pattern ")
    assert client.ask(request("PUBSUB", "CHANNELS", "*" * 2000)).startswith(b"-ERR a glob ")


def test_a_subscriber_that_does_not_read_is_cut_off_and_counted(listener):
    slow = subscriber(listener, ("SUBSCRIBE", "a"))
    slow.outbox.limit = 1000
    publisher = Connection(listener)
    for _ in range(20):
        assert publisher.ask(request("PUBLISH", "a", "x" * 100)) == b":1\r\n"
    assert slow.outbox.overflowed
    assert slow.read() == b""
    info = publisher.ask(request("INFO", "stats"))
    assert b"client_output_buffer_limit_disconnections:1\r\n" in info


def test_what_a_client_delivers_to_itself_in_one_go_is_bounded_too(listener):
    client = subscriber(listener, ("SUBSCRIBE", "a"), resp3=True)
    client.outbox.limit = 1000
    client.ask_inline("MULTI", *["PUBLISH a " + "x" * 100] * 20, "EXEC")
    assert client.outbox.overflowed


def test_the_outbox_limit_is_a_parameter(listener):
    client = Connection(listener)
    client.ask(request("CONFIG", "SET", "client-output-buffer-limit", "pubsub 2mb 0 0"))
    assert client.outbox.limit == 2 * 1024 * 1024
    later = Outbox()
    listener.session(client.session.client.peer, later)
    assert later.limit == client.outbox.limit


def test_one_rendering_is_shared_by_all_who_get_the_same_bytes(listener):
    clients = [subscriber(listener, ("SUBSCRIBE", "a")) for _ in range(3)]
    Connection(listener).ask(request("PUBLISH", "a", "x" * 10_000))
    first, *others = [client.outbox.take() for client in clients]
    assert all(frames[0] is first[0] for frames in others)


def test_a_pattern_is_rendered_once_for_all_who_follow_it(listener):
    clients = [subscriber(listener, ("PSUBSCRIBE", "a*")) for _ in range(3)]
    Connection(listener).ask(request("PUBLISH", "abc", "x" * 10_000))
    first, *others = [client.outbox.take() for client in clients]
    assert first[0].startswith(b"*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$3\r\nabc\r\n$10000\r\n")
    assert all(frames[0] is first[0] for frames in others)


def test_a_sharded_message_is_rendered_once_for_all_who_get_it(listener):
    clients = [subscriber(listener, ("SSUBSCRIBE", "a")) for _ in range(3)]
    assert Connection(listener).ask(request("SPUBLISH", "a", "x" * 10_000)) == b":3\r\n"
    first, *others = [client.outbox.take() for client in clients]
    assert all(frames[0] is first[0] for frames in others)
