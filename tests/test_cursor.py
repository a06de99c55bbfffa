from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hubbub.broker.cursor import Cursor, CursorState

offsets = st.integers(0, 30)


@given(st.integers(0, 5), st.lists(offsets, max_size=40))
def test_what_is_settled_is_what_was_settled_or_lies_below_the_floor(floor, settled):
    cursor = Cursor(CursorState(floor))
    for offset in settled:
        cursor.settle(offset)
    done = {*range(floor), *settled}
    assert {offset for offset in range(40) if cursor.is_settled(offset)} == done
    assert cursor.floor == next(offset for offset in range(100) if offset not in done)
    assert cursor.lag(31) == 31 - len(done)


@given(st.integers(0, 5), st.lists(st.tuples(offsets, offsets), max_size=15))
def test_ranges_are_settled_like_each_of_their_offsets(floor, ranges):
    by_range, one_by_one = Cursor(CursorState(floor)), Cursor(CursorState(floor))
    for offset in (3, 7, 12, 30):
        for cursor in (by_range, one_by_one):
            cursor.attempt(offset)
            cursor.attempt(offset)
    for first, after in ranges:
        by_range.settle(first, after)
        for offset in range(first, after):
            one_by_one.settle(offset)
    assert [by_range.attempts(at) for at in range(40)] == [
        one_by_one.attempts(at) for at in range(40)
    ]
    assert by_range.state == one_by_one.state
    places = [by_range.floor, *(place for ends in by_range.state.settled for place in ends)]
    assert places == sorted(set(places))  # no range is empty, or meets the next one


def test_a_million_offsets_cost_one_range():
    cursor = Cursor(CursorState(0))
    cursor.settle(10, 1_000_000)
    cursor.settle(2_000_000, 3_000_000)
    assert cursor.state == CursorState(0, ((10, 1_000_000), (2_000_000, 3_000_000)))
    assert cursor.lag(3_000_001) == 10 + 1_000_000 + 1
    cursor.settle(0, 2_000_000)
    assert cursor.state == CursorState(3_000_000)


@given(st.lists(offsets, max_size=40), st.lists(offsets, max_size=10))
def test_a_cursor_comes_back_from_its_stored_state(settled, attempted):
    cursor = Cursor(CursorState(0))
    for offset in attempted:
        cursor.attempt(offset)
        cursor.attempt(offset)
    for offset in settled:
        cursor.settle(offset)
    again = Cursor(cursor.state)
    assert [again.is_settled(offset) for offset in range(40)] == [
        cursor.is_settled(offset) for offset in range(40)
    ]
    assert again.state == cursor.state
    assert all(again.attempts(offset) == cursor.attempts(offset) for offset in range(31))


@given(st.lists(offsets, max_size=20), st.integers(0, 40))
def test_skipping_settles_everything_before(settled, target):
    cursor = Cursor(CursorState(0))
    for offset in settled:
        cursor.settle(offset)
    cursor.skip_to(target)
    assert all(cursor.is_settled(offset) for offset in range(target))
    assert all(cursor.is_settled(offset) for offset in settled)


def test_a_settled_message_is_not_counted_as_tried():
    cursor = Cursor(CursorState(0))
    assert [cursor.attempt(3), cursor.attempt(3)] == [1, 2]
    cursor.settle(3)
    assert cursor.attempts(3) == 0
    assert cursor.state == CursorState(0, ((3, 4),), ())
