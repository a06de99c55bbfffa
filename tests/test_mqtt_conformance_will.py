"""Wills: when they are published, when they are not, and how (MQTT 3.1.2.5, 3.1.3.2)."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from broker_doubles import DenyList
from mqtt_double import Client, every_version, kept, mqtt_listener, pass_time
from mqtt_statements import covers
from mqtt_wire import V5, Will

WILL = Will("gone", b"c")


@pytest.fixture
def listener():
    return mqtt_listener()


@pytest.fixture
def heir(listener):
    """Who is subscribed to all wills of these tests."""
    client = Client(listener, client_id="heir")
    client.subscribe(("gone/#", 2))
    return client


# When


@covers(v3="3.1.2-8 3.1.2-9", v5="3.1.2-7 3.1.2-8")
@every_version
def test_a_will_is_published_when_the_connection_is_lost(listener, heir, version):
    client = Client(listener, version, will=WILL)
    assert heir.packets() == []
    client.drop()
    assert heir.payloads() == [b"c"]


@covers(v3="3.1.2-10 3.14.4-3 3.1.2-8", v5="3.1.2-8 3.1.2-10 3.14.4-3")
@every_version
def test_who_leaves_in_order_leaves_no_will(listener, heir, version):
    client = Client(listener, version, will=WILL)
    client.leave()
    pass_time(listener, 0)
    assert heir.packets() == []


@covers(v3="3.14.4-3", v5="3.14.4-3")
@every_version
def test_a_will_is_forgotten_with_disconnect_though_the_session_is_kept(listener, heir, version):
    client = Client(listener, version, "c", will=WILL, **kept(version))
    client.leave()
    Client(listener, version, "c", **kept(version)).drop()
    assert heir.packets() == []


@covers(v5="3.1.2-8 3.1.2-10")
@pytest.mark.parametrize("reason", [0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x97, 0x98])
def test_who_leaves_for_another_reason_leaves_the_will(listener, heir, reason):
    client = Client(listener, will=WILL)
    client.leave(reason)
    assert heir.payloads() == [b"c"]


@covers(v3="3.1.2-8 3.1.2-24", v5="3.1.2-8 3.1.2-22")
@every_version
def test_who_falls_silent_leaves_the_will(listener, heir, version):
    Client(listener, version, will=WILL, keep_alive=10)
    pass_time(listener, 16)
    assert heir.payloads() == [b"c"]


@covers(v3="3.1.2-8", v5="3.1.2-8")
@every_version
def test_who_breaks_the_rules_leaves_the_will(listener, heir, version):
    client = Client(listener, version, will=WILL)
    client.ask(wire.publish("a", qos=3, packet_id=1, version=version))
    assert client.closed
    assert heir.payloads() == [b"c"]


@covers(v3="3.1.2-8 3.1.4-2", v5="3.1.2-8 3.1.4-3")
@every_version
def test_who_is_taken_over_leaves_the_will(listener, heir, version):
    Client(listener, version, "c", will=WILL)
    second = Client(listener, version, "c", will=Will("gone", b"second"))
    assert heir.payloads() == [b"c"]
    second.drop()
    assert heir.payloads() == [b"second"]


@covers(v3="3.1.2-12", v5="3.1.2-8")
@every_version
def test_without_a_will_nothing_is_published(listener, heir, version):
    client = Client(listener, version, "c", will=WILL)
    client.leave()
    Client(listener, version, "c").drop()
    assert heir.packets() == []


@covers(v3="3.1.2-10", v5="3.1.2-10")
@every_version
def test_a_will_is_published_once(listener, heir, version):
    Client(listener, version, "c", will=WILL, **kept(version)).drop()
    assert heir.payloads() == [b"c"]
    Client(listener, version, "c", **kept(version)).drop()
    pass_time(listener, 100)
    assert heir.packets() == []


@covers(v3="3.1.4-1 3.1.2-8", v5="3.1.2-7")
@every_version
def test_the_will_of_who_was_not_let_in_is_not_published(version):
    listener = mqtt_listener(user="u", password="s")
    heir = Client(listener, username="u", password=b"s")
    heir.subscribe("gone")
    stranger = Client(listener, version, will=WILL)
    assert stranger.connack.reason
    stranger.drop()
    assert heir.packets() == []


# How


@covers(v3="3.1.2-16 3.1.2-9", v5="3.1.2-14 3.1.2-9")
@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_is_published_with_its_qos_and_not_retained(listener, heir, qos, version):
    Client(listener, version, will=Will("gone/x", b"c", qos)).drop()
    (message,) = heir.take()
    assert message[:4] == ("gone/x", b"c", qos, False)
    heir.subscribe("gone/#")
    assert heir.packets() == []


@covers(v3="3.1.2-17", v5="3.1.2-15")
@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_may_be_retained(listener, qos, version):
    Client(listener, version, will=Will("gone/x", b"c", qos, retain=True)).drop()
    late = Client(listener)
    late.subscribe(("gone/x", 2))
    (message,) = late.take()
    assert message[:4] == ("gone/x", b"c", qos, True)


@covers(v3="3.1.2-17", v5="3.1.2-15")
@every_version
def test_an_empty_retained_will_removes_what_was_retained(listener, version):
    client = Client(listener, version, will=Will("gone/x", retain=True))
    client.publish("gone/x", b"there", 1, retain=True)
    client.drop()
    late = Client(listener)
    late.subscribe("gone/x")
    assert late.packets() == []


@every_version
def test_an_empty_will_is_a_message_without_payload(listener, heir, version):
    Client(listener, version, will=Will("gone")).drop()
    assert heir.payloads() == [b""]


@covers(v3="3.1.2-8 4.5.0-1", v5="4.5.0-1")
@every_version
def test_a_will_reaches_who_is_away(listener, version):
    away = Client(listener, version, "away", **kept(version))
    away.subscribe(("gone", 1))
    away.leave()
    Client(listener, version, will=Will("gone", b"c", 1)).drop()
    assert Client(listener, version, "away", **kept(version)).payloads() == [b"c"]


@covers(v5="3.1.3-10 3.3.2-18")
def test_the_properties_of_a_will_are_passed_on_and_in_order(listener, heir):
    pairs = [("b", "1"), ("a", "2"), ("b", "0"), ("", "")]
    props = {
        "payload_format_indicator": 1,
        "content_type": "text/plain",
        "response_topic": "answers/here",
        "correlation_data": b"\0\xff",
        "user_property": pairs,
    }
    Client(listener, will=WILL._replace(props=props)).drop()
    (message,) = heir.take()
    assert message.props == props


@every_version
def test_a_will_that_its_client_may_not_publish_is_not_published(version):
    access = DenyList()
    access.denied.add(("publish", "gone"))
    listener = mqtt_listener(access=access)
    heir = Client(listener)
    heir.subscribe("gone")
    Client(listener, version, will=WILL).drop()
    assert heir.packets() == []


# With a delay


def delayed(seconds):
    return WILL._replace(props={"will_delay_interval": seconds})


@covers(v5="3.1.2-8")
def test_a_will_waits_as_long_as_it_was_told(listener, heir):
    Client(listener, will=delayed(10), **kept(V5, 100)).drop()
    pass_time(listener, 9.5)
    assert heir.packets() == []
    pass_time(listener, 1)
    assert heir.payloads() == [b"c"]


@covers(v5="3.1.3-9 3.1.2-8")
@pytest.mark.parametrize("clean_end", [True, False])
def test_who_is_back_before_leaves_no_will(listener, heir, clean_end):
    Client(listener, V5, "c", will=delayed(10), **kept(V5, 100)).drop()
    pass_time(listener, 9)
    back = Client(listener, V5, "c", **kept(V5, 100))
    back.leave() if clean_end else back.drop()
    pass_time(listener, 100)
    assert heir.packets() == []


@covers(v5="3.1.3-9 3.1.2-8")
def test_who_takes_over_a_delayed_will_is_still_there(listener, heir):
    Client(listener, V5, "c", will=delayed(10), **kept(V5, 100))
    Client(listener, V5, "c", **kept(V5, 100))
    pass_time(listener, 100)
    assert heir.packets() == []


@covers(v5="3.1.2-8")
def test_a_will_does_not_wait_longer_than_its_session(listener, heir):
    Client(listener, will=delayed(1000), **kept(V5, 10)).drop()
    pass_time(listener, 9.5)
    assert heir.packets() == []
    pass_time(listener, 1)
    assert heir.payloads() == [b"c"]


@covers(v5="3.1.2-8")
@pytest.mark.parametrize("how", ["drop", "take over with a new session"])
def test_a_will_does_not_wait_where_the_session_ends_at_once(listener, heir, how):
    client = Client(listener, V5, "c", will=delayed(1000))
    if how == "drop":
        client.drop()
    else:
        Client(listener, V5, "c")
    assert heir.payloads() == [b"c"]


@covers(v5="3.1.2-8")
def test_a_new_session_in_the_meantime_ends_the_old_one_and_its_wait(listener, heir):
    Client(listener, V5, "c", will=delayed(1000), **kept(V5, 2000)).drop()
    assert heir.packets() == []
    Client(listener, V5, "c")
    assert heir.payloads() == [b"c"]


@covers(v5="3.1.2-8")
def test_a_session_that_ends_with_disconnect_does_not_wait_for_its_will(listener, heir):
    client = Client(listener, will=delayed(1000), **kept(V5, 2000))
    client.leave(0x04, {"session_expiry_interval": 0})
    assert heir.payloads() == [b"c"]


@covers(v5="3.14.4-3")
def test_disconnect_removes_a_will_that_would_have_waited(listener, heir):
    Client(listener, will=delayed(10), **kept(V5, 100)).leave()
    pass_time(listener, 200)
    assert heir.packets() == []


@covers(v5="3.3.2-6")
def test_a_wills_expiry_begins_when_it_is_published(listener, heir):
    props = {"will_delay_interval": 10, "message_expiry_interval": 5}
    Client(listener, will=WILL._replace(props=props), **kept(V5, 100)).drop()
    pass_time(listener, 11)
    (message,) = heir.take()
    assert message.props["message_expiry_interval"] in {4, 5}


@pytest.mark.parametrize("end", ["drop", "take over"])
def test_a_will_that_cannot_be_retained_keeps_nobody_from_coming_and_going(end):
    listener = mqtt_listener(max_retained_messages=1)
    heir = Client(listener, client_id="heir")
    heir.subscribe("gone")
    Client(listener, client_id="source").publish("a", b"x", retain=True)
    client = Client(listener, V5, "c", will=Will("gone", b"c", retain=True))
    if end == "drop":
        client.drop()
    back = Client(listener, V5, "c")
    assert back.connack.reason == 0
    assert heir.payloads() == [b"c"]
    client.packets()  # all of them, and it is closed
    assert client.closed or end == "drop"
    assert back.ask(wire.PINGREQ) == [wire.Pingresp()]
