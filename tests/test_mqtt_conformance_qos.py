"""The exchanges of QoS 1 and 2 in both directions, their packet ids, and flow control (MQTT 4.3, 4.4, 4.9)."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from broker_doubles import DenyList
from mqtt_double import (
    Client,
    every_version,
    kept,
    mqtt_listener,
    older_versions,
)
from mqtt_statements import covers
from mqtt_wire import PINGREQ, V5, V31, Pingresp, Puback, Pubcomp, Publish, Pubrec, Pubrel

MOST_IDS = 65_535


@pytest.fixture
def listener():
    return mqtt_listener()


@pytest.fixture
def reader(listener):
    client = Client(listener, client_id="reader")
    client.subscribe(("#", 2))
    return client


# Received


@covers(v3="4.3.2-2", v5="4.3.2-5")
@every_version
@pytest.mark.parametrize("dup", [False, True])
def test_with_qos_1_a_number_is_free_again_once_it_is_acknowledged(listener, reader, dup, version):
    client = Client(listener, version)
    for payload in (b"1", b"2"):
        asked = wire.publish("a", payload, 1, packet_id=7, dup=dup, version=version)
        assert client.ask(asked) == [Puback(7)]
    assert reader.payloads() == [b"1", b"2"]


@covers(v3="4.3.3-2", v5="4.3.3-10 4.3.3-8")
@every_version
def test_with_qos_2_what_comes_twice_is_delivered_once(listener, reader, version):
    client = Client(listener, version)
    asked = {"packet_id": 7, "version": version}
    assert client.ask(wire.publish("a", b"x", 2, **asked)) == [Pubrec(7)]
    for _ in range(3):
        assert client.ask(wire.publish("a", b"x", 2, dup=True, **asked)) == [Pubrec(7)]
    assert client.ask(client.acknowledgement(wire.PUBREL, 7)) == [Pubcomp(7)]
    assert reader.payloads() == [b"x"]


@covers(v3="4.3.3-2", v5="4.3.3-12 4.3.3-11")
@every_version
@pytest.mark.parametrize("dup", [False, True])
def test_with_qos_2_a_number_is_free_again_once_it_is_released(listener, reader, dup, version):
    client = Client(listener, version)
    for payload in (b"1", b"2"):
        asked = wire.publish("a", payload, 2, packet_id=7, dup=dup, version=version)
        assert client.ask(asked) == [Pubrec(7)]
        assert client.ask(client.acknowledgement(wire.PUBREL, 7)) == [Pubcomp(7)]
    assert reader.payloads() == [b"1", b"2"]


@covers(v3="4.3.3-2 2.3.1-6", v5="4.3.3-8 4.3.3-11 2.2.1-5")
@every_version
def test_exchanges_may_overlap_and_end_in_any_order(listener, reader, version):
    client = Client(listener, version)
    said = [
        wire.publish("a", b"%d" % number, 2, packet_id=number, version=version)
        for number in (3, 1, 2)
    ]
    assert client.ask(*said) == [Pubrec(3), Pubrec(1), Pubrec(2)]
    released = [client.acknowledgement(wire.PUBREL, number) for number in (2, 3, 1)]
    assert client.ask(*released) == [Pubcomp(2), Pubcomp(3), Pubcomp(1)]
    assert sorted(reader.payloads()) == [b"1", b"2", b"3"]


@covers(v5="4.3.3-9")
def test_a_number_whose_message_was_refused_is_free():
    access = DenyList()
    access.denied.add(("publish", "secret"))
    listener = mqtt_listener(access=access)
    reader = Client(listener)
    reader.subscribe(("#", 2))
    client = Client(listener)
    assert client.ask(wire.publish("secret", b"x", 2, packet_id=7)) == [Pubrec(7, 0x87)]
    assert client.ask(wire.publish("a", b"y", 2, packet_id=7)) == [Pubrec(7)]
    assert client.ask(client.acknowledgement(wire.PUBREL, 7)) == [Pubcomp(7)]
    assert reader.payloads() == [b"y"]


@covers(v3="4.3.3-2", v5="4.3.3-11 3.7.2-1")
@every_version
def test_a_release_of_nothing_is_answered_all_the_same(listener, version):
    client = Client(listener, version)
    (answer,) = client.ask(client.acknowledgement(wire.PUBREL, 99))
    assert answer in ([Pubcomp(99), Pubcomp(99, 0x92)] if version == V5 else [Pubcomp(99)])
    assert client.ask(PINGREQ) == [Pingresp()]


@covers(v3="4.3.3-2", v5="4.3.3-11")
@every_version
def test_a_release_that_comes_twice_is_answered_twice(listener, reader, version):
    client = Client(listener, version)
    client.publish("a", b"x", 2)
    (answer,) = client.ask(client.acknowledgement(wire.PUBREL, 1))
    assert isinstance(answer, Pubcomp)
    assert reader.payloads() == [b"x"]


def test_who_exceeds_the_receive_maximum_is_served_all_the_same(listener, reader):
    """As paho-mqtt does when it comes back; there are no more than 65,535 identifiers anyway."""
    most = Client(listener).connack.props["receive_maximum"]
    client = Client(listener)
    said = [wire.publish("a", b"", 2, packet_id=number) for number in range(1, 2 * most + 1)]
    assert len(client.ask(*said)) == 2 * most
    assert reader.payloads() == [b""] * 2 * most


def test_exchanges_that_ended_do_not_count(listener):
    most = Client(listener).connack.props.get("receive_maximum", MOST_IDS)
    client = Client(listener)
    for _ in range(min(most, 1000) + 10):
        assert client.publish("a", b"", 2) in {0, 0x10}
        assert client.publish("a", b"", 1) in {0, 0x10}


# Sent


@covers(v3="4.3.2-1 2.3.1-4", v5="4.3.2-1 4.3.2-2 4.3.2-3 2.2.1-4")
@every_version
def test_qos_1_takes_two_packets(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    Client(listener).publish("a", b"x", 1)
    (message,) = client.messages()
    assert (message.qos, message.dup) == (1, False)
    assert client.ask(client.acknowledgement(wire.PUBACK, message.packet_id)) == []
    client.drop()
    assert Client(listener, version, "c", **kept(version)).packets() == []


@covers(v3="4.3.3-1 2.3.1-6 2.3.1-4", v5="4.3.3-1 4.3.3-2 4.3.3-4 2.2.1-4 2.2.1-5 3.6.2-1")
@every_version
def test_qos_2_takes_four_packets(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 2))
    Client(listener).publish("a", b"x", 2)
    (message,) = client.messages()
    assert (message.qos, message.dup) == (2, False)
    number = message.packet_id
    assert client.ask(client.acknowledgement(wire.PUBREC, number)) == [Pubrel(number)]
    assert client.ask(client.acknowledgement(wire.PUBCOMP, number)) == []
    client.drop()
    assert Client(listener, version, "c", **kept(version)).packets() == []


@covers(v3="4.3.3-1", v5="4.3.3-4 3.6.2-1")
@every_version
def test_a_receipt_that_comes_twice_is_answered_twice(listener, version):
    client = Client(listener, version)
    client.subscribe(("a", 2))
    Client(listener).publish("a", b"x", 2)
    (message,) = client.messages()
    received = client.acknowledgement(wire.PUBREC, message.packet_id)
    for _ in range(2):
        assert client.ask(received) == [Pubrel(message.packet_id)]


@covers(v3="2.3.1-4 2.3.1-1", v5="2.2.1-4 4.3.2-1 4.3.3-1")
@every_version
def test_messages_under_way_have_a_number_each(listener, version):
    client = Client(listener, version)
    client.subscribe(("a", 2))
    source = Client(listener)
    for number in range(15):
        source.publish("a", b"x", 1 + number % 2)
    numbers = [message.packet_id for message in client.messages()]
    assert len(set(numbers)) == 15
    assert 0 not in numbers


@covers(v3="2.3.1-4 4.3.2-1", v5="2.2.1-4 4.3.2-1")
def test_a_number_that_is_still_in_use_is_not_taken_when_all_were_taken_once(listener):
    client = Client(listener)
    client.subscribe(("a", 1))
    source = Client(listener, V31)
    source.publish("a", b"first", 1)
    (first,) = client.messages()
    burst = b"".join(wire.publish("a", b"", 1, packet_id=1, version=V31) for _ in range(15))
    taken = set()
    for _ in range(MOST_IDS // 15 + 2):
        source.ask(burst)
        found = client.messages()
        assert len(found) == 15
        taken |= {message.packet_id for message in found}
        client.ask(*(client.acknowledgement(wire.PUBACK, each.packet_id) for each in found))
    assert first.packet_id not in taken
    assert len(taken) > 15


@every_version
def test_acknowledgements_may_come_in_any_order(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    source = Client(listener)
    for number in range(6):
        source.publish("a", b"%d" % number, 1)
    sent = client.messages()
    for index in (3, 0, 5):
        client.ask(client.acknowledgement(wire.PUBACK, sent[index].packet_id))
    client.drop()
    back = Client(listener, version, "c", **kept(version))
    assert [message.payload for message in back.messages()] == [b"1", b"2", b"4"]


@covers(v5="4.4.0-2 4.3.3-4")
@pytest.mark.parametrize(("qos", "kind"), [(1, wire.PUBACK), (2, wire.PUBREC)])
@pytest.mark.parametrize("reason", [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
def test_a_message_that_the_client_refuses_is_done_with(listener, qos, kind, reason):
    client = Client(listener, V5, "c", **kept(V5, receive_maximum=1))
    client.subscribe(("a", qos))
    source = Client(listener)
    source.publish("a", b"1", qos)
    source.publish("a", b"2", qos)
    (message,) = client.messages()
    found = client.ask(client.acknowledgement(kind, message.packet_id, reason))
    assert [each.payload for each in found] == [b"2"]  # and no PUBREL
    client.drop()
    back = Client(listener, V5, "c", **kept(V5))
    assert [each.payload for each in back.messages()] == [b"2"]


@covers(v5="4.3.3-4")
@pytest.mark.parametrize(("qos", "kind"), [(1, wire.PUBACK), (2, wire.PUBREC)])
def test_a_message_that_nobody_wanted_is_as_good_as_any(listener, qos, kind):
    client = Client(listener)
    client.subscribe(("a", qos))
    Client(listener).publish("a", b"1", qos)
    (message,) = client.messages()
    found = client.ask(client.acknowledgement(kind, message.packet_id, 0x10))
    assert found == ([] if qos == 1 else [Pubrel(message.packet_id)])


# Numbers of nothing


@every_version
@pytest.mark.parametrize("kind", [wire.PUBACK, wire.PUBCOMP])
def test_the_end_of_nothing_is_not_answered(listener, kind, version):
    client = Client(listener, version)
    assert client.ask(client.acknowledgement(kind, 99), PINGREQ) == [Pingresp()]


@covers(v3="4.3.3-1", v5="3.6.2-1")
@every_version
def test_the_receipt_of_nothing_is_released(listener, version):
    client = Client(listener, version)
    (answer,) = client.ask(client.acknowledgement(wire.PUBREC, 99))
    assert isinstance(answer, Pubrel)
    assert answer[:2] == (99, 0x92 if version == V5 else 0)
    assert client.ask(PINGREQ) == [Pingresp()]


@covers(v3="4.3.2-1 4.3.3-1", v5="4.3.2-3 4.3.3-3")
@every_version
@pytest.mark.parametrize(
    ("qos", "wrong"), [(1, wire.PUBREC), (1, wire.PUBCOMP), (2, wire.PUBACK), (2, wire.PUBCOMP)]
)
def test_a_message_is_not_acknowledged_with_the_wrong_packet(listener, qos, wrong, version):
    """Whether the connection goes on or not: the message is not lost."""
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", qos))
    Client(listener).publish("a", b"x", qos)
    (message,) = client.messages()
    client.ask(client.acknowledgement(wrong, message.packet_id))
    client.drop()
    back = Client(listener, version, "c", **kept(version))
    assert back.messages() == [message._replace(dup=True)]


# Flow control


@covers(v5="3.3.4-9 4.9.0-1 4.9.0-2")
@pytest.mark.parametrize("most", [1, 3, 10])
@pytest.mark.parametrize("qos", [1, 2])
def test_no_more_is_under_way_than_the_client_takes_at_once(listener, most, qos):
    client = Client(listener, props={"receive_maximum": most})
    client.subscribe(("a", qos))
    source = Client(listener)
    sent = [b"%d" % number for number in range(30)]
    for payload in sent:
        source.publish("a", payload, qos)
    under_way = client.messages()
    assert [message.payload for message in under_way] == sent[:most]
    assert client.packets() == []
    client.backlog = under_way
    assert client.payloads() == sent


@covers(v5="4.9.0-2 3.3.4-9")
def test_a_message_received_but_not_released_is_still_under_way(listener):
    client = Client(listener, props={"receive_maximum": 1})
    client.subscribe(("a", 2))
    source = Client(listener)
    source.publish("a", b"1", 2)
    source.publish("a", b"2", 2)
    (first,) = client.messages()
    received = client.acknowledgement(wire.PUBREC, first.packet_id)
    assert client.ask(received) == [Pubrel(first.packet_id)]
    (second,) = client.ask(client.acknowledgement(wire.PUBCOMP, first.packet_id))
    assert second.payload == b"2"


@covers(v5="3.3.4-10 4.9.0-3")
def test_everything_else_goes_on_while_messages_have_to_wait(listener):
    client = Client(listener, props={"receive_maximum": 1})
    client.subscribe(("a", 1))
    source = Client(listener)
    for _ in range(3):
        source.publish("a", b"x", 1)
    assert len(client.messages()) == 1
    assert client.ask(PINGREQ) == [Pingresp()]
    assert client.subscribe(("b", 1)) == (1,)
    assert client.unsubscribe("b") == (0,)
    assert client.publish("c", b"", 1) in {0, 0x10}
    assert client.publish("c", b"", 2) in {0, 0x10}


@covers(v5="3.3.4-9 4.9.0-1 4.4.0-1")
def test_what_is_sent_again_counts_as_well(listener):
    said = kept(V5, receive_maximum=2)
    client = Client(listener, V5, "c", **said)
    client.subscribe(("a", 1))
    source = Client(listener)
    sent = [b"%d" % number for number in range(6)]
    for payload in sent:
        source.publish("a", payload, 1)
    assert len(client.messages()) == 2
    client.drop()
    back = Client(listener, V5, "c", **said)
    again = back.messages()
    assert [message.payload for message in again] == sent[:2]
    back.backlog = again
    assert back.payloads() == sent


@covers(v3="2.3.1-4", v5="3.3.4-9")
@every_version
def test_a_client_that_never_acknowledges_is_sent_so_much_and_no_more(listener, version):
    client = Client(listener, version)
    client.subscribe(("a", 1))
    source = Client(listener)
    burst = b"".join(wire.publish("a", b"x" * 10, 1, packet_id=1) for _ in range(100))
    for _ in range(20):
        source.ask(burst)
    numbers = [message.packet_id for message in client.messages()]
    assert len(set(numbers)) == len(numbers) <= MOST_IDS
    assert 0 < len(numbers) <= 2000


@older_versions
def test_older_clients_get_all_of_a_long_queue_as_they_acknowledge(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    client.leave()
    source = Client(listener)
    sent = [b"%d" % number for number in range(90)]
    for payload in sent:
        source.publish("a", payload, 1)
    back = Client(listener, version, "c", **kept(version))
    assert back.payloads() == sent


@every_version
def test_messages_of_every_qos_reach_a_client_that_acknowledges(listener, version):
    client = Client(listener, version)
    client.subscribe(("a", 2))
    for number in range(60):
        client.publish("a", b"%d" % number, number % 3)
    found = client.take()
    assert sorted(int(message.payload) for message in found) == list(range(60))
    assert all(isinstance(message, Publish) for message in found)
