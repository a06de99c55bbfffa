"""Observers of one share take turns, at each address for itself, among those with room."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_doubles import DenyList
from hubbub.broker.broker import Broker
from hubbub.broker.observer import Subscriber
from hubbub.broker.run import Burst, Origin
from hubbub.broker.sharing import Turns, with_turns
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.model.address import parse_address
from hubbub.model.message import Message
from hubbub.model.pattern import parse_pattern
from mqtt_double import Client, here_only, mqtt_listener


class Member:
    def __init__(self, broker, *patterns, share=("test", "share"), principal=""):
        self.subscriber = Subscriber("test", "member", principal)
        self.share = share
        self.got = []
        for pattern in patterns:
            broker.subscribe(parse_pattern(pattern), self)

    def observe(self, message):
        self.got.append(message.address)


@pytest.fixture
def broker():
    return Broker(MemoryLog(), Timers(0.0, 1_700_000_000_000))


def publish(broker, *addresses):
    for address in addresses:
        broker.publish(Message(parse_address(address), b""))


def in_one_burst(broker, *addresses):
    burst = Burst(Origin())
    routes = [broker.routes.of(parse_address(address)) for address in addresses]
    for route in routes:
        burst.put(route, b"")
    broker.dispatcher.publish_burst(burst, "")


ways = pytest.mark.parametrize("publish", [publish, in_one_burst])


@ways
def test_addresses_by_turns_starve_nobody(broker, publish):
    first, second = Member(broker, "x", "y"), Member(broker, "x", "y")
    third = Member(broker, "y")
    publish(broker, *["x", "y"] * 600)
    assert Counter(first.got)["x"] == Counter(second.got)["x"] == 300
    assert [Counter(each.got)["y"] for each in (first, second, third)] == [200, 200, 200]


@ways
@pytest.mark.parametrize("members", [1, 2, 3, 5])
def test_each_message_goes_to_the_next(broker, publish, members):
    found = [Member(broker, "x") for _ in range(members)]
    publish(broker, *["x"] * (members * 7))
    assert [len(each.got) for each in found] == [7] * members


def test_one_message_each_of_many_addresses_is_spread(broker):
    found = [Member(broker, "x.*") for _ in range(4)]
    publish(broker, *[f"x.{number}" for number in range(400)])
    assert [len(each.got) for each in found] == [100] * 4


def test_two_shares_have_turns_of_their_own(broker):
    ours = [Member(broker, "x") for _ in range(2)]
    theirs = [Member(broker, "x", share=("test", "other")) for _ in range(3)]
    alone = Member(broker, "x", share=None)
    publish(broker, *["x"] * 60)
    assert [len(each.got) for each in (*ours, *theirs, alone)] == [30, 30, 20, 20, 20, 60]


@settings(max_examples=100)
@given(st.lists(st.sets(st.sampled_from("xyz"), min_size=1), min_size=1, max_size=4), st.data())
def test_nobody_gets_more_than_one_message_more_than_another_of_an_address(memberships, data):
    broker = Broker(MemoryLog(), Timers(0.0, 1_700_000_000_000))
    members = [Member(broker, *sorted(patterns)) for patterns in memberships]
    addresses = data.draw(st.lists(st.sampled_from("xyz"), max_size=60))
    publish(broker, *addresses)
    for address in "xyz":
        counts = [
            Counter(member.got)[address]
            for member, patterns in zip(members, memberships, strict=True)
            if address in patterns
        ]
        assert sum(counts) == (addresses.count(address) if counts else 0)
        assert not counts or max(counts) - min(counts) <= 1


def test_who_may_not_receive_is_passed_over_and_the_others_take_its_turn():
    rules = DenyList()
    rules.may = lambda principal, action, target: (principal, action) != ("no", "receive")
    broker = Broker(MemoryLog(), Timers(0.0, 1_700_000_000_000), access=rules)
    denied = Member(broker, "x", principal="no")
    others = [Member(broker, "x") for _ in range(2)]
    publish(broker, *["x"] * 30)
    assert denied.got == []
    assert sum(len(each.got) for each in others) == 30
    assert all(each.got for each in others)


def test_a_share_of_one_costs_no_turns(broker):
    only, other = Member(broker, "x"), Member(broker, "y")
    assert with_turns([only, other]) != (only, other)
    assert with_turns([only]) == (only,)
    (turns,) = with_turns([only, other])
    assert isinstance(turns, Turns)
    assert turns.members == (only, other)


@here_only
def test_clients_with_room_take_the_turn_of_one_that_has_none():
    listener = mqtt_listener()
    full = Client(listener, props={"receive_maximum": 1})
    others = [Client(listener) for _ in range(2)]
    for client in (full, *others):
        client.subscribe(("$share/g/a", 1))
    source = Client(listener)
    payloads = [b"%d" % number for number in range(30)]
    for payload in payloads:
        source.publish("a", payload, 1)
    held = [message.payload for message in full.messages()]
    assert len(held) == 1
    found = [message.payload for client in others for message in client.messages()]
    assert sorted(held + found, key=int) == payloads


@ways
def test_each_member_gets_its_messages_in_their_order(broker, publish):
    members = [Member(broker, "x.*") for _ in range(3)]
    publish(broker, *[f"x.{number:04}" for number in range(300)])
    for member in members:
        assert all(one < other for one, other in pairwise(member.got))
