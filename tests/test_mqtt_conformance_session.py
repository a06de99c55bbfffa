"""Sessions: kept, resumed, taken over, expired; and connections that fall silent (MQTT 3.1.2, 4.1)."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from mqtt_double import (
    Client,
    Connection,
    both_specifications,
    every_version,
    here_only,
    kept,
    mqtt_listener,
    older_versions,
    pass_time,
)
from mqtt_statements import covers
from mqtt_wire import PINGREQ, V5, V311, Disconnect, Pingresp, Publish, Pubrel

DAY = 86_400
FOR_EVER = 0xFFFFFFFF


@pytest.fixture
def listener():
    return mqtt_listener()


def publisher(listener):
    return Client(listener, client_id="publisher")


# Kept and resumed


@covers(v3="3.1.2-4 3.1.2-5 3.2.2-2 4.1.0-1 4.5.0-1", v5="3.1.2-5 3.1.2-23 3.2.2-3 4.5.0-1")
@every_version
def test_what_came_while_a_client_was_away_is_there_when_it_is_back(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a/#", 2), ("b", 1))
    client.leave()
    source = publisher(listener)
    for qos in (1, 2):
        source.publish("a/x", b"%d" % qos, qos)
        source.publish("b", b"%d" % qos, qos)
    back = Client(listener, version, "c", **kept(version))
    assert back.connack.session_present == (version != wire.V31)
    assert [(message.topic, message.payload, message.qos) for message in back.take()] == [
        ("a/x", b"1", 1), ("b", b"1", 1), ("a/x", b"2", 2), ("b", b"2", 1),
    ]  # fmt: skip
    source.publish("b", b"now", 1)
    assert back.payloads() == [b"now"]


@covers(v3="3.1.2-4 3.1.2-8", v5="3.1.2-5 3.1.2-23")
@every_version
def test_a_session_is_kept_though_the_connection_was_lost(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    client.drop()
    publisher(listener).publish("a", b"x", 1)
    assert Client(listener, version, "c", **kept(version)).payloads() == [b"x"]


@covers(v3="3.1.2-4 3.2.2-3", v5="3.1.2-6 3.2.2-3")
@both_specifications
def test_where_there_is_no_session_a_new_one_begins(listener, version):
    assert not Client(listener, version, "c", **kept(version)).connack.session_present
    assert Client(listener, version, "c", **kept(version)).connack.session_present
    assert not Client(listener, version, "d", **kept(version)).connack.session_present


@covers(v3="3.1.2-6 3.1.4-3 3.2.2-1", v5="3.1.2-4 3.1.4-4 3.2.2-2")
@every_version
def test_who_wants_a_new_session_finds_nothing_of_the_old(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    client.leave()
    source = publisher(listener)
    source.publish("a", b"x", 1)
    fresh = Client(listener, version, "c")
    assert not fresh.connack.session_present
    source.publish("a", b"y", 1)
    assert fresh.packets() == []


@covers(v3="3.1.2-6", v5="3.1.2-4")
@every_version
def test_what_a_new_session_discarded_does_not_come_back(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    client.leave()
    Client(listener, version, "c").leave()
    publisher(listener).publish("a", b"x", 1)
    back = Client(listener, version, "c", **kept(version))
    assert not back.connack.session_present
    assert back.packets() == []


@covers(v3="3.1.2-6", v5="4.1.0-2 3.1.2-23")
@both_specifications
@pytest.mark.parametrize("end", ["leave", "drop"])
def test_a_session_that_is_not_to_be_kept_ends_with_its_connection(listener, end, version):
    client = Client(listener, version, "c", clean=version != V5)
    client.subscribe(("a", 1))
    getattr(client, end)()
    publisher(listener).publish("a", b"x", 1)
    back = Client(listener, version, "c", **kept(version))
    assert not back.connack.session_present
    assert back.packets() == []


@covers(v3="3.1.2-7")
@every_version
def test_retained_messages_outlive_the_session_of_who_sent_them(listener, version):
    client = Client(listener, version, "c")
    client.publish("a", b"x", 1, retain=True)
    client.leave()
    Client(listener, version, "c").leave()
    reader = Client(listener, version)
    reader.subscribe("a")
    assert reader.payloads() == [b"x"]


@covers(v3="3.1.3-2", v5="3.1.3-2")
@both_specifications
def test_sessions_are_told_apart_by_the_client_id_alone(listener, version):
    for client_id, topic in (("c", "a"), ("C", "b"), ("c ", "b")):
        client = Client(listener, version, client_id, **kept(version))
        client.subscribe((topic, 1))
        client.leave()
    publisher(listener).publish("a", b"x", 1)
    assert Client(listener, version, "c ", **kept(version)).packets() == []
    assert Client(listener, version, "C", **kept(version)).packets() == []
    assert Client(listener, version, "c", **kept(version)).payloads() == [b"x"]


@covers(v3="4.1.0-1 4.1.0-2", v5="4.1.0-1")
@every_version
def test_a_session_does_not_end_while_its_client_is_there(listener, version):
    client = Client(listener, version, "c", **kept(version, 1))
    client.subscribe(("a", 1))
    publisher(listener).publish("a", b"in flight", 1)
    (message,) = client.messages()
    pass_time(listener, DAY)
    publisher(listener).publish("a", b"y", 1)
    assert client.payloads() == [b"y"]
    client.drop()
    back = Client(listener, version, "c", **kept(version, 1))
    assert [(again.packet_id, again.payload) for again in back.messages()] == [
        (message.packet_id, b"in flight")
    ]


# How long it is kept


@covers(v5="3.1.2-23 4.1.0-2")
def test_a_session_is_there_until_its_time_is_over(listener):
    client = Client(listener, V5, "c", **kept(V5, 10))
    client.subscribe(("a", 1))
    client.leave()
    pass_time(listener, 9.5)
    publisher(listener).publish("a", b"x", 1)
    back = Client(listener, V5, "c", **kept(V5, 10))
    assert back.connack.session_present
    assert back.payloads() == [b"x"]
    back.leave()
    pass_time(listener, 11)
    assert not Client(listener, V5, "c", **kept(V5, 10)).connack.session_present


@covers(v5="4.1.0-1")
def test_the_clock_stops_when_the_client_is_back(listener):
    Client(listener, V5, "c", **kept(V5, 10)).leave()
    pass_time(listener, 5)
    back = Client(listener, V5, "c", **kept(V5, 10))
    back.subscribe(("a", 1))
    pass_time(listener, 100)
    publisher(listener).publish("a", b"x", 1)
    assert back.payloads() == [b"x"]
    back.leave()
    assert Client(listener, V5, "c", **kept(V5, 10)).connack.session_present


def test_a_session_may_be_kept_for_ever(listener):
    Client(listener, V5, "c", **kept(V5, FOR_EVER)).leave()
    pass_time(listener, 30 * DAY)
    assert Client(listener, V5, "c", **kept(V5, FOR_EVER)).connack.session_present


@older_versions
def test_before_5_there_is_no_word_for_how_long_and_a_day_is_not_too_long(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    client.leave()
    pass_time(listener, DAY)
    publisher(listener).publish("a", b"x", 1)
    assert Client(listener, version, "c", **kept(version)).payloads() == [b"x"]


@covers(v5="3.1.2-23 3.1.2-4")
def test_a_session_that_begins_anew_may_be_kept_as_well(listener):
    Client(listener, V5, "c", clean=True, props={"session_expiry_interval": 100}).leave()
    assert Client(listener, V5, "c", **kept(V5, 100)).connack.session_present


@covers(v5="3.1.2-5 3.2.2-3 4.1.0-2")
def test_a_session_may_be_resumed_for_the_last_time(listener):
    Client(listener, V5, "c", **kept(V5, 100)).leave()
    last = Client(listener, V5, "c", clean=False)
    assert last.connack.session_present
    last.leave()
    assert not Client(listener, V5, "c", **kept(V5)).connack.session_present


@covers(v5="4.1.0-2")
def test_the_last_connection_says_how_long(listener):
    Client(listener, V5, "c", **kept(V5, 1000)).leave()
    Client(listener, V5, "c", **kept(V5, 10)).leave()
    pass_time(listener, 11)
    assert not Client(listener, V5, "c", **kept(V5, 10)).connack.session_present


@covers(v5="4.1.0-2")
def test_disconnect_may_say_how_long(listener):
    first = Client(listener, V5, "c", **kept(V5, 1000))
    first.leave(props={"session_expiry_interval": 0})
    assert not Client(listener, V5, "c", **kept(V5, 10)).connack.session_present
    second = Client(listener, V5, "d", **kept(V5, 10))
    second.leave(props={"session_expiry_interval": 1000})
    pass_time(listener, 500)
    assert Client(listener, V5, "d", **kept(V5, 10)).connack.session_present


def test_a_session_that_was_to_end_cannot_be_kept_with_disconnect(listener):
    client = Client(listener, V5, "c")
    last = wire.disconnect(props={"session_expiry_interval": 10})
    assert client.ask(last) in ([Disconnect(0x82)], [])
    assert client.closed
    assert not Client(listener, V5, "c", **kept(V5)).connack.session_present


@covers(v3="3.1.2-4", v5="3.1.2-23")
@here_only
@every_version
def test_sessions_and_what_they_wait_for_outlive_the_broker(version):
    listener = mqtt_listener()
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 2))
    client.leave()
    publisher(listener).publish("a", b"x", 2)
    publisher(listener).publish("kept", b"y", 1, retain=True)
    again = mqtt_listener(log=listener.broker.log)
    back = Client(again, version, "c", **kept(version))
    assert back.connack.session_present == (version != wire.V31)
    assert back.payloads() == [b"x"]
    publisher(again).publish("a", b"z", 1)
    assert back.payloads() == [b"z"]
    back.subscribe("kept")
    assert back.payloads() == [b"y"]


# Taken over


@covers(v3="3.1.4-2 3.1.4-3", v5="3.1.4-3 3.1.4-4 3.14.4-1 3.14.4-2")
@every_version
def test_a_second_connection_of_a_client_ends_the_first(listener, version):
    first = Client(listener, version, "c")
    second = Client(listener, version, "c")
    assert first.packets() == ([Disconnect(0x8E)] if version == V5 else [])
    assert first.closed
    assert second.connack.reason == 0
    assert second.ask(PINGREQ) == [Pingresp()]


@covers(v3="3.1.4-2", v5="3.1.4-3")
@pytest.mark.parametrize(("older", "newer"), [(V311, V5), (V5, V311)])
def test_whoever_speaks_another_version_takes_over_as_well(listener, older, newer):
    first = Client(listener, older, "c")
    Client(listener, newer, "c")
    assert first.packets() == ([Disconnect(0x8E)] if older == V5 else [])
    assert first.closed


@covers(v3="3.1.2-4 3.2.2-2", v5="3.1.2-5 3.1.4-3")
@every_version
def test_who_takes_over_has_the_session(listener, version):
    first = Client(listener, version, "c", **kept(version))
    first.subscribe(("a", 1))
    publisher(listener).publish("a", b"in flight", 1)
    assert len(first.messages()) == 1
    second = Client(listener, version, "c", **kept(version))
    assert second.connack.session_present == (version != wire.V31)
    publisher(listener).publish("a", b"y", 1)
    assert second.payloads() == [b"in flight", b"y"]


@every_version
def test_who_was_taken_over_is_not_listened_to_any_more(listener, version):
    watcher = Client(listener)
    watcher.subscribe("a")
    first = Client(listener, version, "c")
    Client(listener, version, "c")
    first.ask(wire.publish("a", b"x", version=version))
    assert watcher.packets() == []


def test_the_end_of_the_first_connection_does_not_end_the_second(listener):
    first = Client(listener, V5, "c", **kept(V5))
    second = Client(listener, V5, "c", **kept(V5))
    first.drop()
    second.subscribe(("a", 1))
    publisher(listener).publish("a", b"x", 1)
    assert second.payloads() == [b"x"]


# What was in flight


@covers(
    v3="4.4.0-1 3.3.1-1 2.3.1-4 4.6.0-1 4.6.0-6",
    v5="4.4.0-1 3.3.1-1 4.3.2-3 4.3.3-3 4.6.0-5",
)
@every_version
def test_what_was_not_acknowledged_is_sent_again_as_it_was_and_in_order(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 2))
    source = publisher(listener)
    for number in range(6):
        source.publish("a", b"%d" % number, 1 + number % 2)
    sent = client.messages()
    assert [message.dup for message in sent] == [False] * 6
    client.ask(client.acknowledgement(wire.PUBACK, sent[2].packet_id))
    client.drop()
    back = Client(listener, version, "c", **kept(version))
    expected = [message._replace(dup=True) for message in sent if message is not sent[2]]
    assert back.messages() == expected


@covers(v3="4.4.0-1 4.3.3-1", v5="4.4.0-1 4.3.3-5 4.3.3-6")
@every_version
def test_what_was_received_is_released_again_and_not_sent_again(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 2))
    publisher(listener).publish("a", b"x", 2)
    (message,) = client.messages()
    received = client.acknowledgement(wire.PUBREC, message.packet_id)
    assert client.ask(received) == [Pubrel(message.packet_id)]
    client.drop()
    back = Client(listener, version, "c", **kept(version))
    assert back.packets() == [Pubrel(message.packet_id)]
    back.ask(back.acknowledgement(wire.PUBCOMP, message.packet_id))
    back.drop()
    assert Client(listener, version, "c", **kept(version)).packets() == []


@covers(v3="4.3.2-1 4.3.3-1", v5="4.4.0-1")
@every_version
def test_nothing_is_sent_again_while_the_connection_lasts(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 2))
    for qos in (1, 2):
        publisher(listener).publish("a", b"x", qos)
    received = client.messages()[1]
    client.ask(client.acknowledgement(wire.PUBREC, received.packet_id))
    pass_time(listener, DAY)
    assert client.packets() == []


@covers(v3="4.3.3-2", v5="4.3.3-10")
@every_version
def test_a_message_that_a_client_sends_again_when_it_is_back_is_not_delivered_twice(
    listener, version
):
    watcher = Client(listener)
    watcher.subscribe(("a", 2))
    client = Client(listener, version, "c", **kept(version))
    said = {"packet_id": 7, "version": version}
    assert client.ask(wire.publish("a", b"x", 2, **said)) == [wire.Pubrec(7)]
    client.drop()
    back = Client(listener, version, "c", **kept(version))
    assert back.ask(wire.publish("a", b"x", 2, dup=True, **said)) == [wire.Pubrec(7)]
    assert back.ask(back.acknowledgement(wire.PUBREL, 7)) == [wire.Pubcomp(7)]
    assert watcher.payloads() == [b"x"]


@covers(v3="3.1.2-6", v5="3.1.2-4")
@every_version
def test_a_new_session_knows_nothing_of_what_was_in_flight(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 2))
    publisher(listener).publish("a", b"x", 2)
    assert len(client.messages()) == 1
    client.drop()
    assert Client(listener, version, "c").packets() == []


# Who falls silent


@covers(v3="3.1.2-24", v5="3.1.2-22 3.2.2-22 3.14.4-1 3.14.4-2")
@every_version
def test_a_client_that_falls_silent_is_cut_off_after_half_as_long_again(listener, version):
    client = Client(listener, version, keep_alive=10)
    pass_time(listener, 14.5)
    assert client.packets() == []
    assert not client.closed
    pass_time(listener, 1.5)
    assert client.packets() == ([Disconnect(0x8D)] if version == V5 else [])
    assert client.closed


@covers(v3="3.1.2-24", v5="3.1.2-22")
@every_version
def test_every_packet_counts_as_a_sign_of_life(listener, version):
    client = Client(listener, version, keep_alive=10)
    for packet in (
        PINGREQ,
        wire.publish("a", version=version),
        wire.subscribe(1, "b", version=version),
        wire.acknowledgement(wire.PUBACK, 9, version=version),
        PINGREQ,
    ):
        pass_time(listener, 14)
        client.ask(packet)
        assert not client.closed


@covers(v3="3.1.2-24", v5="3.1.2-22")
@every_version
def test_what_a_client_is_sent_is_no_sign_of_its_life(listener, version):
    client = Client(listener, version, keep_alive=10)
    client.subscribe("a")
    for _ in range(16):
        publisher(listener).publish("a", b"x")
        pass_time(listener, 1)
    found = client.packets()
    assert [type(packet) for packet in found[:14]] == [Publish] * 14
    assert client.closed


@covers(v3="3.1.2-24", v5="3.1.2-22")
@every_version
def test_a_keep_alive_of_zero_is_none(listener, version):
    client = Client(listener, version, keep_alive=0)
    pass_time(listener, 10 * DAY)
    assert client.ask(PINGREQ) == [Pingresp()]


@covers(v5="3.2.2-22")
def test_the_clients_own_keep_alive_is_the_one(listener):
    for keep_alive in (0, 1, 10, 65_535):
        client = Client(listener, keep_alive=keep_alive)
        assert "server_keep_alive" not in client.connack.props


@here_only
def test_who_never_says_connect_is_not_waited_for_for_ever(listener):
    silent, halfway = Connection(listener), Connection(listener)
    halfway.send(wire.connect("c")[:5])
    pass_time(listener, DAY)
    assert silent.bytes() == halfway.bytes() == b""
    assert silent.closed
    assert halfway.closed
