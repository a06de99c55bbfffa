"""Retained messages: the last word on each topic, for whoever comes later (MQTT 3.3.1.3)."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from hubbub.model.errors import StorageError
from mqtt_double import Client, every_version, here_only, kept, mqtt_listener, pass_time
from mqtt_statements import covers
from mqtt_wire import V5, Publish, Suback

NO_LOCAL, RETAIN_AS_PUBLISHED = 0x04, 0x08
IF_NEW, NEVER = 0x10, 0x20  # when to send what is retained


@pytest.fixture
def listener():
    return mqtt_listener()


def retained_on(listener, *filters, version=V5):
    """What a new client is sent for these filters: (topic, payload, QoS) by topic."""
    client = Client(listener, version)
    client.subscribe(*((name, 2) for name in filters))
    found = client.take()
    assert all(message.retain and not message.dup for message in found)
    client.leave()
    return sorted((message.topic, message.payload, message.qos) for message in found)


@covers(v3="3.3.1-5 3.3.1-6 3.3.1-8", v5="3.3.1-5 3.3.1-9")
@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_retained_message_is_sent_to_later_subscribers_with_its_qos(listener, qos, version):
    Client(listener, version).publish("a/b", b"x", qos, retain=True)
    for name in ("a/b", "a/+", "#", "a/b/#"):
        assert retained_on(listener, name, version=version) == [("a/b", b"x", qos)]
    assert retained_on(listener, "a", "a/b/c", "a/+/c", "b/#", version=version) == []


@covers(v3="3.3.1-6", v5="3.3.1-9")
@every_version
def test_of_each_topic_there_is_one(listener, version):
    client = Client(listener, version)
    for topic in ("a", "a/b", "/a", "b"):
        client.publish(topic, topic.encode(), 1, retain=True)
    assert retained_on(listener, "#", version=version) == [
        ("/a", b"/a", 1), ("a", b"a", 1), ("a/b", b"a/b", 1), ("b", b"b", 1),
    ]  # fmt: skip
    assert retained_on(listener, "a/#", version=version) == [("a", b"a", 1), ("a/b", b"a/b", 1)]
    assert retained_on(listener, "+", version=version) == [("a", b"a", 1), ("b", b"b", 1)]


@covers(v3="3.3.1-5 3.3.1-7", v5="3.3.1-5")
@every_version
@pytest.mark.parametrize("second", [0, 1, 2])
def test_a_newer_one_takes_the_place_of_an_older_one(listener, second, version):
    client = Client(listener, version)
    client.publish("a", b"older", 2, retain=True)
    client.publish("a", b"newer", second, retain=True)
    assert retained_on(listener, "a", version=version) == [("a", b"newer", second)]


@covers(v3="3.3.1-12", v5="3.3.1-8")
@every_version
@pytest.mark.parametrize("payload", [b"passing", b""])
def test_a_message_that_is_not_to_be_retained_changes_nothing(listener, payload, version):
    client = Client(listener, version)
    client.publish("a", b"kept", 1, retain=True)
    client.publish("a", payload, 1)
    client.publish("b", payload, 1)
    assert retained_on(listener, "#", version=version) == [("a", b"kept", 1)]


@covers(v3="3.3.1-10 3.3.1-11", v5="3.3.1-6 3.3.1-7")
@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_empty_one_is_delivered_and_removes_what_was_there(listener, qos, version):
    client = Client(listener, version)
    client.publish("a", b"x", 1, retain=True)
    client.publish("ab", b"y", 1, retain=True)
    watcher = Client(listener, version)
    watcher.subscribe(("a", 2))
    assert watcher.payloads() == [b"x"]
    client.publish("a", b"", qos, retain=True)
    assert [message[:4] for message in watcher.take()] == [("a", b"", qos, False)]
    assert retained_on(listener, "#", version=version) == [("ab", b"y", 1)]


@covers(v3="3.3.1-11", v5="3.3.1-7")
@every_version
def test_an_empty_one_is_not_kept_where_there_was_none(listener, version):
    Client(listener, version).publish("a", b"", 1, retain=True)
    assert retained_on(listener, "#", version=version) == []


@covers(v3="3.3.1-9 3.3.1-8", v5="3.3.1-12")
@every_version
def test_who_was_subscribed_already_gets_it_as_any_message(listener, version):
    client = Client(listener, version)
    client.subscribe(("a", 1))
    client.publish("a", b"x", 1, retain=True)
    assert [message.retain for message in client.take()] == [False]
    client.subscribe(("a", 1))
    assert [message.retain for message in client.take()] == [True]


@covers(v5="3.3.1-13 3.3.1-12")
def test_who_asks_gets_the_flag_as_it_was_published(listener):
    client = Client(listener)
    client.subscribe(("a", RETAIN_AS_PUBLISHED))
    other = Client(listener)
    other.subscribe(("a", 0))
    for retain in (True, False):
        client.publish("a", b"x", retain=retain)
    assert [message.retain for message in client.messages()] == [True, False]
    assert [message.retain for message in other.messages()] == [False, False]


@covers(v5="3.3.1-13")
@pytest.mark.parametrize("props", [{"receive_maximum": 1}, {"topic_alias_maximum": 5}])
def test_the_flag_as_published_is_kept_while_a_message_waits(listener, props):
    client = Client(listener, props=props)
    client.subscribe(("a", 1 | RETAIN_AS_PUBLISHED))
    source = Client(listener)
    for retain in (False, True, False, True):
        source.publish("a", b"x", 1, retain=retain)
    assert [message.retain for message in client.take()] == [False, True, False, True]


@covers(v5="3.3.1-13")
def test_the_flag_as_published_is_kept_while_the_client_is_away(listener):
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a", 1 | RETAIN_AS_PUBLISHED))
    client.leave()
    source = Client(listener)
    for retain in (True, False):
        source.publish("a", b"x", 1, retain=retain)
    back = Client(listener, V5, "c", **kept(V5))
    assert [message.retain for message in back.take()] == [True, False]


@covers(v3="3.8.4-1", v5="3.8.4-1")
@every_version
def test_what_is_retained_comes_after_the_answer_to_subscribe(listener, version):
    client = Client(listener, version)
    client.publish("a", b"x", retain=True)
    client.publish("b", b"y", retain=True)
    found = client.ask(wire.subscribe(7, "a", "b", version=version))
    assert [type(packet) for packet in found] == [Suback, Publish, Publish]


@covers(v3="3.8.4-6", v5="3.8.4-8")
@every_version
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_what_is_retained_is_sent_with_no_more_than_the_granted_qos(listener, granted, version):
    for qos in (0, 1, 2):
        Client(listener, version).publish("a", b"x", qos, retain=True)
        client = Client(listener, version)
        client.subscribe(("a", granted))
        assert [message.qos for message in client.take()] == [min(qos, granted)]


@covers(v3="3.8.4-3", v5="3.8.4-4 3.3.1-9")
@every_version
def test_who_subscribes_once_more_gets_it_once_more(listener, version):
    client = Client(listener, version)
    client.publish("a", b"x", 1, retain=True)
    for _ in range(2):
        client.subscribe(("a", 1))
        assert client.payloads() == [b"x"]


@covers(v5="3.3.1-10")
def test_it_may_be_asked_for_with_a_new_subscription_only(listener):
    client = Client(listener)
    client.publish("a", b"x", 1, retain=True)
    client.subscribe(("a", 1 | IF_NEW))
    assert client.payloads() == [b"x"]
    client.subscribe(("a", 2 | IF_NEW))
    assert client.packets() == []
    client.unsubscribe("a")
    client.subscribe(("a", 1 | IF_NEW))
    assert client.payloads() == [b"x"]


@covers(v5="3.3.1-10")
def test_a_subscription_of_the_session_is_not_new(listener):
    client = Client(listener, V5, "c", **kept(V5))
    client.publish("a", b"x", 1, retain=True)
    client.subscribe(("a", 1 | NEVER))
    client.leave()
    back = Client(listener, V5, "c", **kept(V5))
    back.subscribe(("a", 1 | IF_NEW))
    assert back.packets() == []


@covers(v5="3.3.1-11")
def test_it_may_not_be_asked_for_at_all(listener):
    client = Client(listener)
    client.publish("a", b"x", 1, retain=True)
    client.subscribe(("a", 1 | NEVER))
    assert client.packets() == []
    client.publish("a", b"y", 1, retain=True)
    assert client.payloads() == [b"y"]


@covers(v5="3.3.1-12")
def test_a_retained_message_has_the_flag_however_the_flag_is_to_be_treated(listener):
    client = Client(listener)
    client.publish("a", b"x", retain=True)
    client.subscribe(("a", 0), ("+", RETAIN_AS_PUBLISHED))
    assert {message.retain for message in client.messages()} == {True}


def test_those_who_share_a_subscription_are_sent_nothing_retained(listener):
    client = Client(listener)
    client.publish("a", b"x", 1, retain=True)
    client.subscribe(("$share/g/a", 1))
    assert client.packets() == []
    client.publish("a", b"y", 1, retain=True)
    assert [(message.payload, message.retain) for message in client.take()] == [(b"y", False)]


@covers(v5="3.8.3-3")
def test_who_asks_is_not_sent_what_it_retained_itself(listener):
    client = Client(listener)
    client.publish("a", b"own", 1, retain=True)
    Client(listener).publish("b", b"another's", 1, retain=True)
    client.subscribe(("+", 1 | NO_LOCAL))
    assert client.payloads() == [b"another's"]


@covers(v3="4.7.2-1", v5="4.7.2-1")
@every_version
def test_retained_names_for_machinery_are_not_in_everything(listener, version):
    Client(listener, version).publish("$x/a", b"x", 1, retain=True)
    assert retained_on(listener, "#", "+/a", version=version) == []
    assert retained_on(listener, "$x/#", version=version) == [("$x/a", b"x", 1)]


@covers(v5="3.3.2-5 3.3.2-6")
def test_a_retained_message_expires(listener):
    client = Client(listener)
    client.publish("a", b"x", 1, retain=True, props={"message_expiry_interval": 10})
    pass_time(listener, 4)
    late = Client(listener)
    late.subscribe(("a", 1))
    (message,) = late.take()
    assert message.props["message_expiry_interval"] in {5, 6}
    pass_time(listener, 7)
    assert retained_on(listener, "a") == []


@covers(v5="3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20")
def test_a_retained_message_keeps_its_properties(listener):
    props = {
        "payload_format_indicator": 1,
        "content_type": "text/plain",
        "response_topic": "answers/here",
        "correlation_data": b"\0\xff",
        "user_property": [("b", "1"), ("a", "2"), ("b", "0")],
    }
    Client(listener).publish("a", b"x", 1, retain=True, props=props)
    late = Client(listener)
    late.subscribe(("a", 1), props={"subscription_identifier": 7})
    (message,) = late.take()
    assert message.props == props | {"subscription_identifier": [7]}


@every_version
def test_many_retained_messages_come_all_of_them(listener, version):
    client = Client(listener, version)
    topics = [f"t/{number}" for number in range(300)]
    for topic in topics:
        client.publish(topic, b"x", retain=True)
    reader = Client(listener, version)
    reader.subscribe(("t/#", 1))
    assert sorted(message.topic for message in reader.take()) == sorted(topics)


# Limits


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_that_cannot_be_retained_is_published_once_and_its_sender_told(qos):
    listener = mqtt_listener(max_retained_messages=1)
    reader = Client(listener)
    reader.subscribe("#")
    client = Client(listener)
    client.publish("a", b"1", retain=True)
    numbered = {"packet_id": 7} if qos else {}
    said = [
        wire.publish("b", b"2", qos, retain=True, **numbered),
        wire.publish("c", b"3", 1, packet_id=8),
        wire.publish("a", b"4", 1, packet_id=9, retain=True),
    ]
    answers = [(answer.packet_id, answer.reason) for answer in client.ask(*said)]
    assert answers == [*([(7, 0x97)] if qos else []), (8, 0), (9, 0)]
    assert reader.payloads() == [b"1", b"2", b"3", b"4"]
    assert retained_on(listener, "#") == [("a", b"4", 1)]


def test_retained_messages_take_up_so_much_memory_and_no_more():
    listener = mqtt_listener(max_retained_bytes=10_000)
    client = Client(listener)
    found = [client.publish(f"a/{number}", b"x" * 1000, 1, retain=True) for number in range(20)]
    assert 0x97 in found
    assert found == sorted(found)
    deep = mqtt_listener(max_retained_bytes=120_000)
    client = Client(deep)
    names = [f"{number}" + "/a" * 190 for number in range(20)]
    assert client.publish(names[0], b"x", 1, retain=True) != 0x97
    assert client.publish(names[1], b"x", 1, retain=True) != 0x97
    assert client.publish(names[2], b"x", 1, retain=True) == 0x97
    assert client.publish(names[0], b"", 1, retain=True) != 0x97
    assert client.publish(names[2], b"x", 1, retain=True) != 0x97


@here_only
def test_a_message_that_the_disk_cannot_retain_is_refused_alone(listener, monkeypatch):
    client = Client(listener)

    def full(*_pairs):
        raise StorageError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(listener.broker.retained._state, "put", full)
        assert client.publish("a", b"x", 1, retain=True) == 0x83
        assert client.publish("b", b"y", 1) != 0x83
    assert client.publish("a", b"z", 1, retain=True) != 0x83
    assert retained_on(listener, "#") == [("a", b"z", 1)]


@here_only
def test_a_filter_that_stands_twice_in_a_packet_brings_what_is_retained_once(listener):
    Client(listener).publish("a", b"x", retain=True)
    client = Client(listener)
    assert client.subscribe(*["a"] * 200, "+") == (0,) * 201
    assert client.payloads() == [b"x"] * 2


@here_only
def test_many_retained_messages_come_some_each_turn(listener):
    source = Client(listener)
    for number in range(3000):
        source.send(wire.publish(f"t/{number}", b"x", retain=True))
    client = Client(listener)
    client.send(wire.subscribe(1, ("t/#", 1)))
    first = wire.read_packets(b"".join(client.line.outbox.take()))
    assert 1 < len(first) <= 1000
    other = Client(listener)  # whose turn comes before all are sent
    assert other.connack.reason == 0
    assert len(first) - 1 + len(client.messages()) == 3000


@here_only
def test_who_went_is_sent_nothing_more_of_what_is_retained(listener):
    source = Client(listener)
    for number in range(3000):
        source.send(wire.publish(f"t/{number}", b"x", retain=True))
    client = Client(listener)
    client.send(wire.subscribe(1, "t/#"))
    client.drop()
    assert client.line.outbox.size < 3000 * len(wire.publish("t/0", b"x"))
