"""PUBLISH: what a server does with it, its topic, its flags and its place in line (MQTT 3.3, 4.6, 4.7)."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from broker_doubles import DenyList
from held_log import HeldLog
from hubbub.model.address import MAX_LEVELS, Address
from hubbub.model.errors import StorageError
from mqtt_double import (
    Client,
    assert_ended,
    every_version,
    here_only,
    kept,
    mqtt_listener,
    older_versions,
)
from mqtt_statements import covers
from mqtt_wire import V5, Puback, Pubcomp, Pubrec

LONGEST = 65_535  # bytes of a topic


@pytest.fixture
def listener():
    return mqtt_listener()


@pytest.fixture
def reader(listener):
    """Who is subscribed to everything, with any QoS."""
    client = Client(listener, client_id="reader")
    client.subscribe(("#", 2))
    return client


# Answers


@covers(v3="3.3.4-1 2.3.1-6 4.3.2-2 4.3.3-2", v5="3.3.4-1 2.2.1-5 4.3.2-4 4.3.3-8 4.3.3-11")
@every_version
def test_each_qos_has_an_answer_of_its_own(listener, reader, version):
    client = Client(listener, version)
    said = {"version": version}
    assert client.ask(wire.publish("a", b"0", **said)) == []
    assert client.ask(wire.publish("a", b"1", 1, packet_id=7, **said)) == [Puback(7)]
    assert client.ask(wire.publish("a", b"2", 2, packet_id=65_535, **said)) == [Pubrec(65_535)]
    assert client.ask(client.acknowledgement(wire.PUBREL, 65_535)) == [Pubcomp(65_535)]
    assert reader.payloads() == [b"0", b"1", b"2"]


@covers(v5="3.4.2-1 3.5.2-1")
def test_a_publisher_may_learn_that_nobody_listens(listener):
    client = Client(listener)
    assert client.publish("a", b"x", 1) in {0, 0x10}
    assert client.publish("a", b"x", 2) in {0, 0x10}
    client.subscribe("a")
    assert client.publish("a", b"x", 1) == 0


def test_a_publisher_with_qos_1_is_told_that_nobody_listens(listener):
    client = Client(listener)
    assert client.publish("a", b"x", 1) == 0x10


@covers(v3="2.3.1-5 4.3.1-1 3.3.1-2", v5="2.2.1-2 4.3.1-1 3.3.1-2")
@every_version
def test_what_is_sent_with_qos_0_has_no_packet_id_either_way(listener, version):
    client = Client(listener, version)
    client.subscribe("a")
    client.send(wire.publish("a", b"\0\1payload", version=version))
    expected = b"\x00\x01a" + (b"\x00" if version == V5 else b"") + b"\0\1payload"
    assert client.bytes() == wire.packet(0x30, expected)


@every_version
@pytest.mark.parametrize("payload", [b"", b"\0", bytes(range(256)), b"\xff" * 1000, b"x" * 200_000])
def test_a_payload_is_any_bytes(listener, reader, payload, version):
    client = Client(listener, version)
    client.publish("a", payload, 1)
    assert reader.payloads() == [payload]


@covers(v3="7.1.1-1", v5="1.5.5-1")
@every_version
@pytest.mark.parametrize("size", [127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_lengths_are_written_in_as_few_bytes_as_they_need(listener, size, version):
    client = Client(listener, version)
    client.subscribe("a")
    head = b"\x00\x01a" + (b"\x00" if version == V5 else b"")
    client.send(wire.packet(0x30, head + bytes(size - len(head))))
    came = client.bytes()
    assert came == wire.packet(0x30, head + bytes(size - len(head)))


# Topics


@covers(v3="3.3.2-3 4.7.3-4 3.3.2-1", v5="3.3.2-3 4.7.3-4 3.3.2-1")
@every_version
@pytest.mark.parametrize(
    "topic",
    [
        "a", "/", "//", "/a", "a/", "a//b", "with blanks /in it ", "A", ".", "a.b/c", "*", ">", "a/*/>",
        "\u00e9", "e\u0301", "\u2126", "\ufb01", "\U0001f600/x", "%20", "a%2Fb", "\\", "//a",
        "..", "../a", "a?b", "[a]", "-", "%-", "\u200b", "a\u00a0", "x" * 300,
    ],
)  # fmt: skip
def test_a_topic_arrives_as_it_was_sent(listener, topic, version):
    client = Client(listener, version)
    client.subscribe((topic, 0), ("other", 0))
    client.publish(topic, b"x")
    assert [(found.topic, found.payload) for found in client.messages()] == [(topic, b"x")]


ALIKE = [
    ("a", "A"),
    ("a", "/a"),
    ("a", "a/"),
    ("a/b", "a//b"),
    ("a", " a"),
    ("a.b", "a/b"),
    ("\u00e9", "e\u0301"),
    ("\u2126", "\u03a9"),
    ("\ufb01", "fi"),
    ("a", "\ufeffa"),
    ("a b", "a%20b"),
    ("a/b", "a%2Fb"),
    ("%", "%25"),
    ("a.b", "a%2Eb"),
    ("%-/x", "/x"),
    ("\u00ff", "%FF"),
    ("\u0130", "i\u0307"),
]


@covers(v3="4.7.3-4", v5="4.7.3-4")
@every_version
@pytest.mark.parametrize("pair", ALIKE)
def test_topics_that_look_alike_are_not_the_same(listener, pair, version):
    for ours, other in (pair, reversed(pair)):
        client = Client(listener, version)
        client.subscribe(ours)
        client.publish(other, b"x")
        client.publish(ours, b"y", retain=True)
        assert client.payloads() == [b"y"]
        client.subscribe(other)
        assert client.payloads() == ([b"y"] if (ours, other) == tuple(reversed(pair)) else [])
        client.drop()


@covers(v3="1.5.3-3", v5="1.5.4-3")
@every_version
def test_a_byte_order_mark_is_a_letter_like_others(listener, version):
    client = Client(listener, version)
    client.subscribe("\ufeffa", "b\ufeff", "a")
    for topic in ("\ufeffa", "b\ufeff", "a", "b"):
        client.publish(topic, b"x")
    assert [message.topic for message in client.messages()] == ["\ufeffa", "b\ufeff", "a"]


@covers(v3="4.7.3-3", v5="4.7.3-3")
@every_version
@pytest.mark.parametrize("topic", ["x" * LONGEST, "\u2603" * (LONGEST // 3)])
def test_a_topic_may_be_as_long_as_a_string(listener, reader, topic, version):
    client = Client(listener, version)
    client.subscribe(topic)
    client.publish(topic, b"x", 1)
    assert [message.topic for message in client.messages()] == [topic]
    assert [message.topic for message in reader.take()] == [topic]


BAD_TOPICS = {
    "empty": "",
    "+": "+",
    "#": "#",
    "+ at the end": "a/+",
    "+ in the middle": "a/+/b",
    "+ within": "a+b",
    "# at the end": "a/#",
    "# within": "a#b",
    "NUL": "a\0b",
}


@covers(v3="3.3.2-2 4.7.1-1 4.7.3-1 4.7.3-2 4.8.0-1", v5="3.3.2-2 4.7.0-1 4.7.3-1 4.7.3-2 4.13.1-1")
@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("name", BAD_TOPICS)
def test_a_topic_that_is_none_ends_the_connection(listener, reader, name, qos, version):
    client = Client(listener, version)
    packet_id = 1 if qos else None
    answers = client.ask(
        wire.publish(BAD_TOPICS[name], b"x", qos, packet_id=packet_id, version=version)
    )
    assert_ended(client, answers, 0x81, 0x82, 0x90)
    assert reader.packets() == []


@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_topic_of_more_levels_than_any_is_refused(listener, reader, qos, version):
    client = Client(listener, version)
    client.ask(
        wire.publish(
            "/".join("a" * (MAX_LEVELS + 1)),
            b"x",
            qos,
            packet_id=9 if qos else None,
            version=version,
        )
    )
    assert reader.packets() == []
    client = Client(listener, version)
    client.publish("/".join("a" * MAX_LEVELS), b"x", qos)
    assert reader.payloads() == [b"x"]


@covers(v3="4.7.2-1", v5="4.7.2-1")
@every_version
def test_names_for_machinery_are_not_in_everything(listener, reader, version):
    client = Client(listener, version)
    client.subscribe("$x/#", "+/y")
    client.publish("$x/y", b"x")
    client.publish("a$/y", b"y")
    assert client.payloads() == [b"x", b"y"]
    assert reader.payloads() == [b"y"]


@here_only
@every_version
@pytest.mark.parametrize("topic", ["$SYS/broker/uptime", "$SYS/x", "$share/g/a"])
def test_names_of_the_servers_own_are_not_published_to(listener, topic, version):
    watcher = Client(listener)
    watcher.subscribe("$SYS/#", "a", "$x/#")
    client = Client(listener, version)
    for qos in (0, 1, 2):
        client.ask(wire.publish(topic, b"x", qos, packet_id=qos or None, version=version))
    Client(listener).publish("$x/y", b"y")
    assert watcher.payloads() == [b"y"]


# Flags


@covers(v3="3.3.1-3 3.3.1-2", v5="3.3.1-3 3.3.1-2 4.3.2-2 4.3.3-2")
@every_version
def test_that_a_publisher_sends_again_is_nothing_to_the_subscribers(listener, version):
    client = Client(listener, version)
    reader = Client(listener, version)
    reader.subscribe(("a", 2))
    for qos in (1, 2):
        client.publish("a", b"x", qos, dup=True)
    assert [(message.qos, message.dup) for message in reader.take()] == [(1, False), (2, False)]


@covers(v3="3.3.1-2", v5="3.3.1-2 4.13.1-1")
@every_version
def test_nobody_sends_again_with_qos_0(listener, reader, version):
    client = Client(listener, version)
    answers = client.ask(wire.publish("a", b"x", dup=True, version=version))
    assert_ended(client, answers, 0x81, 0x82)
    assert reader.packets() == []


@covers(v3="3.3.1-4", v5="3.3.1-4 4.13.1-1")
@every_version
def test_there_is_no_qos_3(listener, reader, version):
    client = Client(listener, version)
    answers = client.ask(wire.publish("a", b"x", 3, packet_id=1, version=version))
    assert_ended(client, answers, 0x81)
    assert reader.packets() == []


# Order


@covers(v3="4.6.0-5 4.6.0-6", v5="4.6.0-5 4.6.0-6")
@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_of_a_client_arrive_in_the_order_in_which_it_sent_them(listener, qos, version):
    reader = Client(listener, version)
    reader.subscribe(("a/#", qos))
    client = Client(listener, version)
    for number in range(50):
        client.publish("a" if number % 3 else "a/b", b"%d" % number, qos)
    assert reader.payloads() == [b"%d" % number for number in range(50)]


@covers(v3="4.6.0-6", v5="4.6.0-5")
@every_version
def test_messages_that_arrive_in_one_go_keep_their_order(listener, reader, version):
    client = Client(listener, version)
    said = [
        wire.publish("a", b"%d" % number, 1, packet_id=number + 1, version=version)
        for number in range(15)
    ]
    assert [answer.packet_id for answer in client.ask(*said)] == list(range(1, 16))
    assert reader.payloads() == [b"%d" % number for number in range(15)]


# Who may not


@covers(v3="3.3.5-2")
@older_versions
@pytest.mark.parametrize("qos", [1, 2])
def test_before_5_a_client_that_may_not_publish_is_answered_as_ever_or_cut_off(version, qos):
    access = DenyList()
    access.denied.add(("publish", "secret"))
    listener = mqtt_listener(access=access)
    reader = Client(listener)
    reader.subscribe("#")
    client = Client(listener, version)
    answers = client.ask(wire.publish("secret", b"x", qos, packet_id=7, version=version))
    assert answers == [Puback(7) if qos == 1 else Pubrec(7)] or (not answers and client.closed)
    assert reader.packets() == []


@covers(v5="3.4.2-1 3.5.2-1")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_client_of_5_is_told_that_it_may_not_publish(qos):
    access = DenyList()
    access.denied.add(("publish", "secret"))
    listener = mqtt_listener(access=access)
    reader = Client(listener)
    reader.subscribe("#")
    client = Client(listener)
    assert client.publish("secret", b"x", qos) == 0x87
    assert client.publish("open", b"y", qos) == 0
    assert reader.payloads() == [b"y"]


# What an acknowledgement is worth


@pytest.fixture
def stored():
    """A listener whose broker keeps "orders", on a disk that waits to be told."""
    log = HeldLog()
    listener = mqtt_listener(log=log)
    listener.broker.create_topic(Address("orders"), 1)
    log.sync()
    return listener


@covers(v3="4.3.2-2 4.3.3-2", v5="4.3.2-4 4.3.3-8")
@every_version
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_is_stored_is_acknowledged_when_it_is_safe(stored, qos, version):
    client = Client(stored, version)
    asked = wire.publish("orders", b"x", qos, packet_id=7, version=version)
    assert client.ask(asked) == []
    stored.broker.log.sync()
    assert client.packets() == [Puback(7) if qos == 1 else Pubrec(7)]


@covers(v3="4.8.0-2")
@older_versions
def test_before_5_a_message_that_could_not_be_stored_ends_the_connection(stored, version):
    client = Client(stored, version)
    client.ask(wire.publish("orders", b"x", 1, packet_id=7, version=version))
    stored.broker.topics.get(Address("orders")).partitions[0].log.fail(StorageError("no"))
    assert client.packets() == []
    assert client.closed


@covers(v5="3.4.2-1 3.5.2-1")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_client_of_5_is_told_that_a_message_could_not_be_stored(stored, qos):
    client = Client(stored, V5)
    client.ask(wire.publish("orders", b"x", qos, packet_id=7))
    stored.broker.topics.get(Address("orders")).partitions[0].log.fail(StorageError("no"))
    (answer,) = client.packets()
    assert answer.reason >= 0x80
    assert client.closed or answer.packet_id == 7


@every_version
def test_acknowledgements_come_in_the_order_of_what_they_acknowledge(stored, version):
    client = Client(stored, version)
    said = [
        wire.publish(topic, b"x", 1, packet_id=number, version=version)
        for number, topic in enumerate(["orders", "live", "orders", "live"], 5)
    ]
    found = client.ask(*said)
    stored.broker.log.sync()
    found += client.packets()
    assert [answer.packet_id for answer in found] == [5, 6, 7, 8]
    assert all(isinstance(answer, Puback) for answer in found)


@every_version
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_was_not_kept_for_who_is_away_is_not_acknowledged(
    stored, qos, version, monkeypatch
):
    away = Client(stored, V5, "away", **kept(V5))
    away.send(wire.subscribe(1, ("orders", 1)))
    stored.broker.log.sync()
    assert len(away.packets()) == 1

    def full(*_args, **_kwargs):
        raise StorageError("no space left")

    monkeypatch.setattr(stored.broker.queues._log, "append", full)
    client = Client(stored, version)
    client.send(wire.publish("orders", b"x", qos, packet_id=7, version=version))
    stored.broker.log.sync()
    assert not [packet for packet in client.packets() if isinstance(packet, Puback | Pubrec)]
    assert client.closed
