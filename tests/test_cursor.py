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
