"""Retained messages by address: the last of each, until it expires, is removed or takes too much."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.broker.broker import Broker
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.model.address import from_levels, parse_address
from hubbub.model.message import Message
from hubbub.model.pattern import parse_pattern

WALL_MS = 1_700_000_000_000


class World:
    """A broker on a log in memory, and the hand that moves its clock."""

    def __init__(self, log=None):
        self.log = log or MemoryLog()
        self.timers = Timers(0.0, WALL_MS)
        self.retained = Broker(self.log, self.timers).retained

    def put(self, address, value, mark=b"", expiry_ms=None):
        now = self.timers.wall_ms
        message = Message(parse_address(address), value, timestamp_ms=now, expiry_ms=expiry_ms)
        return self.retained.put(message, mark)

    def matching(self, pattern):
        found = [each.message for each in self.retained.matching(parse_pattern(pattern))]
        return sorted((message.address, message.value) for message in found)

    def pass_time(self, seconds):
        self.timers.advance(self.timers.now + seconds, self.timers.wall_ms + int(seconds * 1000))


@pytest.fixture
def world():
    return World()


LEVELS = st.sampled_from(["a", "b", "", "$s", "__i"])
ADDRESSES = st.lists(LEVELS, min_size=1, max_size=4).map(from_levels)
PATTERNS = st.lists(LEVELS | st.sampled_from(["*", "#"]), min_size=1, max_size=5)
STEPS = st.lists(
    st.tuples(ADDRESSES, st.sampled_from([b"1", b"22", b""]), st.sampled_from([None, None, 1500])),
    max_size=30,
)


@settings(max_examples=300)
@given(STEPS, st.lists(PATTERNS, min_size=1, max_size=5), st.booleans(), st.integers(0, 2))
def test_what_is_retained_is_the_last_of_each_address_that_matches(
    steps, patterns, ends_with_many, seconds
):
    world, model = World(), {}
    for address, value, expiry_ms in steps:
        world.put(address, value, expiry_ms=expiry_ms)
        model[address] = (value, expiry_ms)
    world.pass_time(seconds)
    alive = {
        address: value
        for address, (value, expiry_ms) in model.items()
        if value and (expiry_ms is None or seconds * 1000 < expiry_ms)
    }
    for place in (world, World(world.log)):
        if place is not world:
            place.pass_time(seconds)
        for levels in patterns:
            text = ".".join([*levels, ">"] if ends_with_many else levels)
            pattern = parse_pattern(text)
            expected = [each for each in alive.items() if pattern.matches(each[0])]
            assert place.matching(text) == sorted(expected)
        assert {address: place.retained.get(address).message.value for address in alive} == alive


@settings(max_examples=100)
@given(STEPS)
def test_what_was_removed_takes_up_nothing(steps):
    world = World()
    for address, value, expiry_ms in steps:
        world.put(address, value, expiry_ms=expiry_ms)
    last = {address: value for address, value, _ in steps}
    assert len(world.retained) == sum(bool(value) for value in last.values())
    for address, _, _ in steps:
        world.put(address, b"")
    assert (len(world.retained), world.retained.size) == (0, 0)
    assert world.retained._root.children == {}


def test_a_pattern_with_many_wildcards_reaches_each_address_once_and_quickly(world):
    deep = ".".join(["a"] * 60)
    world.put(deep, b"x")
    assert world.matching(".".join(["#", "a"] * 20)) == [(deep, b"x")]
    assert world.matching(".".join(["#"] * 40)) == [(deep, b"x")]
    assert world.matching(".".join([*["#", "a"] * 20, "b"])) == []


def test_what_comes_and_goes_meanwhile_does_not_disturb_who_reads(world):
    for number in range(100):
        world.put(f"a.{number}", b"1")
    reading = world.retained.matching(parse_pattern("#"))
    found = [next(reading).message.address for _ in range(10)]
    for number in range(50, 200):
        world.put(f"a.{number}", b"" if number % 2 else b"2")
    world.put("b", b"3")
    found += [each.message.address for each in reading]
    assert len(found) == len(set(found))
    assert {f"a.{number}" for number in range(50)} <= set(found)


def test_an_empty_message_where_none_was_is_nothing_to_wait_for(world):
    assert world.put("a", b"") is None
    assert world.put("a", b"x") is not None
    assert world.put("a", b"") is not None
    assert world.put("a", b"") is None


def test_the_mark_of_its_protocol_comes_back_with_it():
    world = World()
    world.put("a", b"x", mark=b"\x02mine")
    for place in (world, World(world.log)):
        (found,) = place.retained.matching(parse_pattern("a"))
        assert found.mark == b"\x02mine"


def test_what_expired_is_gone_from_the_log_too():
    world = World()
    world.put("a", b"x", expiry_ms=1000)
    world.pass_time(1)
    assert world.retained.get("a") is None
    assert len(world.retained) == 0
    assert len(World(world.log).retained) == 0


def test_memory_is_counted_by_values_and_levels(world):
    world.put("a", b"x" * 1000)
    small = world.retained.size
    world.put("a", b"x" * 3000)
    assert world.retained.size == small + 2000
    world.put(".".join(["b"] * 200), b"")
    assert world.retained.size == small + 2000
    world.put(".".join(["b"] * 200), b"x")
    assert world.retained.size > small + 2000 + 200 * 100
