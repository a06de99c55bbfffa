"""Packets that are none: each ends the connection, with the reason there is a word for (MQTT 4.13, 4.8)."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from mqtt_double import (
    Client,
    assert_ended,
    assert_refused,
    every_version,
    mqtt_listener,
)
from mqtt_statements import covers
from mqtt_wire import (
    PINGREQ,
    PROPERTIES,
    V5,
    V31,
    V311,
    WILL,
    Will,
    acknowledgement,
    connect,
    packet,
    publish,
    subscribe,
    u16,
    unsubscribe,
)

MALFORMED, PROTOCOL_ERROR = 0x81, 0x82
EITHER = (MALFORMED, PROTOCOL_ERROR)
ILL_FORMED = {
    "a stray byte": b"a\xff",
    "a lone continuation": b"\x80",
    "cut short": b"a\xe2\x98",
    "a long form of a": b"\xc1\xa1",
    "a long form of /": b"\xc0\xaf",
    "a long form of NUL": b"\xc0\x80",
    "a high surrogate": b"\xed\xa0\x80",
    "a low surrogate": b"\xed\xbf\xbf",
    "a pair of surrogates": b"\xed\xa0\xbd\xed\xb8\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "NUL": b"a\0b",
}


@pytest.fixture
def listener():
    return mqtt_listener()


def named(rules):
    """A parameter for each rule, named after it."""
    return [pytest.param(*rule, id=name) for name, *rule in rules]


def assert_ends(listener, version, data, *reasons):
    """These bytes end a connection, and what follows them is not carried out."""
    watcher = Client(listener, V5, "watcher")
    watcher.subscribe("after")
    client = Client(listener, version)
    answers = client.ask(data, publish("after", version=version), PINGREQ)
    assert_ended(client, answers, *reasons)
    assert watcher.packets() == []


# The fixed header


KINDS = {
    "PUBACK": acknowledgement(wire.PUBACK, 1),
    "PUBREC": acknowledgement(wire.PUBREC, 1),
    "PUBREL": acknowledgement(wire.PUBREL, 1),
    "PUBCOMP": acknowledgement(wire.PUBCOMP, 1),
    "SUBSCRIBE": subscribe(1, "a"),
    "UNSUBSCRIBE": unsubscribe(1, "a"),
    "PINGREQ": PINGREQ,
    "DISCONNECT": wire.disconnect(),
}
OLD_KINDS = KINDS | {
    "SUBSCRIBE": subscribe(1, "a", version=V311),
    "UNSUBSCRIBE": unsubscribe(1, "a", version=V311),
}


@covers(
    v3="2.2.2-1 2.2.2-2 3.6.1-1 3.8.1-1 3.10.1-1 3.14.1-1 4.8.0-1",
    v5="2.1.3-1 3.6.1-1 3.8.1-1 3.10.1-1 3.14.1-1 4.13.1-1",
)
@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("name", KINDS)
def test_reserved_flags_have_to_be_as_they_are(listener, name, version):
    right = (KINDS if version == V5 else OLD_KINDS)[name]
    for flags in range(16):
        if flags != right[0] & 0x0F:
            assert_ends(listener, version, bytes([right[0] & 0xF0 | flags]) + right[1:], MALFORMED)


@covers(v3="2.2.2-2", v5="2.1.3-1 3.14.0-1")
@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("flags", [1, 2, 4, 8, 15])
def test_reserved_flags_of_connect_have_to_be_zero(listener, flags, version):
    data = connect("c", version)
    wrong = bytes([data[0] | flags]) + data[1:]
    assert_refused(listener, wrong, version)


@covers(v5="3.15.1-1")
@pytest.mark.parametrize("flags", [1, 2, 8])
def test_reserved_flags_of_auth_have_to_be_zero(listener, flags):
    assert_ends(listener, V5, wire.auth(0x19, {"authentication_method": "x"}, flags), *EITHER)


FROM_A_SERVER = {
    "CONNACK": b"\x20\x03\x00\x00\x00",
    "CONNACK of 3.1.1": b"\x20\x02\x00\x00",
    "SUBACK": b"\x90\x04\x00\x01\x00\x00",
    "UNSUBACK": b"\xb0\x04\x00\x01\x00\x00",
    "PINGRESP": b"\xd0\x00",
    "type 0": b"\x00\x00",
}


@covers(v3="4.8.0-1", v5="4.13.1-1")
@every_version
@pytest.mark.parametrize("name", FROM_A_SERVER)
def test_what_only_servers_send_ends_the_connection(listener, name, version):
    assert_ends(listener, version, FROM_A_SERVER[name])


@covers(v3="2.2.2-1 4.8.0-1")
@pytest.mark.parametrize("version", [V31, V311])
def test_there_is_no_auth_before_5(listener, version):
    assert_ends(listener, version, b"\xf0\x00")
    assert_ends(listener, version, wire.auth(0x18, {"authentication_method": "x"}))


@covers(v5="4.12.0-6")
@pytest.mark.parametrize("reason", [0x00, 0x18, 0x19, 0x42])
def test_nobody_asked_for_auth(listener, reason):
    assert_ends(listener, V5, b"\xf0\0", *EITHER)
    data = wire.auth(reason, {"authentication_method": "x", "authentication_data": b"y"})
    assert_ends(listener, V5, data, *EITHER)


# Strings


def string_rules(text):
    """A packet for each place where a client says a string."""
    return {
        "topic": publish(text),
        "filter": subscribe(1, text),
        "filter to leave": unsubscribe(1, text),
        "response topic": publish("a", props={"response_topic": text}),
        "content type": publish("a", props={"content_type": text}),
        "name of a user property": publish("a", props={"user_property": (text, "b")}),
        "value of a user property": publish("a", props={"user_property": ("a", text)}),
        "a user property of SUBSCRIBE": subscribe(1, "a", props={"user_property": (text, "")}),
        "a user property of UNSUBSCRIBE": unsubscribe(1, "a", props={"user_property": ("", text)}),
        "a user property of PUBACK": acknowledgement(
            wire.PUBACK, 1, props={"user_property": (text, "")}
        ),
        "reason of PUBREL": acknowledgement(wire.PUBREL, 1, props={"reason_string": text}),
        "reason of DISCONNECT": wire.disconnect(props={"reason_string": text}),
    }


@covers(v5="1.5.4-1 1.5.4-2 1.5.7-1 3.3.2-1 3.3.2-13 3.3.2-19 3.8.3-1 3.10.3-1 4.7.3-2 4.13.1-1")
@pytest.mark.parametrize("place", string_rules(""))
@pytest.mark.parametrize("text", ILL_FORMED)
def test_a_string_that_is_no_text_ends_the_connection(listener, text, place):
    assert_ends(listener, V5, string_rules(ILL_FORMED[text])[place], MALFORMED)


@covers(v3="1.5.3-1 1.5.3-2 3.3.2-1 3.8.3-1 3.10.3-1 4.7.3-2 4.8.0-1")
@pytest.mark.parametrize("version", [V31, V311])
@pytest.mark.parametrize("text", ILL_FORMED)
def test_a_string_that_is_no_text_ends_the_connection_before_5_too(listener, text, version):
    said = ILL_FORMED[text]
    for data in (
        publish(said, version=version),
        subscribe(1, said, version=version),
        unsubscribe(1, said, version=version),
    ):
        assert_ends(listener, version, data)


@covers(
    v3="1.5.3-1 1.5.3-2 3.1.3-4 3.1.3-10 3.1.3-11 3.1.4-1 3.2.2-6",
    v5="1.5.4-1 1.5.4-2 3.1.3-4 3.1.3-11 3.1.3-12 3.1.4-1 3.14.0-1",
)
@every_version
@pytest.mark.parametrize("text", ILL_FORMED)
def test_a_connect_with_a_string_that_is_no_text_is_refused(listener, text, version):
    said = ILL_FORMED[text]
    for data in (
        connect(said, version),
        connect("c", version, will=Will(said)),
        connect("c", version, username=said),
    ):
        assert_refused(listener, data, version)


@covers(v5="1.5.4-1 1.5.7-1")
@pytest.mark.parametrize("text", ["a stray byte", "NUL"])
def test_a_connect_with_a_property_that_is_no_text_is_refused(listener, text):
    said = ILL_FORMED[text]
    for data in (
        connect(props={"user_property": (said, "")}),
        connect(props={"user_property": ("", said)}),
        connect(will=Will("a", props={"content_type": said})),
        connect(will=Will("a", props={"response_topic": said})),
    ):
        assert_refused(listener, data, V5)


# Cut short, and too long


WHOLE = {
    "CONNECT": connect(
        will=Will("w", b"x", 1, props={"will_delay_interval": 1, "content_type": "a"}),
        username="u",
        password=b"p",
        props={"receive_maximum": 5, "user_property": ("a", "b")},
    ),
    "PUBLISH": publish("a", qos=1, packet_id=1, props={"message_expiry_interval": 9}),
    "PUBACK": acknowledgement(wire.PUBACK, 1, 0x80, {"reason_string": "no"}),
    "PUBREC": acknowledgement(wire.PUBREC, 1, 0x80, {"user_property": ("a", "b")}),
    "PUBREL": acknowledgement(wire.PUBREL, 1, 0x92, {"reason_string": "no"}),
    "PUBCOMP": acknowledgement(wire.PUBCOMP, 1, 0x92, {"reason_string": "no"}),
    "SUBSCRIBE": subscribe(1, ("ab", 1), props={"subscription_identifier": 300}),
    "UNSUBSCRIBE": unsubscribe(1, "ab", props={"user_property": ("a", "b")}),
    "DISCONNECT": wire.disconnect(0x80, {"reason_string": "no"}),
}
# What is left may be a packet of its own, if a shorter one.
SHORTER = {"PUBACK": {2, 3}, "PUBREC": {2, 3}, "PUBREL": {2, 3}, "PUBCOMP": {2, 3}, "DISCONNECT": {0, 1}}  # fmt: skip


def cuts(whole):
    """The packet with ever less of its body, and a length that fits."""
    ((first, body),) = wire.split(whole)[0]
    return {size: packet(first, body[:size]) for size in range(len(body))}


@covers(v5="4.13.1-1 3.8.3-2 3.10.3-2 2.2.2-1")
@pytest.mark.parametrize("name", [name for name in WHOLE if name != "CONNECT"])
def test_a_packet_that_ends_too_early_ends_the_connection(listener, name):
    for size, cut in cuts(WHOLE[name]).items():
        if size not in SHORTER.get(name, ()):
            assert_ends(listener, V5, cut, *EITHER)


@covers(v3="4.8.0-1 3.8.3-3 3.10.3-2")
@pytest.mark.parametrize("version", [V31, V311])
def test_a_packet_that_ends_too_early_ends_the_connection_before_5_too(listener, version):
    for whole in (
        publish("ab", qos=1, packet_id=1, version=version),
        acknowledgement(wire.PUBACK, 1, version=version),
        acknowledgement(wire.PUBREC, 1, version=version),
        acknowledgement(wire.PUBREL, 1, version=version),
        acknowledgement(wire.PUBCOMP, 1, version=version),
        subscribe(1, ("ab", 1), version=version),
        unsubscribe(1, "ab", version=version),
    ):
        for cut in cuts(whole).values():
            assert_ends(listener, version, cut)


@covers(v3="3.1.4-1 3.1.3-3 3.1.2-9", v5="3.1.4-1 3.1.3-3 3.1.2-9")
@pytest.mark.parametrize("version", [V311, V5])
def test_a_connect_that_ends_too_early_is_refused(listener, version):
    whole = connect("c", version, will=Will("w", b"x"), username="u", password=b"p")
    for cut in cuts(WHOLE["CONNECT"] if version == V5 else whole).values():
        assert_refused(listener, cut, version)


@covers(v3="4.8.0-1", v5="4.13.1-1")
@every_version
@pytest.mark.parametrize("name", ["PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "PINGREQ", "DISCONNECT"])
def test_a_packet_with_more_in_it_than_belongs_there_ends_the_connection(listener, name, version):
    ((first, body),) = wire.split(KINDS[name])[0]
    extra = {
        "PINGREQ": b"\0",
        "DISCONNECT": b"\0\0\0" if version == V5 else b"\0",
    }.get(name, b"\0\0\0" if version == V5 else b"\0")
    assert_ends(listener, version, packet(first, body + extra), *EITHER)


@covers(v5="4.13.1-1")
@pytest.mark.parametrize("name", [name for name in WHOLE if name != "CONNECT"])
def test_properties_that_do_not_fill_their_length_end_the_connection(listener, name):
    """One more than there is, and one that goes beyond its end."""
    for props in (
        b"\x1f",
        b"\x1f\0",
        b"\x1f\0\x05no",
        b"\x26\0\x01a",
        b"\x26\0\x01a\0\x02b",
        b"\0",
    ):
        assert_ends(listener, V5, with_properties(name, props), MALFORMED)
    ((first, body),) = wire.split(with_properties(name, b""))[0]
    at = len(body) - len(TAILS.get(name, b"")) - 1
    for length in (b"\x7f", b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x01"):
        broken = body[:at] + length + body[at + 1 :]
        assert_ends(listener, V5, packet(first, broken), MALFORMED)


TAILS = {"SUBSCRIBE": b"\0\x01a\0", "UNSUBSCRIBE": b"\0\x01a"}


def with_properties(name, props):
    """A packet of this kind that is right but for its properties."""
    if name == "PUBLISH":
        return publish("a", qos=1, packet_id=1, props=props)
    if name == "SUBSCRIBE":
        return subscribe(1, "a", props=props)
    if name == "UNSUBSCRIBE":
        return unsubscribe(1, "a", props=props)
    if name == "DISCONNECT":
        return wire.disconnect(0, props)
    return acknowledgement(getattr(wire, name), 1, 0, props)


# Properties


SAMPLES = {
    "flag": 1,
    "u16": 1,
    "u32": 1,
    "varint": 1,
    "string": "a",
    "binary": b"x",
    "pair": ("a", "b"),
}
NUMBERS = {"WILL": WILL} | {name: getattr(wire, name) for name in WHOLE}


def encoded(known, times=1):
    return wire.property_bytes(known.name, [SAMPLES[known.kind]] * times)


OUT_OF_PLACE = [
    (f"{known.name} in {name}", name, known)
    for name, number in NUMBERS.items()
    for known in PROPERTIES
    if "c" not in known.senders.get(number, "")
]
TWICE = [
    (f"{known.name} in {name}", name, known)
    for name, number in NUMBERS.items()
    for known in PROPERTIES
    if "c" in known.senders.get(number, "") and known.kind != "pair"
]


def assert_properties_refused(listener, name, props, *reasons):
    if name == "CONNECT":
        assert_refused(listener, connect(props=props), V5, None, {None, *reasons})
    elif name == "WILL":
        will = Will("a", props=props)
        assert_refused(listener, connect(will=will), V5, None, {None, *reasons})
    else:
        assert_ends(listener, V5, with_properties(name, props), *reasons)


@covers(v5="3.1.4-1 4.13.1-1 3.14.0-1")
@pytest.mark.parametrize(("name", "known"), named(OUT_OF_PLACE))
def test_a_property_out_of_place_ends_the_connection(listener, name, known):
    assert_properties_refused(listener, name, encoded(known), *EITHER)


@covers(v5="3.1.4-1 4.13.1-1")
@pytest.mark.parametrize(("name", "known"), named(TWICE))
def test_a_property_that_comes_twice_ends_the_connection(listener, name, known):
    reasons = EITHER if known.name != "authentication_method" else (*EITHER, 0x8C)
    assert_properties_refused(listener, name, encoded(known, 2), *reasons)


@covers(v5="4.13.1-1")
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("number", [0x00, 0x04, 0x0A, 0x10, 0x2B, 0x7F, 0x80, 0x1000])
def test_a_property_that_does_not_exist_ends_the_connection(listener, number, name):
    assert_properties_refused(listener, name, wire.varint(number) + b"\0\x01a", MALFORMED)


BAD_VALUES = [
    ("receive maximum 0", "CONNECT", {"receive_maximum": 0}),
    ("packet size 0", "CONNECT", {"maximum_packet_size": 0}),
    ("problem information 2", "CONNECT", {"request_problem_information": 2}),
    ("response information 2", "CONNECT", {"request_response_information": 2}),
    ("data of no method", "CONNECT", {"authentication_data": b"x"}),
    ("will format 2", "WILL", {"payload_format_indicator": 2}),
    ("will answers to a pattern", "WILL", {"response_topic": "a/#"}),
    ("format 2", "PUBLISH", {"payload_format_indicator": 2}),
    ("answers to #", "PUBLISH", {"response_topic": "a/#"}),
    ("answers to +", "PUBLISH", {"response_topic": "+/a"}),
    ("a subscription in PUBLISH", "PUBLISH", {"subscription_identifier": 1}),
    ("subscription 0", "SUBSCRIBE", {"subscription_identifier": 0}),
    ("too long a number", "SUBSCRIBE", b"\x0b\x80\x80\x80\x80\x01"),
]


@covers(v5="3.1.4-1 4.13.1-1 3.3.2-14 3.2.2-7 4.13.2-1")
@pytest.mark.parametrize(("name", "props"), named(BAD_VALUES))
def test_a_property_of_a_value_that_it_cannot_have_ends_the_connection(listener, name, props):
    assert_properties_refused(listener, name, props, *EITHER, 0x90)


@covers(v5="1.5.5-1")
def test_a_number_in_more_bytes_than_it_needs_ends_the_connection(listener):
    for props in (b"\x0b" + wire.varint(5, 2), b"\x0b" + wire.varint(5, 4)):
        assert_properties_refused(listener, "SUBSCRIBE", props, MALFORMED)


# What packets say


RULES = [
    ("DISCONNECT with an unknown reason", b"\xe0\x01\x42"),
    ("DISCONNECT with a server's reason", b"\xe0\x01\x8e"),
    ("PUBACK with an unknown reason", acknowledgement(wire.PUBACK, 1, 0x42)),
    ("PUBACK with another packet's reason", acknowledgement(wire.PUBACK, 1, 0x92)),
    ("PUBREC with an unknown reason", acknowledgement(wire.PUBREC, 1, 0x01)),
    ("PUBREL with an unknown reason", acknowledgement(wire.PUBREL, 1, 0x80)),
    ("PUBCOMP with an unknown reason", acknowledgement(wire.PUBCOMP, 1, 0x10)),
    ("SUBSCRIBE with QoS 3", subscribe(1, ("a", 3))),
    ("SUBSCRIBE with retain handling 3", subscribe(1, ("a", 0x30))),
    ("SUBSCRIBE with reserved bit 6", subscribe(1, ("a", 0x40))),
    ("SUBSCRIBE with reserved bit 7", subscribe(1, ("a", 0x80))),
    ("SUBSCRIBE without a filter", subscribe(1)),
    ("SUBSCRIBE with number 0", subscribe(0, "a")),
    ("UNSUBSCRIBE without a filter", unsubscribe(1)),
    ("UNSUBSCRIBE with number 0", unsubscribe(0, "a")),
    ("PUBLISH with number 0 and QoS 1", publish("a", qos=1, packet_id=0)),
    ("PUBLISH with number 0 and QoS 2", publish("a", qos=2, packet_id=0)),
    ("PUBLISH without a topic", publish("")),
    ("PUBLISH with a topic beyond its end", packet(0x30, u16(9) + b"a\0")),
    ("PUBACK with number 0", acknowledgement(wire.PUBACK, 0)),
    ("PUBREC with number 0", acknowledgement(wire.PUBREC, 0)),
    ("PUBREL with number 0", acknowledgement(wire.PUBREL, 0)),
    ("PUBCOMP with number 0", acknowledgement(wire.PUBCOMP, 0)),
]
OLD_RULES = [
    ("SUBSCRIBE with QoS 3", lambda version: subscribe(1, ("a", 3), version=version)),
    ("SUBSCRIBE with reserved bit 2", lambda version: subscribe(1, ("a", 4), version=version)),
    ("SUBSCRIBE with reserved bit 7", lambda version: subscribe(1, ("a", 0x80), version=version)),
    ("SUBSCRIBE without a filter", lambda version: subscribe(1, version=version)),
    ("SUBSCRIBE with number 0", lambda version: subscribe(0, "a", version=version)),
    ("UNSUBSCRIBE without a filter", lambda version: unsubscribe(1, version=version)),
    ("UNSUBSCRIBE with number 0", lambda version: unsubscribe(0, "a", version=version)),
    ("PUBLISH with number 0", lambda version: publish("a", qos=1, packet_id=0, version=version)),
    ("PUBLISH without a topic", lambda version: publish("", version=version)),
]


@covers(v5="4.13.1-1 3.8.3-2 3.8.3-5 3.10.3-2 4.7.3-1 2.2.1-2")
@pytest.mark.parametrize("data", named(RULES))
def test_what_a_packet_cannot_say_ends_the_connection(listener, data):
    assert_ends(listener, V5, data, *EITHER)


@covers(v3="4.8.0-1 2.3.1-1 3.8.3-3 3.8.3-4 3.10.3-2 4.7.3-1")
@pytest.mark.parametrize("version", [V31, V311])
@pytest.mark.parametrize("make", named(OLD_RULES))
def test_what_a_packet_cannot_say_ends_the_connection_before_5_too(listener, make, version):
    assert_ends(listener, version, make(version))


@covers(v3="3.1.4-1 4.7.1-1 4.7.3-1", v5="3.1.4-1 4.7.0-1 4.7.3-1")
@every_version
@pytest.mark.parametrize("topic", ["", "#", "a/+", "a#"])
def test_a_will_for_a_topic_that_is_none_is_refused(listener, topic, version):
    data = connect("c", version, will=Will(topic, b"x"))
    assert_refused(listener, data, version, None, {None, *EITHER, 0x90})


@covers(v5="3.14.4-1 3.14.4-2 4.13.2-1")
def test_a_server_that_said_disconnect_says_nothing_more(listener):
    client = Client(listener)
    client.subscribe("a")
    client.ask(publish("a", qos=3, packet_id=1))
    assert client.closed
    Client(listener).publish("a", b"x")
    assert client.packets() == []
