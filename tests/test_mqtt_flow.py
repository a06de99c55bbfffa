"""What is on its way to a client and from it, whatever is lost in between: flow, queues and shares."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from broker_doubles import DenyList
from held_log import HeldLog
from hubbub.log.memory import MemoryLog
from hubbub.model.address import Address, from_opaque
from hubbub.model.errors import StorageError
from hubbub.model.message import Message
from hubbub.protocols.mqtt import consumer
from hubbub.protocols.mqtt.shares import ShareGroup
from mqtt_double import Client, here_only, kept, mqtt_listener, pass_time
from mqtt_wire import V5, V311, Disconnect, Pubcomp, Publish, Pubrec, Pubrel, Suback

pytestmark = here_only

MIB = 1024 * 1024
NO_LOCAL = 0x04
MARK = "hubbub-mark"
# As a publisher might write what queues keep beside a message: no flags that there are, half a name,
# properties that are none.
FORGED = ["\x02\x01\x01" + "A" * 257 + "\x7f\x7f", "\x07", "\x02\x7f\x7fab", ""]


@pytest.fixture
def listener():
    return mqtt_listener()


def away(listener, *filters, client_id="c", version=V5):
    """A kept session with these subscriptions, whose client is gone."""
    client = Client(listener, version, client_id, **kept(version))
    client.subscribe(*filters)
    client.drop()


def back(listener, client_id="c", version=V5, **props):
    return Client(listener, version, client_id, **kept(version, **props))


def state_of(listener, client_id="c"):
    (found,) = [state for state in listener.sessions if state.client_id == client_id]
    return found


def after_kill(log, *, power_cut=False):
    """The log as the next process finds it, and a listener upon it."""
    survivor = log.survivor(power_cut=power_cut)
    survivor.sync()
    return survivor, mqtt_listener(log=survivor)


def patiently(client, seconds=20.0):
    """All payloads that come in some time to a client that takes what it is sent."""
    found = client.payloads()
    for _ in range(int(seconds / 0.1)):
        pass_time(client.listener, 0.1)
        found += client.payloads()
    return found


def queue_names(listener):
    return [queue.name for queue in listener.broker.queues]


def readable(header):
    """A header's bytes as a user property, whose text cannot hold all of them."""
    return header.decode(errors="replace").replace("\0", "\ufffd")


# What a message says of itself


@pytest.mark.parametrize("forged", FORGED)
@pytest.mark.parametrize("expiry", [{}, {"message_expiry_interval": 60}])
def test_a_user_property_with_the_name_of_a_mark_is_one_like_others(listener, forged, expiry):
    away(listener, ("a", 1))
    props = {"user_property": [(MARK, forged)]} | expiry
    source = Client(listener)
    source.publish("a", b"1", 1, props=props)
    source.publish("a", b"2", 1)
    first, second = back(listener).take()
    assert (first.payload, first.props) == (b"1", props)
    assert (second.payload, second.props) == (b"2", {})


@pytest.mark.parametrize("forged", [b"\x02\x00\x00\xff\xff", b"\x02\xff", b""])
def test_a_header_with_the_name_of_a_mark_is_one_like_others(listener, forged):
    away(listener, ("a", 1))
    headers = ((MARK, forged),)
    listener.broker.publish(Message(Address("a"), b"1", headers=headers, expiry_ms=50_000))
    listener.broker.publish(Message(Address("a"), b"2"))
    first, second = back(listener).take()
    assert (first.payload, second.payload) == (b"1", b"2")
    assert first.props["user_property"] == [(MARK, readable(forged))]


def test_a_message_that_cannot_be_made_into_a_packet_does_not_hold_up_those_behind_it(
    listener, monkeypatch
):
    away(listener, ("a", 1))
    source = Client(listener)
    for payload in (b"1", b"2", b"3"):
        source.publish("a", payload, 1)
    decode, count = consumer.decode_mark, iter(range(10))

    def fail_once(encoded):
        if next(count) == 1:
            raise ValueError("no mark")
        return decode(encoded)

    monkeypatch.setattr(consumer, "decode_mark", fail_once)
    client = back(listener)
    assert client.payloads() == [b"1", b"3"]
    client.drop()
    assert back(listener).payloads() == []


def test_a_message_that_is_no_packet_at_all_is_left_out(listener):
    client = Client(listener)
    client.subscribe("#")
    kept_one = Client(listener, V5, "c", **kept(V5))
    kept_one.subscribe(("#", 1))
    # Each "/" of another protocol's name takes three bytes in a topic name, which has 65,535 at most.
    listener.broker.publish(Message(from_opaque(b"/" * 30_000), b"x"))
    listener.broker.publish(Message(Address("a"), b"y"))
    assert [(message.topic, message.payload) for message in client.take()] == [("a", b"y")]
    assert [(message.topic, message.payload) for message in kept_one.take()] == [("a", b"y")]


def test_a_message_too_large_for_any_outbox_is_passed_over(listener):
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a", 1))
    client.line.outbox.limit = 10_000
    source = Client(listener)
    source.publish("a", b"x" * 20_000, 1)
    source.publish("a", b"small", 1)
    assert client.payloads() == [b"small"]
    assert not client.closed
    client.drop()
    assert back(listener).payloads() == []


def test_a_message_that_is_passed_over_leaves_no_alias_that_the_client_has_not_heard_of(listener):
    client = Client(listener, V5, props={"topic_alias_maximum": 5})
    client.subscribe(("a", 1))
    client.line.outbox.limit = 10_000
    source = Client(listener)
    source.publish("a", b"x" * 20_000, 1)
    source.publish("a", b"small", 1)
    (message,) = client.take()
    assert (message.topic, message.payload) == ("a", b"small")


# From a client


@pytest.mark.parametrize("version", [V311, V5])
def test_who_lost_all_receipts_is_given_them_when_it_sends_again(listener, version):
    watcher = Client(listener)
    watcher.subscribe("a")
    client = Client(listener, version, "c", **kept(version))
    numbers = range(1, listener.settings.receive_maximum + 1)
    more = {"qos": 2, "version": version}
    client.send(*[wire.publish("a", b"%d" % n, packet_id=n, **more) for n in numbers])
    client.drop()
    client = back(listener, version=version)
    again = [wire.publish("a", b"%d" % n, packet_id=n, dup=True, **more) for n in numbers]
    assert client.ask(*again) == [Pubrec(n) for n in numbers]
    released = [client.acknowledgement(wire.PUBREL, n) for n in numbers]
    assert client.ask(*released) == [Pubcomp(n) for n in numbers]
    assert watcher.payloads() == [b"%d" % n for n in numbers]


def test_a_message_is_not_lost_with_the_connection_that_ended_while_it_was_taken(listener):
    source = Client(listener)
    for number in range(40):
        source.publish(f"r/{number}", b"x" * 5_000, 1, retain=True)
    watcher = Client(listener)
    watcher.subscribe("a")
    client = Client(listener, V5, "c", **kept(V5, receive_maximum=1))
    client.subscribe(("r/#", 1))
    (message,) = client.messages()
    client.line.outbox.limit = 5_100
    client.line.outbox.write(b"\xd0\0" * 1000)  # unread: what is sent now overflows
    taken = wire.publish("a", b"x", 2, packet_id=9)
    client.send(taken, client.acknowledgement(wire.PUBACK, message.packet_id))
    assert client.line.session.closed
    client.drop()
    client = back(listener)
    client.packets()
    again = wire.publish("a", b"x", 2, packet_id=9, dup=True)
    assert Pubrec(9) in client.ask(again)
    assert watcher.payloads() == [b"x"]


def test_who_cannot_take_what_it_published_itself_is_cut_off_whole(listener):
    client = Client(listener)
    for group in "abc":
        client.subscribe(f"$share/{group}/a")
    client.send(wire.publish("a", b"x" * (12 * MIB), 1, packet_id=1))
    assert client.packets() == [Disconnect(0x97)]
    assert client.closed


def test_a_number_that_was_released_as_its_session_ended_is_free_in_the_next():
    log = MemoryLog()
    listener = mqtt_listener(log=log)
    watcher = Client(listener, V5, "watcher", **kept(V5))
    watcher.subscribe(("a", 1))
    watcher.drop()
    client = Client(listener, V5, "c", **kept(V5))
    assert client.ask(wire.publish("a", b"1", 2, packet_id=5)) == [Pubrec(5)]
    ended = wire.disconnect(0, {"session_expiry_interval": 0})
    client.send(client.acknowledgement(wire.PUBREL, 5), ended)
    client.drop()
    back(listener).drop()
    listener = mqtt_listener(log=log)
    client = back(listener)
    assert client.connack.session_present
    assert client.ask(wire.publish("a", b"2", 2, packet_id=5)) == [Pubrec(5)]
    assert back(listener, "watcher").payloads() == [b"1", b"2"]


def test_a_number_that_was_completed_as_its_session_ended_is_unknown_in_the_next():
    log = MemoryLog()
    listener = mqtt_listener(log=log)
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a", 2))
    Client(listener).publish("a", b"x", 2)
    (message,) = client.messages()
    client.ask(client.acknowledgement(wire.PUBREC, message.packet_id))
    ended = wire.disconnect(0, {"session_expiry_interval": 0})
    client.send(client.acknowledgement(wire.PUBCOMP, message.packet_id), ended)
    client.drop()
    back(listener).drop()
    assert back(mqtt_listener(log=log)).packets() == []


def test_answers_that_wait_behind_the_disk_have_an_end():
    log = HeldLog()
    listener = mqtt_listener(log=log)
    listener.broker.create_topic(Address("a"))
    log.sync()
    client = Client(listener)
    client.send(wire.publish("a", b"x", 1, packet_id=1))
    for _ in range(70):
        client.send(client.acknowledgement(wire.PUBREL, 7) * 1000)
    assert client.line.session.paused
    log.sync()
    assert len(client.packets()) > 50_000
    assert not client.line.session.paused


# To a client, over a crash


@pytest.mark.parametrize("power_cut", [False, True])
@pytest.mark.parametrize("before", ["", "s", "t", "ts", "sts", "tsts"])  # turns and syncs
def test_what_a_client_let_go_of_is_not_sent_again_after_a_crash(power_cut, before):
    log = HeldLog()
    listener = mqtt_listener(log=log)
    client = Client(listener, V5, "c", **kept(V5))
    client.send(wire.subscribe(1, ("a", 2)))
    log.sync()
    assert client.packets() == [Suback(1, (2,), {})]
    listener.broker.publish(Message(Address("a"), b"x"))
    found = []
    for _ in range(3):
        log.sync()
        found += client.packets()
    (message,) = found
    client.send(client.acknowledgement(wire.PUBREC, message.packet_id))
    for step in before:
        if step == "t":
            pass_time(listener, 0)
        else:
            log.sync()
    released = Pubrel(message.packet_id) in wire.read_packets(b"".join(client.line.outbox.take()))
    assert released == before.endswith("ts")
    log, listener = after_kill(log, power_cut=power_cut)
    client = back(listener)
    found = client.packets()
    log.sync()
    found += client.packets()
    if released:
        assert found == [Pubrel(message.packet_id)]
    else:  # it still has the message, and knows it by its number
        assert found in ([message._replace(dup=True)], [Pubrel(message.packet_id)])


def test_nothing_stays_in_flight_that_was_acknowledged_before_a_crash():
    log = HeldLog()
    listener = mqtt_listener(log=log)
    client = Client(listener, V5, "c", **kept(V5))
    client.send(wire.subscribe(1, ("a", 1)))
    log.sync()
    listener.broker.publish(Message(Address("a"), b"x"))
    log.sync()
    *_, message = client.packets()
    log.sync()
    client.send(client.acknowledgement(wire.PUBACK, message.packet_id))
    listener.broker.queues.store()  # and no more before the end
    log, listener = after_kill(log)
    assert back(listener).packets() == []
    assert state_of(listener).flow.outgoing.in_flight == {}


def test_a_number_that_a_retained_message_had_stands_for_no_other_after_a_restart():
    log = MemoryLog()
    listener = mqtt_listener(log=log)
    Client(listener).publish("a", b"retained", 2, retain=True)
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a", 2))
    (first,) = client.messages()
    client.drop()
    listener = mqtt_listener(log=log)
    client = back(listener)
    assert client.packets() == [Pubrel(first.packet_id)]
    Client(listener).publish("a", b"new", 2)
    (second,) = client.messages()
    assert second.payload == b"new"
    assert second.packet_id != first.packet_id


# What it costs


def test_what_is_stored_of_a_packet_does_not_grow_with_those_under_way(listener):
    client = Client(listener, V311, "c", **kept(V311))

    def stored_of(numbers):
        more = {"qos": 2, "version": V311}
        client.ask(*[wire.publish("a", packet_id=number, **more) for number in numbers])
        before = listener.broker._state.size
        released = [client.acknowledgement(wire.PUBREL, number) for number in numbers]
        assert len(client.ask(*released)) == len(numbers)
        return (listener.broker._state.size - before) / len(numbers)

    assert stored_of(range(1, 4001)) < 2 * stored_of(range(1, 41))


def test_queues_that_are_shared_are_asked_once_a_turn_however_much_is_acknowledged(
    listener, monkeypatch
):
    client = Client(listener)
    client.subscribe(*[(f"$share/g/{number}", 1) for number in range(20)])
    client.subscribe(("a", 1))
    for _ in range(100):
        listener.broker.publish(Message(Address("a"), b"x"))
    messages = client.messages()
    assert len(messages) == 100
    asked = []
    monkeypatch.setattr(ShareGroup, "dispatch", lambda _group: asked.append(None))
    client.ask(*[client.acknowledgement(wire.PUBACK, each.packet_id) for each in messages])
    assert len(asked) == 20


def test_queues_hand_out_no_more_than_a_client_reads(listener):
    away(listener, ("a", 1), ("$share/g/a", 1), ("$share/h/a", 1))
    source = Client(listener)
    for _ in range(15):
        source.publish("a", b"x" * MIB, 1)
    client = back(listener)
    assert client.line.outbox.size < 16 * MIB
    assert len(patiently(client)) == 45
    assert not client.closed


def test_retained_messages_wait_for_a_client_that_acknowledges_slowly():
    listener = mqtt_listener(max_queued_messages=3)
    source = Client(listener)
    payloads = [b"%d" % number for number in range(40)]
    for payload in payloads:
        source.publish(f"r/{payload.decode()}", payload, 1, retain=True)
    client = Client(listener, props={"receive_maximum": 1})
    client.subscribe(("r/#", 1))
    assert sorted(patiently(client), key=int) == payloads


@pytest.mark.parametrize("qos", [0, 1])
def test_retained_messages_wait_for_a_client_that_reads_slowly(listener, qos):
    source = Client(listener)
    for number in range(40):
        source.publish(f"r/{number}", b"x" * MIB, 1, retain=True)
    client = Client(listener)
    client.subscribe(("r/#", qos))
    assert client.line.outbox.size < 16 * MIB
    assert len(patiently(client)) == 40
    assert not client.closed


# What is subscribed to


def test_a_message_of_ones_own_comes_once_where_filters_differ_in_no_local(listener):
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a/#", 1 | NO_LOCAL), ("a/b", 0))
    client.publish("a/b", b"x", 1)
    assert [(message.payload, message.qos) for message in client.take()] == [(b"x", 0)]


def test_who_subscribes_to_its_share_again_is_not_sent_again_what_it_has(listener):
    client = Client(listener)
    client.subscribe(("$share/g/a", 1))
    source = Client(listener)
    source.publish("a", b"x", 1)
    (message,) = client.messages()
    client.subscribe(("$share/g/a", 1))
    assert client.packets() == []
    client.ask(client.acknowledgement(wire.PUBACK, message.packet_id))
    client.drop()
    assert queue_names(listener) == []


def test_what_a_client_has_stays_its_own_when_it_leaves_the_share(listener):
    client, other = Client(listener), Client(listener)
    client.subscribe(("$share/g/a", 1))
    Client(listener).publish("a", b"x", 1)
    (message,) = client.messages()
    other.subscribe(("$share/g/a", 1))
    client.unsubscribe("$share/g/a")
    assert other.packets() == []
    state = state_of(listener, client.client_id)
    assert message.packet_id in state.flow.outgoing.in_flight
    assert client.ask(client.acknowledgement(wire.PUBACK, message.packet_id)) == []
    assert state.flow.outgoing.in_flight == {}


def test_a_share_that_a_client_may_not_have_leaves_nothing_behind():
    rules = DenyList()
    rules.denied.add(("subscribe", "a"))
    listener = mqtt_listener(access=rules)
    client = Client(listener)
    assert client.subscribe(("$share/g/a", 1)) == (0x87,)
    assert list(listener.sessions.shares) == []
    assert queue_names(listener) == []


def test_a_share_for_which_there_is_no_space_leaves_nothing_behind(listener, monkeypatch):
    client = Client(listener)

    def full(*_arguments):
        raise StorageError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(listener.broker.queues, "open", full)
        assert client.subscribe(("$share/g/a", 1)) == (0x80,)
    assert list(listener.sessions.shares) == []
    assert client.subscribe(("$share/g/a", 1)) == (1,)
    Client(listener).publish("a", b"x", 1)
    assert client.payloads() == [b"x"]


def test_a_session_is_there_for_who_may_not_have_all_of_it_any_more():
    rules = DenyList()
    listener = mqtt_listener(access=rules)
    away(listener, ("a", 0), ("b", 0), ("$share/g/a", 1))
    rules.denied.add(("subscribe", "a"))
    client = back(listener)
    assert client.connack.session_present
    source = Client(listener)
    source.publish("a", b"1")
    source.publish("b", b"2")
    assert client.payloads() == [b"2"]


def test_the_state_of_the_server_is_for_those_who_may_have_it():
    rules = DenyList()
    rules.denied.add(("receive", "$SYS.broker.uptime"))
    listener = mqtt_listener(access=rules, sys_interval=10)
    client = Client(listener)
    client.subscribe("$SYS/broker/uptime", "$SYS/broker/version")
    assert [message.topic for message in client.messages()] == ["$SYS/broker/version"]


def test_what_could_not_be_stored_is_not_subscribed_to(listener, monkeypatch):
    client = Client(listener, V5, "c", **kept(V5))
    table = listener.sessions._table

    def full(*_pairs):
        raise StorageError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(table, "put", full)
        assert client.subscribe(("a", 1)) == (0x80,)
    Client(listener).publish("a", b"x", 1)
    assert client.packets() == []
    assert client.subscribe(("a", 1)) == (1,)
    Client(listener).publish("a", b"y", 1)
    (message,) = client.take()
    assert isinstance(message, Publish)
    assert message.payload == b"y"
