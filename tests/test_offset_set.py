"""Offsets that are still needed, against Python's own set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.broker.offset_set import OffsetSet

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 300)),
        st.tuples(st.just("remove"), st.integers(0, 3000)),
        st.tuples(st.just("range"), st.integers(0, 3000), st.integers(0, 500)),
        st.tuples(st.just("first")),
    ),
    max_size=80,
)


@given(st.integers(0, 10**12), STEPS)
def test_it_is_a_set_whose_members_come_in_order(start, steps):
    offsets, model, last = OffsetSet(), set(), start
    for step in steps:
        if step[0] == "add":
            last += step[1]
            offsets.add(last)
            model.add(last)
        elif step[0] == "remove":
            assert offsets.remove(start + step[1]) == (start + step[1] in model)
            model.discard(start + step[1])
        elif step[0] == "range":
            offsets.remove_range(start + step[1], step[2])
            model -= set(range(start + step[1], start + step[1] + step[2]))
        assert offsets.first() == min(model, default=-1)
        assert offsets.count == len(model)
    assert all(offsets.has(offset) for offset in model)
    assert not offsets.has(last + 1)
    assert not offsets.has(start)


def test_a_window_that_moves_on_for_long_stays_one():
    offsets = OffsetSet()
    for offset in range(100_000):
        offsets.add(offset)
        if offset >= 1000:
            assert offsets.remove(offset - 1000)
    assert (offsets.first(), offsets.count) == (99_000, 1000)


def test_a_range_of_any_length_costs_no_more_than_there_is():
    offsets = OffsetSet()
    offsets.add(5)
    offsets.remove_range(0, 2**62)
    assert offsets.count == 0


def test_what_is_out_of_order_is_refused():
    offsets = OffsetSet()
    offsets.add(1000)
    with pytest.raises(ValueError, match="order"):
        offsets.add(1)
