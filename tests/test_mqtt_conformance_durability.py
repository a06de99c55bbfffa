"""What was acknowledged is there after the power failed: subscriptions, messages, exchanges, retained ones."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from held_log import HeldLog
from hubbub.log.batch import scan
from mqtt_double import (
    Client,
    both_specifications,
    every_version,
    here_only,
    kept,
    mqtt_listener,
    pass_time,
)
from mqtt_statements import covers
from mqtt_wire import V5, V31, Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback

pytestmark = here_only
EVERYTHING = 1 << 30


class Machine:
    """A broker whose power can fail: then what was not synced is gone."""

    def __init__(self):
        self.log = HeldLog()
        self.listener = mqtt_listener(log=self.log)
        self.log.sync()

    def fail(self):
        before, self.log = self.log, HeldLog()
        for (number, index), partition in before.partitions.items():
            copy = self.log.open(number, index, partition.settings)
            durable = partition.read(0, EVERYTHING)
            for info in scan(durable):
                batch = durable[: info.size]
                durable = durable[info.size :]
                copy.append(batch, self.listener.timers.wall_ms, own=True)
        self.log.sync()
        self.listener = mqtt_listener(log=self.log)
        self.log.sync()

    def client(self, version=V5, client_id=None, **said):
        """A client that is connected, if the disk has to turn for it."""
        self.log.sync()
        return Client(self.listener, version, client_id, **said)

    def ask(self, client, *data):
        """Send, and wait for the disk only if there is no answer without it."""
        found = client.ask(*data)
        if not found:
            self.log.sync()
            found = client.packets()
        return found

    def payloads(self, client):
        """All that the client is sent, however often the disk has to turn for it."""
        found = []
        for _ in range(5):
            self.log.sync()
            found += client.payloads()
        return found


@pytest.fixture
def machine():
    return Machine()


def subscribed(machine, version, name="a", options=1, client_id="c"):
    """A client with a session to keep and one subscription that it was told of, away."""
    client = machine.client(version, client_id, **kept(version))
    (answer,) = machine.ask(client, wire.subscribe(1, (name, options), version=version))
    assert isinstance(answer, Suback)
    client.drop()


def test_what_was_not_acknowledged_was_not_promised(machine):
    subscribed(machine, V5)
    source = machine.client()
    assert source.ask(wire.publish("a", b"x", 1, packet_id=1)) == []
    machine.fail()
    assert machine.payloads(machine.client(V5, "c", **kept(V5))) == []


@covers(v3="3.1.2-4", v5="3.1.2-23")
@every_version
def test_a_subscription_that_was_acknowledged_is_there(machine, version):
    subscribed(machine, version)
    machine.fail()
    source = machine.client()
    assert machine.ask(source, wire.publish("a", b"x", 1, packet_id=1)) == [Puback(1)]
    back = machine.client(version, "c", **kept(version))
    assert back.connack.session_present == (version != V31)
    assert back.payloads() == [b"x"]


@covers(v3="3.1.2-5 4.5.0-1 4.3.2-2", v5="3.1.2-23 4.5.0-1 4.3.2-4")
@every_version
def test_a_message_that_was_acknowledged_is_there_for_who_was_away(machine, version):
    subscribed(machine, version)
    source = machine.client()
    assert machine.ask(source, wire.publish("a", b"x", 1, packet_id=1)) == [Puback(1)]
    machine.fail()
    assert machine.payloads(machine.client(version, "c", **kept(version))) == [b"x"]


@covers(v3="3.1.2-5 4.3.3-2", v5="4.3.3-8")
@every_version
def test_a_message_that_was_received_is_there_once(machine, version):
    subscribed(machine, version, options=2)
    source = machine.client(V5, "source", **kept(V5))
    asked = wire.publish("a", b"x", 2, packet_id=7)
    assert machine.ask(source, asked) == [Pubrec(7)]
    machine.fail()
    source = machine.client(V5, "source", **kept(V5))
    assert source.connack.session_present
    again = wire.publish("a", b"x", 2, packet_id=7, dup=True)
    assert machine.ask(source, again) == [Pubrec(7)]
    assert machine.ask(source, wire.acknowledgement(wire.PUBREL, 7)) == [Pubcomp(7)]
    machine.fail()
    assert machine.payloads(machine.client(version, "c", **kept(version))) == [b"x"]


@covers(v3="4.3.3-2", v5="4.3.3-12")
def test_an_exchange_that_was_completed_is_completed(machine):
    """The next message under the same number is another one."""
    subscribed(machine, V5, options=2)
    source = machine.client(V5, "source", **kept(V5))
    machine.ask(source, wire.publish("a", b"1", 2, packet_id=7))
    assert machine.ask(source, wire.acknowledgement(wire.PUBREL, 7)) == [Pubcomp(7)]
    machine.fail()
    source = machine.client(V5, "source", **kept(V5))
    assert machine.ask(source, wire.publish("a", b"2", 2, packet_id=7)) == [Pubrec(7)]
    assert machine.ask(source, wire.acknowledgement(wire.PUBREL, 7)) == [Pubcomp(7)]
    assert machine.payloads(machine.client(V5, "c", **kept(V5))) == [b"1", b"2"]


@covers(v3="4.4.0-1", v5="4.4.0-1")
@every_version
def test_what_was_under_way_is_sent_again_under_its_number(machine, version):
    subscribed(machine, version, options=2)
    source = machine.client()
    machine.ask(source, wire.publish("a", b"1", 1, packet_id=1))
    assert machine.ask(source, wire.publish("a", b"2", 2, packet_id=2)) == [Pubrec(2)]
    client = machine.client(version, "c", **kept(version))
    machine.log.sync()
    sent = client.messages()
    assert [message.payload for message in sent] == [b"1", b"2"]
    machine.fail()
    back = machine.client(version, "c", **kept(version))
    machine.log.sync()
    again = back.messages()
    assert [message.payload for message in again] == [b"1", b"2"]
    assert again[1] == sent[1]._replace(dup=True)  # with QoS 2 the number is what it is known by


@covers(v3="4.3.3-1 4.4.0-1", v5="4.3.3-5 4.3.3-6 4.4.0-1")
@every_version
def test_what_was_released_is_not_sent_again(machine, version):
    subscribed(machine, version, options=2)
    source = machine.client()
    machine.ask(source, wire.publish("a", b"x", 2, packet_id=1))
    client = machine.client(version, "c", **kept(version))
    machine.log.sync()
    (message,) = client.messages()
    received = client.acknowledgement(wire.PUBREC, message.packet_id)
    assert machine.ask(client, received) == [Pubrel(message.packet_id)]
    machine.fail()
    back = machine.client(version, "c", **kept(version))
    assert back.packets() == [Pubrel(message.packet_id)]


@covers(v3="3.3.1-5", v5="3.3.1-5")
@both_specifications
@pytest.mark.parametrize("qos", [1, 2])
def test_a_retained_message_that_was_acknowledged_is_there(machine, qos, version):
    source = machine.client(version)
    said = {"packet_id": 1, "retain": True, "version": version}
    assert len(machine.ask(source, wire.publish("a", b"x", qos, **said))) == 1
    machine.fail()
    reader = machine.client(version)
    reader.subscribe(("a", 2))
    (message,) = reader.messages()
    assert message[:4] == ("a", b"x", qos, True)


@covers(v3="3.3.1-10", v5="3.3.1-6")
@both_specifications
def test_a_retained_message_whose_removal_was_acknowledged_is_gone(machine, version):
    source = machine.client(version)
    said = {"retain": True, "version": version}
    machine.ask(source, wire.publish("a", b"x", 1, packet_id=1, **said))
    assert machine.ask(source, wire.publish("a", b"", 1, packet_id=2, **said)) in (
        [Puback(2)],
        [Puback(2, 0x10)],
    )
    machine.fail()
    reader = machine.client(version)
    reader.subscribe("a")
    assert reader.packets() == []


@covers(v3="3.10.4-2", v5="3.10.4-2")
@every_version
def test_what_was_unsubscribed_from_stays_so(machine, version):
    client = machine.client(version, "c", **kept(version))
    machine.ask(client, wire.subscribe(1, ("a", 1), ("b", 1), version=version))
    (answer,) = machine.ask(client, wire.unsubscribe(2, "a", version=version))
    assert isinstance(answer, Unsuback)
    machine.fail()
    source = machine.client()
    machine.ask(source, wire.publish("a", b"x", 1, packet_id=1))
    assert machine.ask(source, wire.publish("b", b"y", 1, packet_id=2)) == [Puback(2)]
    assert machine.client(version, "c", **kept(version)).payloads() == [b"y"]


@covers(v3="3.1.2-6", v5="3.1.2-4")
@both_specifications
def test_a_session_that_was_discarded_is_not_back(machine, version):
    subscribed(machine, version)
    fresh = machine.client(version, "c")
    assert not fresh.connack.session_present
    machine.log.sync()
    machine.fail()
    assert not machine.client(version, "c", **kept(version)).connack.session_present


def test_options_and_identifiers_of_a_subscription_are_kept(machine):
    client = machine.client(V5, "c", **kept(V5))
    asked = wire.subscribe(1, ("a", 1 | 0x0C), props={"subscription_identifier": 9})
    assert machine.ask(client, asked) == [Suback(1, (1,))]
    machine.fail()
    back = machine.client(V5, "c", **kept(V5))
    (acknowledged,) = machine.ask(back, wire.publish("a", b"own", 1, packet_id=1))
    assert isinstance(acknowledged, Puback)
    source = machine.client()
    machine.ask(source, wire.publish("a", b"x", 1, packet_id=1, retain=True))
    machine.log.sync()
    (message,) = back.take()
    assert (message.payload, message.retain) == (b"x", True)
    assert message.props == {"subscription_identifier": [9]}


@covers(v5="4.1.0-2 3.1.2-23")
def test_a_session_expires_though_the_broker_began_anew(machine):
    client = machine.client(V5, "c", **kept(V5, 100))
    machine.ask(client, wire.subscribe(1, ("a", 1)))
    client.drop()
    machine.log.sync()
    machine.fail()
    pass_time(machine.listener, 99)
    machine.fail()
    pass_time(machine.listener, 200)
    assert not machine.client(V5, "c", **kept(V5)).connack.session_present


def test_what_a_message_says_of_itself_is_kept(machine):
    subscribed(machine, V5)
    props = {
        "payload_format_indicator": 1,
        "content_type": "t",
        "response_topic": "b/c",
        "correlation_data": b"\0",
        "user_property": [("b", "1"), ("a", "2"), ("b", "0")],
    }
    source = machine.client()
    machine.ask(source, wire.publish("a", b"x", 1, packet_id=1, props=props))
    machine.fail()
    (message,) = machine.client(V5, "c", **kept(V5)).take()
    assert message.props == props
