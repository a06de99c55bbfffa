"""Bad input and bad manners: bombs, floods, garbage, clients that never read. Nobody else notices."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mqtt_wire as wire
from hubbub.protocols.mqtt import wills
from mqtt_double import (
    PEER,
    Client,
    Connection,
    assert_ended,
    assert_refused,
    every_version,
    here_only,
    kept,
    mqtt_listener,
    pass_time,
)
from mqtt_statements import covers
from mqtt_wire import (
    LONGEST_REMAINING,
    PINGREQ,
    V5,
    V31,
    V311,
    Connack,
    Pingresp,
    Will,
    connect,
    publish,
    subscribe,
)

MIB = 1024 * 1024
FEW = {"receive_maximum": 5}
BOMB = wire.varint(LONGEST_REMAINING)


@pytest.fixture
def listener():
    return mqtt_listener()


# Lengths


@here_only
@every_version
@pytest.mark.parametrize("first", [0x30, 0x32, 0x82, 0xA2, 0xE0])
def test_a_packet_that_says_it_will_be_enormous_ends_the_connection_at_once(
    listener, first, version
):
    client = Client(listener, version)
    answers = client.ask(bytes([first]) + BOMB)
    assert_ended(client, answers, 0x95, 0x97)


@covers(v3="3.1.4-1", v5="3.1.4-1 3.14.0-1")
def test_a_connect_that_says_it_will_be_enormous_is_not_waited_for(listener):
    connection = Connection(listener)
    answers = connection.ask(b"\x10" + BOMB + connect()[2:12])
    assert connection.closed or PEER
    assert all(isinstance(answer, Connack) and answer.reason for answer in answers)


@here_only
@every_version
def test_what_is_announced_takes_no_memory_before_it_is_there(listener, version):
    clients = [Client(listener, version) for _ in range(50)]
    head = b"\x30" + wire.varint(MIB) + b"\0\x01a"
    for client in clients:
        client.send(head)
        assert not client.closed
    assert sum(client.line.session.unparsed_bytes for client in clients) <= 50 * len(head)


@every_version
@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff\x01", b"\x80\x80\x80\x80\x00", b"\xff" * 9])
def test_a_length_of_more_than_four_bytes_ends_the_connection(listener, length, version):
    client = Client(listener, version)
    answers = client.ask(b"\x30" + length)
    assert_ended(client, answers, 0x81)
    connection = Connection(listener)
    connection.send(b"\x10" + length)
    assert connection.bytes() == b""
    assert connection.closed


@covers(v5="1.5.5-1")
@pytest.mark.parametrize("length", [b"\x80\0", b"\x80\x80\0", b"\x80\x80\x80\0"])
def test_a_length_in_more_bytes_than_it_needs_ends_the_connection(listener, length):
    client = Client(listener)
    answers = client.ask(b"\xc0" + length)
    if not PEER:
        assert_ended(client, answers, 0x81)


def test_a_packet_of_the_largest_size_that_is_taken_is_taken():
    listener = mqtt_listener(max_packet_size=1000)
    client = Client(listener)
    assert client.connack.props["maximum_packet_size"] == 1000
    client.subscribe("a")
    payload = b"x" * (1000 - len(publish("a")) - 1)
    assert len(publish("a", payload)) == 1000
    client.publish("a", payload)
    assert client.payloads() == [payload]
    assert_ended(client, client.ask(publish("a", payload + b"x")), 0x95)


# Strangers


GREETINGS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP, posting": b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "NATS": b'CONNECT {"verbose":false}\r\n',
    "zeros": bytes(100),
    "ones": b"\xff" * 100,
}


@covers(v3="3.1.0-1", v5="3.1.0-1")
@pytest.mark.parametrize("name", GREETINGS)
def test_who_speaks_something_else_is_cut_off_without_a_word(listener, name):
    connection = Connection(listener)
    connection.send(GREETINGS[name])
    assert connection.bytes() == b""
    assert connection.closed


@here_only
def test_a_connect_that_comes_byte_by_byte_has_to_be_there_in_time():
    listener = mqtt_listener(connect_timeout=10)
    slow, quick = Connection(listener), Connection(listener)
    for byte in connect("slow", will=Will("a", b"x" * 100))[:15]:
        slow.send(bytes([byte]))
        pass_time(listener, 0.6)
    quick.send(connect("quick"))
    pass_time(listener, 2)
    assert slow.bytes() == b""
    assert slow.closed
    assert len(quick.packets()) == 1
    pass_time(listener, 100)
    assert quick.ask(PINGREQ) == [Pingresp()]


# Floods


@every_version
def test_a_flood_of_subscriptions_ends_at_the_limit(version):
    listener = mqtt_listener(max_subscriptions=10)
    client = Client(listener, version)
    names = [f"a/{number}" for number in range(12)]
    found = client.ask(subscribe(1, *names, version=version))
    if version == V31:  # which has no word for it
        assert client.closed or found[0].reasons == (0,) * 12
        return
    refused = 0x97 if version == V5 else 0x80
    assert found[0].reasons == (0,) * 10 + (refused,) * 2
    assert client.subscribe("a/3", "a/99") == (0, refused)
    client.unsubscribe("a/0")
    assert client.subscribe("a/99") == (0,)
    assert client.ask(PINGREQ) == [Pingresp()]


@every_version
def test_one_packet_may_hold_very_many_filters(listener, version):
    client = Client(listener, version)
    names = [f"flood/{number}/+" for number in range(5000)]
    assert client.subscribe(*names) == (0,) * 5000
    client.publish("flood/4999/x", b"x")
    assert client.payloads() == [b"x"]
    client.unsubscribe(*names)
    client.publish("flood/4999/x", b"x")
    assert client.packets() == []


@every_version
def test_what_waits_for_who_is_away_has_an_end(version):
    listener = mqtt_listener(max_queued_messages=10)
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    client.leave()
    source = Client(listener)
    for number in range(100):
        source.publish("a", b"%d" % number, 1)
    found = [int(payload) for payload in Client(listener, version, "c", **kept(version)).payloads()]
    assert 0 < len(found) <= 10
    assert found == sorted(found)


@every_version
def test_what_waits_for_who_never_acknowledges_has_an_end(version):
    listener = mqtt_listener(max_queued_messages=10, max_inflight_messages=5)
    said = kept(version, receive_maximum=5)
    client = Client(listener, version, "c", **said)
    client.subscribe(("a", 1))
    source = Client(listener)
    for number in range(100):
        source.publish("a", b"%d" % number, 1)
    assert len(client.messages()) == 5
    client.drop()
    found = Client(listener, version, "c", **said).payloads()
    assert 5 <= len(found) <= 15
    assert [int(payload) for payload in found[:5]] == [0, 1, 2, 3, 4]


@every_version
def test_what_waits_for_a_session_that_is_not_kept_has_an_end(version):
    listener = mqtt_listener(max_queued_messages=10, max_inflight_messages=5)
    client = Client(listener, version, **({"props": FEW} if version == V5 else {}))
    client.subscribe(("a", 1))
    source = Client(listener)
    for number in range(100):
        source.publish("a", b"%d" % number, 1)
    assert client.payloads() == [b"%d" % number for number in range(15)]


@every_version
def test_there_are_only_so_many_sessions(version):
    listener = mqtt_listener(max_sessions=3)
    for number in range(3):
        Client(listener, version, f"kept-{number}", **kept(version)).leave()
    assert_refused(listener, connect("more", version, **kept(version)), version, 3, {0x97, 0x88})
    assert Client(listener, version, "kept-1", **kept(version)).connack.reason == 0


@every_version
def test_there_are_only_so_many_retained_messages(version):
    listener = mqtt_listener(max_retained_messages=3)
    client = Client(listener, version)
    for number in range(5):
        client.ask(publish(f"a/{number}", b"x", retain=True, version=version))
    client = Client(listener, version)
    client.subscribe("a/#")
    assert len(client.messages()) == 3


@here_only
@every_version
def test_who_does_not_read_is_cut_off_and_the_others_are_not(listener, version):
    slow, quick = Client(listener, version), Client(listener, version)
    slow.subscribe("a")
    quick.subscribe("a")
    slow.line.outbox.limit = 100_000
    source = Client(listener)
    for _ in range(200):
        source.publish("a", b"x" * 1000)
        assert len(quick.messages()) == 1
    assert slow.closed


@here_only
@every_version
def test_nothing_is_left_of_clients_that_went(listener, version):
    for end in ("leave", "drop"):
        for _ in range(20):
            client = Client(listener, version)
            client.subscribe(("a", 1), ("$share/g/a", 1))
            getattr(client, end)()
    assert listener.broker.routes.of("a").observers == ()


def test_very_many_user_properties_are_passed_on(listener):
    pairs = [(str(number), "x") for number in range(5000)]
    client = Client(listener)
    client.subscribe("a")
    client.publish("a", b"x", props={"user_property": pairs})
    (message,) = client.take()
    assert message.props["user_property"] == pairs


# Bad manners


@covers(v3="3.14.4-3")
@every_version
def test_what_follows_disconnect_is_not_carried_out(listener, version):
    watcher = Client(listener)
    watcher.subscribe("a")
    client = Client(listener, version)
    answers = client.ask(wire.disconnect(version=version), publish("a", version=version), PINGREQ)
    assert answers == []
    assert client.closed
    assert watcher.packets() == []


@every_version
def test_a_client_that_publishes_to_itself_without_end_is_one_message_a_round(listener, version):
    client = Client(listener, version)
    client.subscribe("a")
    for number in range(50):
        client.publish("a", b"%d" % number)
        assert client.payloads() == [b"%d" % number]


# Garbage


SAMPLES = [
    connect("fuzz", V5, will=Will("a", b"x"), props={"user_property": ("a", "b")}),
    connect("fuzz", V311, username="u", password=b"p"),
    publish("a", b"x", 1, packet_id=7, props={"topic_alias": 1}),
    publish("a/b", b"x", 2, packet_id=8, version=V311),
    subscribe(3, ("a/#", 2), "+", props={"subscription_identifier": 300}),
    wire.unsubscribe(4, "a/#"),
    wire.acknowledgement(wire.PUBREL, 8, 0x92, {"reason_string": "x"}),
    wire.acknowledgement(wire.PUBACK, 7),
    wire.disconnect(4, {"session_expiry_interval": 9}),
    wire.auth(),
    PINGREQ,
]
mutated = st.tuples(
    st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)))
)


def mutate(sample):
    data, changes = sample
    changed = bytearray(data)
    for place, byte in changes:
        changed[place % len(changed)] = byte
    return bytes(changed)


@here_only
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    version=st.sampled_from([V31, V311, V5]),
    samples=st.lists(mutated | st.tuples(st.binary(min_size=1), st.just([])), max_size=6),
)
def test_garbage_harms_nobody_else(listener, version, samples):
    said = [mutate(sample) for sample in samples]
    witness = Client(listener, V5, "witness")
    stranger, client = Connection(listener), Client(listener, version, "fuzzed")
    for connection in (stranger, client):
        for data in said:
            connection.send(data)
            pass_time(listener, 0.1)
        connection.line.read()
        connection.drop()
    witness.subscribe("seen")
    witness.publish("seen", b"x")
    assert b"x" in witness.payloads()


@here_only
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(samples=st.lists(mutated, min_size=1, max_size=4), data=st.data())
def test_garbage_means_the_same_however_it_is_cut(samples, data):
    """But for what comes first, an acknowledgement or a message that comes back."""
    stream = connect("fuzzed") + b"".join(mutate(sample) for sample in samples)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    edges = [0, *sorted(cuts), len(stream)]
    answers = []
    for parts in ([stream], [stream[a:b] for a, b in pairwise(edges)]):
        connection = Connection(mqtt_listener())
        for part in parts:
            connection.send(part)
        answers.append((sorted(connection.packets(), key=repr), connection.closed))
    assert answers[0] == answers[1]


# Memory


@here_only
def test_aliases_are_for_names_of_some_length_and_have_an_end(listener):
    client = Client(listener, props={"topic_alias_maximum": 65_535})
    client.subscribe("#")
    source = Client(listener)
    source.send(publish("x" * 300, b"x"), publish("x" * 300, b"x"))
    assert [message.props for message in client.messages()] == [{}, {}]
    for number in range(1500):
        source.send(publish(f"a/{number}", b"x"))
    found = [message.props.get("topic_alias", 0) for message in client.messages()]
    assert found == [*range(1, 1025), *[0] * 476]


@here_only
def test_long_names_are_not_remembered_for_each_client(listener):
    client = Client(listener)
    client.subscribe(("#", 0), ("+/b", 1))
    source = Client(listener)
    for number in range(50):
        source.send(publish(f"{number}" + "x" * 1000, b"x"), publish(f"{number}/b", b"x"))
    assert len(client.take()) == 100
    (state,) = [each for each in listener.sessions if each.client_id == client.client_id]
    assert len(state.filters._remembered) == 50


@here_only
def test_wills_that_wait_have_an_end(listener, monkeypatch):
    monkeypatch.setattr(wills, "MAX_DELAYED_BYTES", 2500)
    heir = Client(listener)
    heir.subscribe("gone")
    for number in range(4):
        will = Will("gone", b"%d" % number + b"x" * 1000, props={"will_delay_interval": 100})
        Client(listener, V5, f"c{number}", will=will, **kept(V5)).drop()
    assert [payload[:1] for payload in heir.payloads()] == [b"2", b"3"]
    Client(listener, V5, "c0", **kept(V5))
    will = Will("gone", b"4" + b"x" * 1000, props={"will_delay_interval": 100})
    Client(listener, V5, "c4", will=will, **kept(V5)).drop()
    assert heir.payloads() == []
    pass_time(listener, 101)
    assert sorted(payload[:1] for payload in heir.payloads()) == [b"1", b"4"]
