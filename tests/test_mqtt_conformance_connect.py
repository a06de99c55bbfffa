"""CONNECT and CONNACK: who is let in, who is not, and in which words (MQTT 3.1 and 3.2)."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from mqtt_double import (
    Client,
    Connection,
    assert_ended,
    assert_refused,
    both_specifications,
    every_version,
    kept,
    mqtt_listener,
)
from mqtt_statements import covers
from mqtt_wire import PINGREQ, V5, V31, V311, Connack, Pingresp, Puback, Suback, Will, connect

UNACCEPTABLE_LEVEL = b"\x20\x02\x00\x01"  # as 3.1 and 3.1.1 say it


@pytest.fixture
def listener():
    return mqtt_listener()


# The first packet


@covers(v3="3.1.4-4 3.2.0-1 3.2.2-3 7.0.0-2", v5="3.1.4-5 3.2.0-1 3.2.2-1 3.2.2-8 2.2.2-1")
@every_version
def test_a_connect_with_nothing_in_it_but_a_name_is_accepted(listener, version):
    client = Client(listener, version)
    assert client.connack.reason == 0
    assert not client.connack.session_present
    assert client.ask(PINGREQ) == [Pingresp()]


BEFORE_CONNECT = {
    "PUBLISH": wire.publish("a", b"x", version=V311),
    "PUBACK": wire.acknowledgement(wire.PUBACK, 1),
    "PUBREL": wire.acknowledgement(wire.PUBREL, 1),
    "SUBSCRIBE": wire.subscribe(1, "a", version=V311),
    "UNSUBSCRIBE": wire.unsubscribe(1, "a", version=V311),
    "PINGREQ": PINGREQ,
    "DISCONNECT": wire.disconnect(),
    "AUTH": wire.auth(),
    "CONNACK": b"\x20\x02\x00\x00",
    "type 0": b"\x00\x00",
}


@covers(v3="3.1.0-1 3.2.0-1 4.8.0-1", v5="3.1.0-1 3.2.0-1 3.14.0-1")
@pytest.mark.parametrize("name", BEFORE_CONNECT)
def test_whoever_begins_with_another_packet_than_connect_is_cut_off_without_a_word(listener, name):
    connection = Connection(listener)
    connection.send(BEFORE_CONNECT[name])
    assert connection.bytes() == b""
    assert connection.closed


def test_what_follows_a_wrong_first_packet_is_not_carried_out(listener):
    watcher = Client(listener)
    watcher.subscribe("a")
    connection = Connection(listener)
    connection.send(PINGREQ, connect(), wire.publish("a", b"x"))
    assert connection.bytes() == b""
    assert watcher.packets() == []


@covers(v3="3.1.0-2 4.8.0-1", v5="3.1.0-2 3.2.0-2 4.13.1-1")
@every_version
def test_a_second_connect_ends_the_connection(listener, version):
    client = Client(listener, version)
    answers = client.ask(connect(client.client_id, version), PINGREQ)
    assert_ended(client, answers)


@covers(v3="3.1.4-4", v5="3.2.0-1 3.2.0-2")
@every_version
def test_what_a_client_sends_without_waiting_for_connack_is_answered_after_it(listener, version):
    connection = Connection(listener, version)
    found = connection.ask(
        connect("eager", version),
        wire.subscribe(1, "a", version=version),
        wire.publish("a", b"x", version=version),
    )
    assert [type(packet) for packet in found] == [Connack, Suback, wire.Publish]


# Protocol name and level


@covers(v3="3.1.2-1", v5="3.1.2-1")
@pytest.mark.parametrize("version", [V31, V311, V5])
@pytest.mark.parametrize(
    "name", ["", "mqtt", "MQTt", "MQTTX", "MQIsdP", "HTTP", b"\xff\xff\xff\xff"]
)
def test_a_protocol_of_another_name_is_closed(listener, name, version):
    assert_refused(listener, connect("c", version, name=name), version, None, {None, 0x84})


def refused_in_any_form(listener, data):
    """All bytes that came back for a CONNECT that is refused."""
    connection = Connection(listener)
    connection.send(data)
    came = connection.bytes()
    assert connection.closed
    return came


@covers(v3="3.1.2-2 3.2.2-4 3.2.2-5")
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_level_older_than_any_is_unacceptable(listener, level):
    came = refused_in_any_form(listener, connect("c", V311, level=level))
    assert came == UNACCEPTABLE_LEVEL


@covers(v5="3.1.2-2 3.2.2-6 3.2.2-7 4.13.2-1")
@pytest.mark.parametrize("level", [6, 7, 0x7F])
def test_a_level_newer_than_any_is_an_unsupported_version(listener, level):
    came = refused_in_any_form(listener, connect("c", V5, level=level))
    (answer,) = wire.read_packets(came, V5)
    assert (answer.reason, answer.session_present) == (0x84, False)


@pytest.mark.parametrize("version", [V31, V311])
def test_a_bridge_of_mosquitto_is_served_or_told_in_a_form_that_it_understands(listener, version):
    """Its first try has bit 7 set; after 0x01 it tries without."""
    connection = Connection(listener, version)
    connection.send(connect("bridge", version, level=0x80 | version))
    assert connection.bytes() in {UNACCEPTABLE_LEVEL, b"\x20\x02\x00\x00"}


@covers(v3="3.1.2-1 3.1.2-2")
def test_the_name_of_3_1_does_not_go_with_the_levels_of_its_successors(listener):
    for level in (V311, V5):
        came = refused_in_any_form(listener, connect("c", level, name="MQIsdp"))
        assert came in {b"", UNACCEPTABLE_LEVEL, b"\x20\x03\x00\x84\x00"}
    came = refused_in_any_form(listener, connect("c", V311, level=V31))
    assert came in {b"", UNACCEPTABLE_LEVEL}


# Client identifiers


@covers(v3="3.1.3-5", v5="3.1.3-5")
@every_version
@pytest.mark.parametrize(
    "client_id",
    ["0", "a" * 23, "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"],
)
def test_every_client_id_that_servers_must_allow_is_allowed(listener, client_id, version):
    assert Client(listener, version, client_id).connack.reason == 0


@both_specifications
@pytest.mark.parametrize(
    "client_id", ["a" * 24, "x" * 65_535, "with blanks / and +#$", "\u2603" * 9]
)
def test_client_ids_of_any_length_and_letters_are_allowed(listener, client_id, version):
    first = Client(listener, version, client_id, **kept(version))
    assert first.connack.reason == 0
    first.leave()
    again = Client(listener, version, client_id, **kept(version))
    assert again.connack.session_present


@covers(v3="3.1.3-6")
def test_an_empty_client_id_is_one_of_its_own_for_each_client(listener):
    first, second = (Client(listener, V311, "") for _ in range(2))
    assert (first.connack.reason, second.connack.reason) == (0, 0)
    assert first.ask(PINGREQ) == second.ask(PINGREQ) == [Pingresp()]
    assert not first.closed


@covers(v3="3.1.3-8 3.1.3-9 3.2.2-4 3.2.2-5")
def test_an_empty_client_id_does_not_go_with_a_session_to_keep(listener):
    assert_refused(listener, connect("", V311, clean=False), V311, 0x02)


def test_an_empty_client_id_is_no_name_in_3_1(listener):
    assert_refused(listener, connect("", V31), V31, 0x02)


@covers(v5="3.1.3-6 3.1.3-7 3.2.2-16")
@pytest.mark.parametrize("clean", [True, False])
def test_an_empty_client_id_is_assigned_one(listener, clean):
    clients = [Client(listener, V5, "", clean=clean) for _ in range(20)]
    assert all(client.connack.reason == 0 for client in clients)
    assigned = {client.connack.props["assigned_client_identifier"] for client in clients}
    assert len(assigned) == 20
    assert all(assigned)


@covers(v5="3.1.3-7 3.1.3-2")
def test_an_assigned_client_id_is_good_for_coming_back(listener):
    said = {"clean": False, "props": {"session_expiry_interval": 100}}
    first = Client(listener, V5, "", **said)
    assigned = first.connack.props["assigned_client_identifier"]
    first.leave()
    again = Client(listener, V5, assigned, **said)
    assert again.connack.session_present
    assert "assigned_client_identifier" not in again.connack.props


def test_a_client_id_that_was_given_is_not_assigned_again(listener):
    assert "assigned_client_identifier" not in Client(listener, V5, "mine").connack.props


# What the flags announce


FULL = {"username": "user", "password": b"pass", "will": Will("a/b", b"gone")}
FIELDS = ("client_id", "topic", "payload", "username", "password")


@covers(
    v3="3.1.2-9 3.1.2-19 3.1.2-21 3.1.3-1 3.1.3-3 3.1.4-1",
    v5="3.1.2-9 3.1.2-17 3.1.2-19 3.1.3-1 3.1.3-3 3.1.4-1",
)
@both_specifications
@pytest.mark.parametrize("missing", range(1, 5))
def test_a_field_that_the_flags_announce_has_to_be_there(listener, missing, version):
    """The fields are cut off from the end of the payload, one more each time."""
    whole = connect("c", version, **FULL)
    body = wire.split(whole)[0][0][1]
    sizes = [2 + 4, 2 + 4, 2 + 4, 2 + 3]  # password, user name, will message, will topic
    short = wire.packet(whole[0], body[: -sum(sizes[:missing])])
    assert_refused(listener, short, version)
    assert Client(listener, version, **FULL).connack.reason in {0, 4, 5, 0x86, 0x87}


@covers(v3="3.1.2-18 3.1.2-20 3.1.2-11 3.1.4-1", v5="3.1.2-16 3.1.2-18 3.1.4-1")
@every_version
@pytest.mark.parametrize(
    "extra", [b"\0", wire.string("user"), wire.string("t") + wire.binary(b"m")]
)
def test_a_field_that_no_flag_announces_must_not_be_there(listener, extra, version):
    whole = connect("c", version)
    long = wire.packet(whole[0], wire.split(whole)[0][0][1] + extra)
    assert_refused(listener, long, version)


@covers(v3="3.1.2-3 3.1.4-1", v5="3.1.2-3 3.1.4-1")
@both_specifications
def test_the_reserved_connect_flag_has_to_be_zero(listener, version):
    assert_refused(listener, connect("c", version, flags=0x03), version)


@covers(v3="3.1.2-13 3.1.2-15 3.1.2-11", v5="3.1.2-11 3.1.2-13")
@both_specifications
@pytest.mark.parametrize("flags", [0x02 | 0x08, 0x02 | 0x10, 0x02 | 0x20])
def test_without_a_will_there_is_neither_will_qos_nor_will_retain(listener, flags, version):
    assert_refused(listener, connect("c", version, flags=flags), version)


@covers(v3="3.1.2-14", v5="3.1.2-12")
@every_version
def test_a_will_has_no_qos_3(listener, version):
    will = Will("a", b"x", qos=3)
    assert_refused(listener, connect("c", version, will=will), version)


@covers(v3="3.1.2-14", v5="3.1.2-12 3.2.2-12 3.2.2-13")
@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
def test_a_will_of_every_other_kind_is_accepted(listener, qos, retain, version):
    will = Will("a", b"x", qos, retain)
    assert Client(listener, version, will=will).connack.reason == 0


@covers(v3="3.1.2-22")
def test_a_password_without_a_user_name_is_malformed_in_3_1_1(listener):
    assert_refused(listener, connect("c", V311, password=b"x"), V311)


def test_a_password_without_a_user_name_is_all_right_in_5(listener):
    assert Client(listener, V5, password=b"x").connack.reason in {0, 0x86, 0x87}


# Whether one may


@pytest.fixture
def guarded():
    return mqtt_listener(user="u", password="s")


WRONG = [
    {},
    {"username": "u"},
    {"username": "u", "password": b"S"},
    {"username": "v", "password": b"s"},
    {"username": "", "password": b"s"},
    {"username": "u", "password": b"s\0"},
]


@covers(v3="3.2.2-4 3.2.2-5", v5="3.1.4-2 3.2.2-6 3.2.2-7 4.13.2-1")
@every_version
@pytest.mark.parametrize("said", WRONG)
def test_who_is_not_known_is_told_so_and_sent_away(guarded, said, version):
    assert_refused(guarded, connect("c", version, **said), version, {4, 5}, {0x86, 0x87})


@every_version
def test_who_is_known_is_let_in(guarded, version):
    assert Client(guarded, version, username="u", password=b"s").connack.reason == 0


@covers(v3="3.1.4-5", v5="3.1.4-6")
@every_version
def test_what_follows_a_refused_connect_is_not_carried_out(guarded, version):
    watcher = Client(guarded, V5, username="u", password=b"s")
    watcher.subscribe("a")
    stranger = Connection(guarded, version)
    answers = stranger.ask(connect("c", version), wire.publish("a", b"x", version=version), PINGREQ)
    assert [type(answer) for answer in answers] == [Connack]
    assert watcher.packets() == []


@every_version
def test_a_refused_connect_leaves_the_client_of_that_name_alone(guarded, version):
    known = Client(guarded, V5, "c", username="u", password=b"s")
    assert_refused(guarded, connect("c", version), version, {4, 5}, {0x86, 0x87})
    assert known.ask(PINGREQ) == [Pingresp()]


# What CONNACK says


@covers(v3="3.2.2-6", v5="3.2.2-8")
@every_version
def test_a_connect_that_is_malformed_is_not_answered_with_a_code_for_something_else(
    listener, version
):
    assert_refused(listener, connect(b"\xff", version), version)


@covers(v5="3.2.2-9 3.2.2-10 3.2.2-12")
def test_every_qos_is_served_and_nothing_else_is_said(listener):
    client = Client(listener)
    assert "maximum_qos" not in client.connack.props
    assert client.subscribe(("a", 0), ("b", 1), ("c", 2)) == (0, 1, 2)
    assert client.publish("a", b"x", qos=2) == 0


@covers(v5="3.2.2-13")
def test_retained_messages_and_every_kind_of_subscription_are_served(listener):
    props = Client(listener).connack.props
    for name in (
        "retain_available",
        "wildcard_subscription_available",
        "subscription_identifier_available",
        "shared_subscription_available",
    ):
        assert props.get(name, 1) == 1


@covers(v5="3.1.2-28")
@pytest.mark.parametrize("props", [{}, {"request_response_information": 0}])
def test_response_information_is_for_who_asks(listener, props):
    assert "response_information" not in Client(listener, props=props).connack.props


@covers(v5="4.12.0-6")
def test_who_names_no_authentication_method_is_sent_none(listener):
    assert "authentication_method" not in Client(listener).connack.props


@covers(v5="4.12.0-1 4.12.0-4 4.12.0-2 4.12.0-5 3.15.2-1 3.15.2-2 3.15.2-3")
@pytest.mark.parametrize(
    "props",
    [
        {"authentication_method": "SCRAM-SHA-1"},
        {"authentication_method": "GS2-KRB5", "authentication_data": b"x"},
        {"authentication_method": ""},
    ],
)
def test_an_authentication_method_is_one_too_many(listener, props):
    """None is there, so AUTH is never sent, in whatever words."""
    assert_refused(listener, connect(props=props), V5, new=0x8C)


@covers(v5="4.12.1-2 4.13.1-1")
@pytest.mark.parametrize("reason", [0x00, 0x18, 0x19])
def test_who_wants_to_authenticate_again_is_cut_off(listener, reason):
    client = Client(listener)
    answers = client.ask(wire.auth(reason, {"authentication_method": "x"}), PINGREQ)
    assert_ended(client, answers, 0x82)


@covers(v5="3.2.2-19 3.2.2-20")
def test_connack_keeps_to_the_size_that_the_client_can_take(listener):
    size = len(listener_answer(listener, connect("c")))
    for limit in (size, size + 1, size + 10):
        props = {"maximum_packet_size": limit}
        assert len(listener_answer(listener, connect("c", props=props))) <= limit


@covers(v5="3.2.2-19 3.2.2-20")
def test_a_refusal_keeps_to_the_size_that_the_client_can_take(listener):
    for limit in (5, 6, 10, 20, 40):
        props = {"maximum_packet_size": limit, "authentication_method": "x"}
        assert len(listener_answer(listener, connect("c", props=props))) <= limit


def listener_answer(listener, data):
    connection = Connection(listener)
    connection.send(data)
    return connection.bytes()


# PINGREQ


@covers(v3="3.12.4-1", v5="3.12.4-1")
@every_version
def test_every_pingreq_is_answered(listener, version):
    client = Client(listener, version)
    assert client.ask(PINGREQ) == [Pingresp()]
    assert client.ask(PINGREQ * 3) == [Pingresp()] * 3


# The stream of bytes


@covers(v3="7.1.1-1", v5="4.2.0-1")
@every_version
def test_where_the_stream_is_cut_makes_no_difference(listener, version):
    said = [
        connect("cut", version, will=Will("w", b"x" * 200)),
        wire.subscribe(1, ("a", 1), version=version),
        wire.publish("a", b"y" * 130, 1, packet_id=7, version=version),
        PINGREQ,
    ]
    stream = b"".join(said)
    whole = Connection(listener, version)
    expected = whole.ask(stream)
    whole.drop()
    for size in (1, 2, 3, 7):
        connection = Connection(listener, version)
        for at in range(0, len(stream), size):
            connection.send(stream[at : at + size])
        assert connection.packets() == expected
        connection.drop()
    assert [type(packet) for packet in expected][:2] == [Connack, Suback]
    assert {Puback, Pingresp} < {type(packet) for packet in expected}
