"""SUBSCRIBE and UNSUBSCRIBE: filters, what they match, what is granted, who shares (MQTT 3.8 to 3.11, 4.7, 4.8)."""

from __future__ import annotations

from itertools import chain

import pytest

import mqtt_wire as wire
from broker_doubles import DenyList
from hubbub.model.address import MAX_LEVELS
from mqtt_double import (
    PEER,
    Client,
    assert_ended,
    every_version,
    kept,
    mqtt_listener,
)
from mqtt_statements import covers
from mqtt_wire import V5, V31, V311, Publish, Suback, Unsuback

NO_LOCAL = 0x04


@pytest.fixture
def listener():
    return mqtt_listener()


# Answers


@covers(v3="3.8.4-1 3.8.4-2 2.3.1-7 3.9.3-2", v5="3.8.4-1 3.8.4-2 2.2.1-6 3.9.3-2")
@every_version
def test_every_subscribe_is_answered_under_its_own_number(listener, version):
    client = Client(listener, version)
    for packet_id in (1, 7, 65_535, 7):
        asked = wire.subscribe(packet_id, ("a", 1), version=version)
        assert client.ask(asked) == [Suback(packet_id, (1,))]


@covers(v3="3.8.4-4 3.8.4-5 3.9.3-1", v5="3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-1")
@every_version
def test_each_filter_has_an_answer_in_its_place(listener, version):
    client = Client(listener, version)
    filters = [("a", 2), ("b", 0), ("c", 1), ("a/#", 0), ("+", 2), ("a", 1)]
    assert client.subscribe(*filters) == (2, 0, 1, 0, 2, 1)


@covers(v3="3.8.4-4", v5="3.8.4-5")
@every_version
def test_the_filters_of_one_packet_are_subscriptions_each(listener, version):
    client = Client(listener, version)
    client.subscribe(("a", 0), ("b", 1), ("a", 2))
    assert client.publish("a", b"x", 2) in {None, 0}
    client.publish("b", b"y", 2)
    assert [(message.topic, message.qos) for message in client.take()] == [("a", 2), ("b", 1)]


@covers(v3="3.8.4-5 3.9.3-2", v5="3.8.4-7 3.9.3-2 3.9.3-1")
@pytest.mark.parametrize("version", [V311, V5])
def test_a_filter_that_a_client_may_not_subscribe_to_is_the_only_one_refused(version):
    access = DenyList()
    access.denied.add(("subscribe", "secret"))
    client = Client(mqtt_listener(access=access), version)
    refused = 0x87 if version == V5 else 0x80
    assert client.subscribe(("a", 1), ("secret", 1), ("b", 2)) == (1, refused, 2)
    client.publish("secret", b"x")
    client.publish("b", b"y")
    assert client.payloads() == [b"y"]


def test_3_1_has_no_word_for_a_refused_filter():
    access = DenyList()
    access.denied.add(("subscribe", "secret"))
    client = Client(mqtt_listener(access=access), V31)
    found = client.ask(wire.subscribe(1, "secret", version=V31))
    assert found == [Suback(1, (0,))] or (not found and client.closed)
    client.publish("secret", b"x")
    assert client.packets() == []


@covers(v3="3.8.4-6", v5="3.8.4-8")
@every_version
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("sent", [0, 1, 2])
def test_a_message_has_the_lower_of_both_qos(listener, sent, granted, version):
    client = Client(listener, version)
    client.subscribe(("a", granted))
    client.publish("a", b"x", sent)
    assert [message.qos for message in client.take()] == [min(sent, granted)]


# Subscribing once more


@covers(v3="3.8.4-3", v5="3.8.4-3")
@every_version
def test_a_filter_subscribed_to_again_is_one_subscription_of_the_new_kind(listener, version):
    client = Client(listener, version)
    for qos in (2, 0, 1):
        client.subscribe(("a/+", qos))
        client.publish("a/b", b"x", 2)
        assert [message.qos for message in client.take()] == [qos]
    client.unsubscribe("a/+")
    client.publish("a/b", b"x", 2)
    assert client.packets() == []


@covers(v3="3.8.4-6", v5="3.8.4-8")
@every_version
def test_each_subscription_keeps_its_qos_while_others_come_and_go(listener, version):
    client = Client(listener, version)
    client.subscribe(("a", 0), ("b", 1))
    client.unsubscribe("b")
    client.subscribe(("c", 2))
    client.unsubscribe("a")
    client.subscribe(("d", 1))
    for topic in "abcd":
        client.publish(topic, b"x", 2)
    assert [(message.topic, message.qos) for message in client.take()] == [("c", 2), ("d", 1)]


@covers(v5="3.8.4-3")
def test_options_and_identifier_are_those_of_the_last_subscribe(listener):
    client = Client(listener)
    client.subscribe(("a", 1 | NO_LOCAL), props={"subscription_identifier": 1})
    client.subscribe(("a", 1), props={"subscription_identifier": 2})
    client.publish("a", b"x", 1)
    assert [message.props["subscription_identifier"] for message in client.take()] == [[2]]
    client.subscribe(("a", 1))
    client.publish("a", b"x", 1)
    assert ["subscription_identifier" in message.props for message in client.take()] == [False]


@covers(v3="3.8.4-3", v5="3.8.4-4")
@every_version
def test_nothing_is_lost_while_a_subscription_is_replaced(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1))
    source = Client(listener)
    said = [
        wire.publish("a", b"1", 1, packet_id=1, version=version),
        wire.subscribe(2, ("a", 2), version=version),
        wire.publish("a", b"2", 1, packet_id=3, version=version),
    ]
    found = client.ask(*said)
    source.publish("a", b"3", 1)
    found += client.packets()
    assert [each.payload for each in found if isinstance(each, Publish)] == [b"1", b"2", b"3"]


# Overlapping


@covers(v3="3.3.5-1", v5="3.3.4-2")
@every_version
@pytest.mark.parametrize("filters", [(("a/+", 0), ("a/b", 2), ("#", 1)), (("a/#", 2), ("+/b", 0))])
def test_subscriptions_that_overlap_bring_one_copy_of_the_highest_qos(listener, filters, version):
    client = Client(listener, version)
    client.subscribe(*filters)
    for qos in (0, 1, 2):
        client.publish("a/b", b"x", qos)
    assert [message.qos for message in client.take()] == [0, 1, 2]


@covers(v5="3.3.4-3 3.3.4-4")
def test_one_copy_names_every_subscription_that_it_is_for(listener):
    client = Client(listener)
    for number, name in ((1, "a/b"), (268_435_455, "a/+"), (77, "#"), (5, "other")):
        client.subscribe((name, 1), props={"subscription_identifier": number})
    client.subscribe(("+/b", 1))
    client.publish("a/b", b"x", 1)
    (message,) = client.take()
    assert sorted(message.props["subscription_identifier"]) == [1, 77, 268_435_455]


def test_two_subscriptions_may_have_the_same_identifier(listener):
    client = Client(listener)
    client.subscribe(("a", 1), ("+", 1), props={"subscription_identifier": 3})
    client.publish("a", b"x", 1)
    (message,) = client.take()
    assert set(message.props["subscription_identifier"]) == {3}


@covers(v5="3.3.4-3")
def test_identifiers_are_kept_while_the_client_is_away(listener):
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a", 1), props={"subscription_identifier": 3})
    client.leave()
    Client(listener).publish("a", b"x", 1)
    (message,) = Client(listener, V5, "c", **kept(V5)).take()
    assert message.props["subscription_identifier"] == [3]


# No local


@covers(v5="3.8.3-3")
def test_who_asks_is_not_sent_its_own_messages(listener):
    client = Client(listener)
    client.subscribe(("a", 1 | NO_LOCAL), ("b", 1))
    client.publish("a", b"own", 1)
    client.publish("b", b"own, too", 1)
    Client(listener).publish("a", b"another's", 1)
    assert client.payloads() == [b"own, too", b"another's"]


@covers(v5="3.8.3-3")
def test_own_messages_are_those_of_the_same_client_id_on_another_connection(listener):
    client = Client(listener, V5, "c", **kept(V5))
    client.subscribe(("a", 1 | NO_LOCAL))
    client.publish("a", b"before", 1)
    client.drop()
    back = Client(listener, V5, "c", **kept(V5))
    back.publish("a", b"after", 1)
    assert back.packets() == []


@covers(v5="3.8.3-4 4.13.1-1")
def test_who_shares_cannot_leave_its_own_messages_out(listener):
    client = Client(listener)
    answers = client.ask(wire.subscribe(1, ("$share/g/a", 1 | NO_LOCAL)))
    assert_ended(client, answers, 0x82)


# What filters match


MATCHES = [
    ("#", ["a", "a/b", "/", "/a", "a/b/c"], ["$x", "$x/a", "$"]),
    ("+", ["a", "b"], ["a/b", "/a", "$x", "/"]),
    ("/#", ["/", "/a", "/a/b"], ["a"]),
    ("/+", ["/a", "/"], ["a", "/a/b"]),
    ("+/+", ["/a", "a/b", "/", "a/"], ["a", "a/b/c", "$x/a"]),
    ("a/#", ["a", "a/b", "a/b/c", "a/", "a//"], ["ab", "b/a", "/a"]),
    ("a/+", ["a/b", "a/"], ["a", "a/b/c", "a/b/"]),
    ("a/+/c", ["a/b/c", "a//c"], ["a/b/d", "a/c", "a/b/c/d"]),
    ("a/+/#", ["a/b", "a/b/c", "a/"], ["a"]),
    ("+/b/#", ["a/b", "/b", "a/b/c"], ["b", "$x/b"]),
    ("a//b", ["a//b"], ["a/b", "a/x/b"]),
    ("a", ["a"], ["A", "a/", "/a", "aa"]),
    ("$x/#", ["$x", "$x/a", "$x/a/b"], ["$y", "a", "x"]),
    ("$x/+", ["$x/a"], ["$x", "$x/a/b"]),
    ("a/$x", ["a/$x"], ["a/x"]),
    ("a/*", ["a/*"], ["a/b"]),
    ("a.b/>", ["a.b/>"], ["a/b/>", "a.b/c"]),
    ("+/+/+/+/#", ["a/b/c/d", "a/b/c/d/e/f"], ["a/b/c"]),
]


@covers(v3="4.7.1-2 4.7.1-3 4.7.2-1 3.3.2-3 4.5.0-1", v5="4.7.1-1 4.7.1-2 4.7.2-1 3.3.2-3 4.5.0-1")
@every_version
@pytest.mark.parametrize(("name", "matching", "others"), MATCHES)
def test_a_filter_matches_these_topics_and_not_those(listener, name, matching, others, version):
    client = Client(listener, version)
    client.subscribe((name, 1))
    source = Client(listener, version)
    for topic in matching + others:
        source.publish(topic, b"x", 1)
    assert [message.topic for message in client.take()] == matching


BAD_FILTERS = {
    "empty": "",
    "# after a letter": "a#",
    "# not at the end": "a/#/b",
    "# before a level": "#/a",
    "## ": "a/##",
    "+ after a letter": "a+",
    "+ before a letter": "+a",
    "++": "++",
    "+ in a level": "a/b+c/d",
    "+#": "+#",
    "# within": "a/b#",
}
BAD_SHARES = {
    "no filter": "$share/g",
    "an empty filter": "$share/g/",
    "an empty name": "$share//a",
    "+ in the name": "$share/g+/a",
    "# in the name": "$share/#/a",
    "a bad filter": "$share/g/a#",
}
BROKEN_STRINGS = {"NUL": b"a\0", "ill-formed": b"a\xff", "a surrogate": b"\xed\xa0\x80"}


@covers(v3="4.7.1-2 4.7.1-3 4.7.3-1", v5="4.7.1-1 4.7.1-2 4.7.3-1 3.9.3-2")
@every_version
@pytest.mark.parametrize("name", BAD_FILTERS)
def test_a_filter_that_is_none_is_refused(listener, name, version):
    client = Client(listener, version)
    assert_not_subscribed(client, BAD_FILTERS[name])


@covers(v5="4.8.2-1 4.8.2-2")
@pytest.mark.parametrize("name", BAD_SHARES)
def test_a_shared_filter_that_is_none_is_refused(listener, name):
    client = Client(listener)
    assert_not_subscribed(client, BAD_SHARES[name])


def assert_not_subscribed(client, name):
    """Either this filter alone is refused, or the connection has come to its end."""
    answers = client.ask(wire.subscribe(1, ("a", 1), (name, 1), version=client.version))
    if client.closed:
        assert_ended(client, answers, 0x81, 0x82, 0x8F)
    else:
        assert client.version != V31  # which has no word for it
        assert answers == [Suback(1, (1, 0x8F if client.version == V5 else 0x80))]


@covers(v3="3.8.3-1 4.7.3-2 1.5.3-1 1.5.3-2", v5="3.8.3-1 4.7.3-2 1.5.4-1 1.5.4-2")
@every_version
@pytest.mark.parametrize("name", BROKEN_STRINGS)
def test_a_filter_that_is_no_string_ends_the_connection(listener, name, version):
    for asked in (wire.subscribe, wire.unsubscribe):
        client = Client(listener, version)
        answers = client.ask(asked(1, BROKEN_STRINGS[name], version=version))
        assert_ended(client, answers, 0x81)


@every_version
def test_a_filter_of_more_levels_than_any_topic_is_refused(listener, version):
    client = Client(listener, version)
    found = client.ask(wire.subscribe(1, "/".join("+" * (MAX_LEVELS + 1)), version=version))
    assert client.closed or PEER or found == [Suback(1, (0x8F if version == V5 else 0x80,))]
    client = Client(listener, version)
    assert client.subscribe("/".join("+" * MAX_LEVELS)) == (0,)


# UNSUBSCRIBE


@covers(v3="3.10.4-4 2.3.1-7 3.10.4-5", v5="3.10.4-4 3.10.4-5 2.2.1-6 3.11.3-2")
@every_version
def test_every_unsubscribe_is_answered_under_its_own_number(listener, version):
    client = Client(listener, version)
    client.subscribe("a")
    reasons = [(0,), (0x11,)] if version == V5 else [(), ()]
    for packet_id, expected in zip((7, 65_535), reasons, strict=True):
        asked = wire.unsubscribe(packet_id, "a", version=version)
        assert client.ask(asked) == [Unsuback(packet_id, expected)]


@covers(v3="3.10.4-6", v5="3.10.4-6 3.11.3-1")
@every_version
def test_each_filter_of_an_unsubscribe_counts(listener, version):
    client = Client(listener, version)
    client.subscribe("a", "b", "c")
    reasons = client.unsubscribe("b", "x", "a", "b")
    assert reasons == ((0, 0x11, 0, 0x11) if version == V5 else ())
    for topic in "abc":
        client.publish(topic, topic.encode())
    assert client.payloads() == [b"c"]


@covers(v3="3.10.4-1 3.10.4-2", v5="3.10.4-1 3.10.4-2")
@every_version
@pytest.mark.parametrize("subscribed", ["a/+", "a/#", "a/b", "#"])
def test_a_filter_is_removed_by_its_own_name_only(listener, subscribed, version):
    client = Client(listener, version)
    client.subscribe((subscribed, 1))
    others = [name for name in ("a/+", "a/#", "a/b", "#", "+/b", "A/B") if name != subscribed]
    client.unsubscribe(*others)
    client.publish("a/b", b"x", 1)
    assert client.payloads() == [b"x"]
    client.unsubscribe(subscribed)
    client.publish("a/b", b"y", 1)
    assert client.packets() == []


@covers(v3="3.10.4-2 3.10.4-3", v5="3.10.4-2 3.10.4-3")
@every_version
def test_what_was_begun_before_unsubscribe_is_carried_through(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 2))
    source = Client(listener)
    source.publish("a", b"1", 1)
    source.publish("a", b"2", 2)
    first, second = client.messages()
    client.unsubscribe("a")
    source.publish("a", b"3", 2)
    received = client.acknowledgement(wire.PUBREC, second.packet_id)
    assert client.ask(received) == [wire.Pubrel(second.packet_id)]
    client.drop()
    back = Client(listener, version, "c", **kept(version))
    released = wire.Pubrel(second.packet_id)
    assert sorted(back.packets(), key=repr) == [first._replace(dup=True), released]


@covers(v3="3.10.4-2", v5="3.10.4-2")
@every_version
def test_a_session_that_is_back_remembers_what_it_unsubscribed_from(listener, version):
    client = Client(listener, version, "c", **kept(version))
    client.subscribe(("a", 1), ("b", 1))
    client.unsubscribe("a")
    client.leave()
    source = Client(listener)
    source.publish("a", b"x", 1)
    source.publish("b", b"y", 1)
    assert Client(listener, version, "c", **kept(version)).payloads() == [b"y"]


# Shared


def sharing(listener, *qos, name="$share/g/a"):
    clients = [Client(listener) for _ in qos]
    for client, most in zip(clients, qos, strict=True):
        assert client.subscribe((name, most)) == (min(most, 1),)
    return clients


@covers(v5="4.8.2-1 4.5.0-1")
def test_each_message_goes_to_one_of_those_who_share(listener):
    clients = sharing(listener, 1, 1, 1)
    alone = Client(listener)
    alone.subscribe(("a", 1))
    other_group = Client(listener)
    other_group.subscribe(("$share/h/a", 1))
    source = Client(listener)
    sent = [b"%d" % number for number in range(60)]
    for payload in sent:
        source.publish("a", payload, 1)
    shares = [client.payloads() for client in clients]
    assert sorted(chain(*shares), key=int) == sent
    assert all(shares)
    assert alone.payloads() == other_group.payloads() == sent


@covers(v5="4.8.2-3")
@pytest.mark.parametrize("sent", [0, 1, 2])
def test_those_who_share_have_a_qos_each(listener, sent):
    clients = sharing(listener, 0, 1, 2)
    source = Client(listener)
    payloads = [b"%d" % number for number in range(30)]
    for payload in payloads:
        source.publish("a", payload, sent)
    found = [client.take() for client in clients]
    for shares, most in zip(found, (0, 1, 1), strict=True):
        assert {message.qos for message in shares} <= {min(sent, most)}
    assert sorted((message.payload for message in chain(*found)), key=int) == payloads


@covers(v5="4.8.2-3")
def test_who_subscribes_to_its_share_again_has_one_of_the_new_kind(listener):
    (client,) = sharing(listener, 0)
    for qos in (2, 0, 1):
        asked = ("$share/g/a", qos)
        granted = min(qos, 1)
        assert client.subscribe(asked, props={"subscription_identifier": 1 + qos}) == (granted,)
        client.publish("a", b"x", 2)
        found = [(each.qos, each.props["subscription_identifier"]) for each in client.take()]
        assert found == [(granted, [1 + qos])]


@covers(v5="4.8.2-4 4.8.2-5")
def test_those_who_share_are_granted_no_qos_2_which_would_be_one_clients_for_good(listener):
    first, second = sharing(listener, 2, 2)
    Client(listener).publish("a", b"x", 2)
    (message,) = first.messages()
    assert message.qos == 1
    first.drop()
    assert [(message.qos, message.dup) for message in second.messages()] == [(1, False)]


@covers(v5="4.8.2-6 4.4.0-2")
def test_what_one_of_them_refuses_goes_to_no_other(listener):
    (first,) = sharing(listener, 1)
    Client(listener).publish("a", b"x", 1)
    (message,) = first.messages()
    (second,) = sharing(listener, 1)
    assert first.ask(first.acknowledgement(wire.PUBACK, message.packet_id, 0x80)) == []
    assert second.packets() == []


def kept_and_sharing(listener, client_id, qos=1):
    client = Client(listener, V5, client_id, **kept(V5))
    client.subscribe(("$share/g/a", qos))
    return client


@covers(v5="4.5.0-1")
def test_what_comes_while_all_who_share_are_away_waits_for_whoever_is_back_first(listener):
    for client_id in ("c", "d"):
        kept_and_sharing(listener, client_id).leave()
    source = Client(listener)
    for number in range(10):
        source.publish("a", b"%d" % number, 1)
    assert sorted(Client(listener, V5, "d", **kept(V5)).payloads()) == [
        b"%d" % n for n in range(10)
    ]


def test_what_one_left_unacknowledged_with_qos_1_is_not_lost(listener):
    """Whether another of them gets it or it itself when it is back."""
    first = kept_and_sharing(listener, "c")
    Client(listener).publish("a", b"x", 1)
    assert len(first.messages()) == 1
    second = kept_and_sharing(listener, "d")
    first.drop()
    found = second.payloads() or Client(listener, V5, "c", **kept(V5)).payloads()
    assert found == [b"x"]


def test_who_leaves_the_group_has_no_share_any_more(listener):
    first, second = sharing(listener, 1, 1)
    assert first.unsubscribe("$share/g/a") == (0,)
    source = Client(listener)
    for _ in range(10):
        source.publish("a", b"x", 1)
    assert first.packets() == []
    assert len(second.take()) == 10


def test_a_share_and_a_subscription_of_ones_own_are_two(listener):
    client = Client(listener)
    client.subscribe(("$share/g/a", 1), props={"subscription_identifier": 1})
    client.subscribe(("a", 1), props={"subscription_identifier": 2})
    client.publish("a", b"x", 1)
    identifiers = [message.props["subscription_identifier"] for message in client.take()]
    assert sorted(chain(*identifiers)) == [1, 2]
    assert client.unsubscribe("a") == (0,)
    client.publish("a", b"x", 1)
    assert len(client.take()) == 1


@covers(v5="4.8.2-2")
def test_what_is_shared_may_be_a_pattern(listener):
    (client,) = sharing(listener, 1, name="$share/a name/a/+/#")
    source = Client(listener)
    for topic in ("a", "a/b", "a/b/c", "b"):
        source.publish(topic, b"x", 1)
    assert [message.topic for message in client.take()] == ["a/b", "a/b/c"]


@pytest.mark.parametrize("version", [V31, V311])
def test_older_clients_share_in_the_same_way(listener, version):
    clients = [Client(listener, version) for _ in range(2)]
    for client in clients:
        client.subscribe(("$share/g/a", 1))
    source = Client(listener)
    for _ in range(20):
        source.publish("a", b"x", 1)
    assert sum(len(client.take()) for client in clients) == 20
