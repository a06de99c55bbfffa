"""The properties of MQTT 5: passed on, heeded, and kept within what a client can take (2.2.2, 3.3.2.3)."""

from __future__ import annotations

import pytest

import mqtt_wire as wire
from broker_doubles import DenyList
from mqtt_double import (
    Client,
    Connection,
    assert_ended,
    both_specifications,
    here_only,
    kept,
    mqtt_listener,
    older_versions,
    pass_time,
)
from mqtt_statements import covers
from mqtt_wire import V5, Disconnect, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback, Unsuback

FULL = {
    "payload_format_indicator": 1,
    "content_type": "text/plain; charset=utf-8",
    "response_topic": "answers/with blanks//here",
    "correlation_data": bytes(range(256)),
    "user_property": [("b", "1"), ("a", "2"), ("b", "0"), ("", ""), ("\u2603", "\ufeff")],
}
PAIR = {"user_property": [("a", "b"), ("a", "c")]}


@pytest.fixture
def listener():
    return mqtt_listener()


# Passed on


@covers(
    v5="3.3.2-4 3.3.2-13 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20 2.2.2-1",
)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_a_message_says_of_itself_is_passed_on_unaltered(listener, qos):
    readers = [Client(listener) for _ in range(2)]
    for reader in readers:
        reader.subscribe(("a", qos))
    client = Client(listener)
    client.publish("a", b"x", qos, props=FULL)
    client.publish("a", b"y", qos)
    for reader in readers:
        assert [message.props for message in reader.take()] == [FULL, {}]


@covers(v5="3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20")
@pytest.mark.parametrize("name", FULL)
def test_each_property_is_passed_on_by_itself(listener, name):
    client = Client(listener)
    client.subscribe(("a", 1))
    props = {name: FULL[name]}
    client.publish("a", b"x", 1, props=props)
    assert [message.props for message in client.take()] == [props]


@covers(v5="3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20")
def test_what_a_message_says_of_itself_is_kept_while_the_client_is_away(listener):
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a", 1))
    client.leave()
    Client(listener).publish("a", b"x", 1, props=FULL)
    (message,) = Client(listener, V5, "c", **kept(V5)).take()
    assert message.props == FULL


@pytest.mark.parametrize("payload_format_indicator", [0, 1])
def test_payload_formats_are_told_apart(listener, payload_format_indicator):
    client = Client(listener)
    client.subscribe("a")
    props = {"payload_format_indicator": payload_format_indicator}
    client.publish("a", b"x", props=props)
    (message,) = client.take()
    assert message.props.get("payload_format_indicator", 0) == payload_format_indicator


@older_versions
def test_older_clients_get_the_message_without_what_it_says_of_itself(listener, version):
    old, new = Client(listener, version), Client(listener)
    old.subscribe(("a", 1))
    new.subscribe(("a", 1))
    new.publish("a", b"x", 1, props=FULL)
    old.publish("a", b"y", 1)
    assert [(message.payload, message.props) for message in old.take()] == [(b"x", {}), (b"y", {})]
    assert [message.props for message in new.take()] == [FULL, {}]


@covers(v5="1.5.7-1")
@pytest.mark.parametrize("pair", [("", ""), ("k" * 65_535, "v" * 65_535), ("\u2603", "\U0001f600")])
def test_a_user_property_is_any_two_strings(listener, pair):
    client = Client(listener)
    client.subscribe("a")
    client.publish("a", b"x", props={"user_property": pair})
    (message,) = client.take()
    assert message.props["user_property"] == [pair]


def test_user_properties_are_welcome_in_every_packet(listener):
    client = Client(listener, props=PAIR)
    client.subscribe(("a", 2), props=PAIR)
    client.publish("a", b"1", 1, props=PAIR)
    client.publish("a", b"2", 2, props=PAIR)
    first, second = client.messages()
    said = {"props": PAIR | {"reason_string": "thanks"}}
    assert client.ask(client.acknowledgement(wire.PUBACK, first.packet_id, **said)) == []
    released = client.ask(client.acknowledgement(wire.PUBREC, second.packet_id, **said))
    assert released == [Pubrel(second.packet_id)]
    assert client.ask(client.acknowledgement(wire.PUBCOMP, second.packet_id, **said)) == []
    assert client.ask(wire.unsubscribe(9, "a", props=PAIR)) == [Unsuback(9, (0,))]
    assert client.ask(wire.disconnect(props=PAIR)) == []
    assert client.closed


# Expiry


@covers(v5="3.3.2-6")
def test_a_message_that_does_not_wait_keeps_its_time(listener):
    client = Client(listener)
    client.subscribe(("a", 1))
    for seconds in (1, 10, 0xFFFFFFFF):
        client.publish("a", b"x", 1, props={"message_expiry_interval": seconds})
        (message,) = client.take()
        assert message.props == {"message_expiry_interval": seconds}


@covers(v5="3.3.2-5 3.3.2-6")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_waits_has_less_time_and_at_last_none(listener, qos):
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a", qos))
    client.leave()
    source = Client(listener)
    for seconds in (10, 30):
        source.publish("a", b"%d" % seconds, qos, props={"message_expiry_interval": seconds})
    source.publish("a", b"for ever", qos)
    pass_time(listener, 12)
    short, long = Client(listener, V5, "c", **kept(V5)).take()
    assert short.payload == b"30"
    assert short.props["message_expiry_interval"] in {17, 18}
    assert (long.payload, long.props) == (b"for ever", {})


@covers(v5="4.3.3-7")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_message_that_was_sent_does_not_expire_any_more(listener, qos):
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a", qos))
    Client(listener).publish("a", b"x", qos, props={"message_expiry_interval": 10})
    (message,) = client.messages()
    client.drop()
    pass_time(listener, 100)
    (again,) = Client(listener, V5, "c", **kept(V5)).messages()
    assert again[:6] == message._replace(dup=True)[:6]
    assert again.props["message_expiry_interval"] <= 10


@covers(v5="4.3.3-13")
def test_a_message_that_expired_is_still_released(listener):
    client = Client(listener)
    props = {"message_expiry_interval": 1}
    asked = wire.publish("a", b"x", 2, packet_id=7, props=props)
    (received,) = client.ask(asked)
    assert isinstance(received, Pubrec)
    pass_time(listener, 10)
    assert client.ask(client.acknowledgement(wire.PUBREL, 7)) == [Pubcomp(7)]


# Topic aliases, from the client


def most_aliases(client):
    return client.connack.props.get("topic_alias_maximum", 0)


@covers(v5="3.3.2-12 3.3.2-3")
def test_a_client_may_use_every_alias_that_it_was_offered(listener):
    client = Client(listener)
    reader = Client(listener)
    reader.subscribe("#")
    aliases = sorted({1, 2, most_aliases(client) // 2, most_aliases(client)} - {0})
    assert aliases
    for alias in aliases:
        client.publish(f"t/{alias}", b"first", props={"topic_alias": alias})
    for alias in aliases:
        client.publish("", b"again", props={"topic_alias": alias})
    found = [(message.topic, message.payload, message.props) for message in reader.take()]
    assert found == [
        (f"t/{alias}", payload, {}) for payload in (b"first", b"again") for alias in aliases
    ]


@covers(v5="3.3.2-12")
def test_an_alias_stands_for_the_topic_it_was_last_sent_with(listener):
    client = Client(listener)
    reader = Client(listener)
    reader.subscribe(("#", 2))
    for topic, qos in (("a", 0), ("", 1), ("b", 2), ("", 2)):
        client.publish(topic, b"x", qos, props={"topic_alias": 1})
    assert [message.topic for message in reader.take()] == ["a", "a", "b", "b"]


@covers(v5="3.3.2-7")
def test_aliases_end_with_the_connection(listener):
    client = Client(listener, V5, "c", **kept(V5))
    client.publish("a", b"x", props={"topic_alias": 1})
    client.drop()
    back = Client(listener, V5, "c", **kept(V5))
    reader = Client(listener)
    reader.subscribe("#")
    assert_ended(back, back.ask(wire.publish("", b"x", props={"topic_alias": 1})), 0x82, 0x94)
    assert reader.packets() == []


@covers(v5="3.3.2-7")
def test_aliases_of_one_client_mean_nothing_to_another(listener):
    first, second = Client(listener), Client(listener)
    first.subscribe("#")
    first.publish("a", b"1", props={"topic_alias": 1})
    second.publish("b", b"2", props={"topic_alias": 1})
    first.publish("", b"3", props={"topic_alias": 1})
    assert [message.topic for message in first.take()] == ["a", "b", "a"]


@covers(v5="3.3.2-8 4.13.1-1")
@pytest.mark.parametrize("topic", ["a", ""])
def test_there_is_no_alias_0(listener, topic):
    client = Client(listener)
    answers = client.ask(wire.publish(topic, b"x", props={"topic_alias": 0}))
    assert_ended(client, answers, 0x81, 0x82, 0x94)


def test_an_alias_above_those_offered_ends_the_connection(listener):
    for alias in {most_aliases(Client(listener)) + 1, 65_535}:
        client = Client(listener)
        asked = wire.publish("a", b"x", props={"topic_alias": alias})
        assert_ended(client, client.ask(asked), 0x94)


def test_an_alias_that_stands_for_nothing_ends_the_connection(listener):
    client = Client(listener)
    asked = wire.publish("", b"x", props={"topic_alias": 1})
    assert_ended(client, client.ask(asked), 0x82)


# Topic aliases, from the server


class AliasReader:
    """Knows which alias stands for which topic, and that none is out of bounds."""

    def __init__(self, most):
        self.most = most
        self.known = {}

    def topic(self, message):
        alias = message.props.get("topic_alias")
        if alias is None:
            return message.topic
        assert 1 <= alias <= self.most
        if message.topic:
            self.known[alias] = message.topic
        return self.known[alias]


@covers(v5="3.1.2-26 3.1.2-27 3.3.2-11")
@pytest.mark.parametrize("most", [0, 1, 3, 65_535])
def test_a_server_uses_no_more_aliases_than_the_client_can_take(listener, most):
    client = Client(listener, props={"topic_alias_maximum": most})
    client.subscribe(("t/#", 1))
    source = Client(listener)
    topics = [f"t/{number % 7}" for number in range(40)]
    for topic in topics:
        source.publish(topic, b"x", 1)
    reader = AliasReader(most)
    assert [reader.topic(message) for message in client.take()] == topics


@covers(v5="3.1.2-27")
def test_who_offers_no_aliases_is_sent_none(listener):
    client = Client(listener)
    client.subscribe(("t/#", 1))
    for _ in range(10):
        client.publish("t/a", b"x", 1)
    assert [message.props for message in client.take()] == [{}] * 10


@covers(v5="3.3.2-7")
def test_aliases_of_the_server_begin_anew_with_each_connection(listener):
    said = kept(V5, topic_alias_maximum=5)
    client = Client(listener, V5, "c", **said)
    client.subscribe(("t/#", 1))
    source = Client(listener)
    for _ in range(3):
        source.publish("t/a", b"x", 1)
    assert len(client.messages()) == 3  # which are to come once more
    client.drop()
    source.publish("t/a", b"x", 1)
    reader = AliasReader(5)
    back = Client(listener, V5, "c", **said)
    assert [reader.topic(message) for message in back.take()] == ["t/a"] * 4


# How large a packet may be


def size_of(topic, payload, qos):
    return len(wire.publish(topic, payload, qos, packet_id=1 if qos else None))


@covers(v5="3.1.2-24 3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_too_large_for_a_client_is_as_good_as_sent(listener, qos):
    limit = 100
    fits = limit - size_of("a", b"", qos)
    client = Client(listener, props={"maximum_packet_size": limit, "receive_maximum": 2})
    client.subscribe(("a", qos))
    source = Client(listener)
    for size in (fits, fits + 1, 500, fits + 1, fits + 1, fits - 1):
        source.publish("a", b"x" * size, qos)
    assert [len(payload) for payload in client.payloads()] == [fits, fits - 1]


@covers(v5="3.1.2-24 3.1.2-25")
def test_a_message_too_large_does_not_wait_for_who_is_away(listener):
    said = kept(V5, maximum_packet_size=100)
    client = Client(listener, V5, "c", **said)
    client.subscribe(("a", 1))
    client.leave()
    source = Client(listener)
    for payload in (b"x" * 200, b"y"):
        source.publish("a", payload, 1)
    back = Client(listener, V5, "c", **said)
    assert back.payloads() == [b"y"]
    back.drop()
    assert Client(listener, V5, "c", **kept(V5)).packets() == []


@covers(v5="3.1.2-25 3.3.2-11")
def test_an_alias_that_was_too_large_to_be_sent_stands_for_nothing(listener):
    client = Client(listener, props={"maximum_packet_size": 100, "topic_alias_maximum": 5})
    client.subscribe(("a", 1))
    source = Client(listener)
    for payload in (b"x" * 200, b"y", b"z"):
        source.publish("a", payload, 1)
    reader = AliasReader(5)
    found = [(reader.topic(message), message.payload) for message in client.take()]
    assert found == [("a", b"y"), ("a", b"z")]


@covers(v5="3.1.2-24")
def test_a_retained_message_too_large_is_left_out(listener):
    source = Client(listener)
    source.publish("a", b"x" * 200, 1, retain=True)
    source.publish("b", b"y", 1, retain=True)
    client = Client(listener, props={"maximum_packet_size": 100})
    client.subscribe(("#", 1))
    assert client.payloads() == [b"y"]


@here_only
def test_a_packet_larger_than_the_server_says_ends_the_connection():
    listener = mqtt_listener(max_packet_size=1000)
    limit = Client(listener).connack.props["maximum_packet_size"]
    assert limit == 1000
    client = Client(listener)
    too_long = varint_of_packet(limit + 1)
    assert_ended(client, client.ask(b"\x30" + too_long), 0x95)


def varint_of_packet(size):
    """The remaining length of a packet of so many bytes in all."""
    return next(
        wire.varint(size - 1 - used) for used in (4, 3, 2, 1) if len(wire.varint(size - 1 - used)) == used
    )  # fmt: skip


# Answers with something to explain


@pytest.fixture
def strict():
    """A listener that has reasons to refuse."""
    access = DenyList()
    access.denied |= {("publish", "secret"), ("subscribe", "secret")}
    return mqtt_listener(access=access)


EXPLAINED = {
    Puback: wire.publish("secret", b"x", 1, packet_id=7),
    Pubrec: wire.publish("secret", b"x", 2, packet_id=8),
    Pubrel: wire.acknowledgement(wire.PUBREC, 9),
    Pubcomp: wire.acknowledgement(wire.PUBREL, 10),
    Suback: wire.subscribe(11, "secret"),
    Unsuback: wire.unsubscribe(12, "none"),
    Disconnect: wire.publish("a", b"x", 1, packet_id=0),
}


def connack_size(listener):
    connection = Connection(listener)
    connection.send(wire.connect())
    return len(connection.bytes())


@covers(
    v5="3.4.2-2 3.4.2-3 3.5.2-2 3.5.2-3 3.6.2-2 3.6.2-3 3.7.2-2 3.7.2-3 3.9.2-1 3.9.2-2 "
    "3.11.2-1 3.11.2-2 3.14.2-3 3.14.2-4"
)
@pytest.mark.parametrize("kind", EXPLAINED)
def test_an_answer_is_no_longer_than_the_client_can_take(strict, kind):
    least = connack_size(strict)
    for limit in (least, least + 1, least + 7, 40, 60, 100):
        client = Client(strict, props={"maximum_packet_size": limit})
        client.send(EXPLAINED[kind])
        came = client.bytes()
        assert [type(packet) for packet in wire.read_packets(came)] == [kind]
        assert len(came) <= limit


@covers(v5="3.1.2-29")
@pytest.mark.parametrize("kind", [kind for kind in EXPLAINED if kind is not Disconnect])
def test_who_wants_no_explanations_is_given_none(strict, kind):
    client = Client(strict, props={"request_problem_information": 0})
    (answer,) = client.ask(EXPLAINED[kind])
    assert isinstance(answer, kind)
    assert answer.props == {}


@covers(v5="3.4.2-1 3.5.2-1 3.6.2-1 3.7.2-1 3.9.3-2 3.11.3-2 3.14.2-1 3.14.2-2")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Puback, 0x87), (Pubrec, 0x87), (Pubrel, 0x92), (Suback, (0x87,)),
        (Unsuback, (0x11,)), (Disconnect, None),
    ],
)  # fmt: skip
def test_a_refusal_has_the_code_that_its_packet_has_for_it(strict, kind, reason):
    client = Client(strict)
    (answer,) = client.ask(EXPLAINED[kind])
    assert isinstance(answer, kind)
    if kind is Disconnect:
        assert answer.reason in {0x81, 0x82}
    else:
        assert (answer.reasons if kind in {Suback, Unsuback} else answer.reason) == reason


@covers(v5="3.1.2-29")
def test_messages_have_their_user_properties_whether_or_not_explanations_are_wanted(listener):
    client = Client(listener, props={"request_problem_information": 0})
    client.subscribe("a")
    client.publish("a", b"x", props=PAIR)
    assert [message.props for message in client.take()] == [PAIR]


# Both versions of one session


@here_only
@both_specifications
def test_a_session_is_there_for_whichever_version_comes_back(listener, version):
    other = {wire.V311: V5, V5: wire.V311}[version]
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    client.leave()
    Client(listener).publish("a", b"x", 1, props=FULL)
    back = Client(listener, other, "c", **kept(other))
    assert back.connack.session_present
    (message,) = back.take()
    assert (message.payload, message.props) == (b"x", FULL if other == V5 else {})
    assert isinstance(message, Publish)
