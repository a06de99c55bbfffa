"""PUBLISH after PUBLISH: carried out together, answered as if one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_doubles import Recorder
from redis_double import Connection, request, small_listener

channels = st.sampled_from(["a", "a.b", "stored", "__hubbub_state", "b", "." * 200])
publishes = st.tuples(
    st.sampled_from(["PUBLISH", "publish", "Publish"]), channels, st.binary(max_size=30)
)
others = st.sampled_from([
    ("PING",), ("ECHO", "x"), ("MULTI",), ("EXEC",), ("DISCARD",), ("PUBLISH", "a"),
    ("CLIENT", "REPLY", "SKIP"), ("PUBLISH", "a", "b", "c"), ("HELLO", "3"), ("SUBSCRIBE", "a"),
    ("UNSUBSCRIBE",), ("SPUBLISH", "a", "x"), ("nonsense",),
])  # fmt: skip
inline = st.sampled_from([b"PUBLISH a x\r\n", b"PING\r\n", b"\r\n", b'PUBLISH "a b" "x"\n'])


def heard(requests, cuts):
    """What the publisher and two subscribers hear, and what is stored."""
    listener = small_listener()
    listener.broker.store("stored")
    subscribers = [Connection(listener) for _ in range(2)]
    subscribers[0].ask(request("SUBSCRIBE", "a", "stored", "a b"))
    subscribers[1].ask(request("HELLO", "3") + request("PSUBSCRIBE", "a*", "*"))
    recorder, client = Recorder(listener.broker), Connection(listener)
    stream, at, said = b"".join(requests), 0, b""
    for cut in [*cuts, len(stream)]:
        client.session.receive(stream[at:cut])
        at = max(at, cut)
        listener.broker.sync()
        said += client.read()
    return (
        said,
        [subscriber.read() for subscriber in subscribers],
        [(message.address, message.value) for message in recorder.messages],
        listener.broker.partition("stored").end_offset,
        client.closed,
    )


@settings(max_examples=150)
@given(st.lists(st.one_of(publishes, publishes, others, inline), max_size=25), st.data())
def test_what_is_heard_does_not_depend_on_where_the_stream_is_cut(requests, data):
    frames = [each if isinstance(each, bytes) else request(*each) for each in requests]
    ends = [sum(map(len, frames[: index + 1])) for index in range(len(frames))]
    size = ends[-1] if ends else 0
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=8)))
    assert heard(frames, cuts) == heard(frames, ends) == heard(frames, [])


def test_each_publish_of_a_burst_has_its_own_count():
    listener = small_listener()
    Connection(listener).ask(request("SUBSCRIBE", "a", "b"))
    Connection(listener).ask(request("SUBSCRIBE", "b"))
    client = Connection(listener)
    stream = b"".join(request("PUBLISH", channel, "x") for channel in "abcab")
    assert client.ask(stream) == b":1\r\n:2\r\n:0\r\n:1\r\n:2\r\n"


def test_a_burst_longer_than_what_is_carried_out_together_is_answered_in_full():
    listener = small_listener()
    subscriber, client = Connection(listener), Connection(listener)
    subscriber.ask(request("SUBSCRIBE", "a"))
    stream = b"".join(request("PUBLISH", "a", str(number)) for number in range(10_000))
    assert client.ask(stream) == b":1\r\n" * 10_000
    assert subscriber.read() == b"".join(
        request("message", "a", str(number)) for number in range(10_000)
    )


def test_a_burst_into_a_stored_topic_is_one_batch_and_answered_by_one_sync():
    listener = small_listener()
    listener.broker.store("stored")
    client = Connection(listener)
    assert client.ask(request("PUBLISH", "stored", "x") * 500) == b""
    log = listener.broker.partition("stored")
    assert (log.end_offset, len(log._entries)) == (500, 1)
    listener.broker.sync()
    assert client.read() == b":0\r\n" * 500


@pytest.mark.parametrize("size", [64 * 1024 - 50, 64 * 1024, 300_000, 3_000_000])
def test_a_payload_of_any_size_arrives_whole_however_it_is_cut(size):
    listener = small_listener()
    subscriber, client = Connection(listener), Connection(listener)
    subscriber.ask(request("SUBSCRIBE", "a"))
    payload = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    stream = request("PUBLISH", "a", payload) * 2
    for at in range(0, len(stream), 100_003):
        client.session.receive(stream[at : at + 100_003])
    assert client.read() == b":1\r\n" * 2
    assert subscriber.read() == request("message", "a", payload) * 2


def test_a_publish_larger_than_the_limit_is_the_same_error_as_ever():
    client = Connection(small_listener())
    client.ask(request("CONFIG", "SET", "proto-max-bulk-len", "1mb"))
    client.session.receive(request("PUBLISH", "a", "x" * 2_000_000))
    assert client.read() == b"-ERR Protocol error: invalid bulk length\r\n"
    assert client.closed
