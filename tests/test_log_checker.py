"""The checker is only worth something if it notices: every kind of damage, wherever it is."""

from __future__ import annotations

import random

import pytest

from log_checker import Checker, Place, Sent


def history(seed: int) -> tuple[Checker, dict[Place, Sent]]:
    rng = random.Random(seed)
    checker = Checker()
    read: dict[Place, Sent] = {}
    ends = dict.fromkeys(range(3), 0)
    numbers = {f"k{key}": 0 for key in range(5)}
    for _ in range(60):
        key = rng.choice(sorted(numbers))
        partition = int(key[1]) % 3
        place = Place("t", partition, ends[partition])
        read[place] = Sent(key, numbers[key])
        ends[partition] += 1
        numbers[key] += 1
        if rng.random() < 0.8:
            checker.acknowledge("t", read[place], place if rng.random() < 0.5 else None)
    return checker, read


def acknowledged(checker: Checker, read: dict[Place, Sent]) -> list[Place]:
    return [
        place
        for place, sent in read.items()
        if place in checker.placed or sent in checker.unplaced["t"]
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_good_history_is_accepted(seed):
    checker, read = history(seed)
    assert checker.check(read) == []
    assert checker.check(read) == []


@pytest.mark.parametrize("seed", range(20))
def test_each_dropped_acknowledged_message_is_noticed(seed):
    checker, read = history(seed)
    for place in acknowledged(checker, read):
        assert {v.kind for v in checker.check({p: s for p, s in read.items() if p != place})} == {
            "lost"
        }


@pytest.mark.parametrize("seed", range(20))
def test_each_reused_offset_is_noticed(seed):
    checker, read = history(seed)
    for place in checker.placed:
        fresh = {**read, place: Sent("other", 0)}
        assert "offset reused" in {violation.kind for violation in checker.check(fresh)}


def test_an_offset_that_a_reader_saw_with_other_contents_is_noticed():
    checker = Checker()
    checker.check({Place("t", 0, 0): Sent("a", 0)})
    assert [v.kind for v in checker.check({Place("t", 0, 0): Sent("b", 0)})] == ["offset reused"]


@pytest.mark.parametrize("seed", range(20))
def test_each_swap_within_a_key_is_noticed(seed):
    checker, read = history(seed)
    checker.placed.clear()
    by_key: dict[str, list[Place]] = {}
    for place in sorted(read):
        by_key.setdefault(read[place].key, []).append(place)
    for one, other in [(p[0], p[-1]) for p in by_key.values() if len(p) > 1]:
        swapped = {**read, one: read[other], other: read[one]}
        assert "order" in {violation.kind for violation in Checker().check(swapped)}


def test_a_message_stored_twice_is_noticed():
    read = {Place("t", 0, 0): Sent("a", 0), Place("t", 0, 1): Sent("a", 0)}
    assert [violation.kind for violation in Checker().check(read)] == ["duplicate"]
