"""What waits to be sent: order, sharing, limits, and the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hubbub.broker.outbox import Outbox

LARGE = b"x" * 10_000


@given(st.lists(st.binary(max_size=5000), max_size=30))
def test_what_comes_out_is_what_went_in(chunks):
    outbox = Outbox()
    for chunk in chunks:
        outbox.write(chunk)
    assert outbox.size == sum(map(len, chunks))
    assert b"".join(outbox.take()) == b"".join(chunks)
    assert outbox.size == 0
    assert outbox.take() == []


def test_what_is_large_is_shared_and_what_is_small_is_joined():
    outbox = Outbox()
    for chunk in (b"a", b"b", LARGE, b"c", b"d"):
        outbox.write(chunk)
    first, second, third = outbox.take()
    assert (first, third) == (b"ab", b"cd")
    assert second is LARGE


def test_the_server_is_told_once_until_it_looks():
    calls = []
    outbox = Outbox(lambda: calls.append(1))
    outbox.write(b"a")
    outbox.write(LARGE)
    assert len(calls) == 1
    outbox.take()
    outbox.write(b"b")
    assert len(calls) == 2


def test_a_delivery_beyond_the_limit_drops_everything_and_ends_the_connection():
    outbox = Outbox(limit=10)
    assert outbox.push(b"12345")
    assert not outbox.push(b"123456")
    assert (outbox.overflowed, outbox.aborted, outbox.size) == (True, True, 0)
    outbox.write(b"too late")
    assert outbox.take() == []


def test_an_answer_is_not_held_to_the_limit_of_deliveries():
    outbox = Outbox(limit=10)
    outbox.write(b"12345678901234567890")
    assert not outbox.overflowed


def test_a_slow_consumer_finds_its_protocols_own_word_at_the_end():
    outbox = Outbox(limit=10)
    outbox.farewell = b"-ERR 'Slow Consumer'\r\n"
    outbox.push(b"12345")
    assert not outbox.push(LARGE)
    assert (outbox.overflowed, outbox.closing, outbox.aborted) == (True, True, False)
    assert not outbox.push(b"1")
    assert outbox.take() == [b"-ERR 'Slow Consumer'\r\n"]


def test_after_close_nothing_is_taken_in_but_what_was_is_sent():
    outbox = Outbox()
    outbox.write(b"bye")
    outbox.close()
    outbox.write(b"x")
    outbox.write(LARGE)
    assert outbox.take() == [b"bye"]
