from __future__ import annotations

from hubbub.broker.outbox import Outbox
from hubbub.broker.timers import Timers


def test_timers_fire_in_the_order_they_are_due_and_not_before():
    timers = Timers()
    fired = []
    timers.after(2, lambda: fired.append("second"))
    timers.after(1, lambda: fired.append("first"))
    timers.after(1, lambda: fired.append("first too"))
    timers.advance(0.5, 0)
    assert fired == []
    assert timers.next_due() == 1
    timers.advance(2, 0)
    assert fired == ["first", "first too", "second"]
    assert timers.next_due() is None


def test_a_cancelled_timer_never_fires_and_is_not_waited_for():
    timers = Timers()
    fired = []
    timer = timers.after(1, lambda: fired.append(1))
    timer.cancel()
    assert timers.next_due() is None
    timers.advance(5, 0)
    assert fired == []
    assert not timer.active


def test_a_timer_set_while_firing_is_due_from_that_moment():
    timers = Timers()
    fired = []
    timers.after(1, lambda: timers.after(1, lambda: fired.append(timers.now)))
    timers.advance(10, 7)
    assert fired == []
    timers.advance(11, 8)
    assert fired == [11]
    assert timers.wall_ms == 8


def test_work_in_steps_of_no_delay_takes_one_step_a_turn():
    timers = Timers()
    steps = []

    def step() -> None:
        steps.append(timers.now)
        timers.after(0, step)

    step()
    for moment in (1, 2, 3):
        timers.advance(moment, 0)
    assert steps == [0, 1, 2, 3]


def test_a_timer_that_fails_keeps_no_other_from_firing(caplog):
    timers = Timers()
    fired = []
    timers.after(1, lambda: 1 // 0)
    timers.after(1, lambda: fired.append("other"))
    timers.advance(1, 0)
    assert fired == ["other"]
    assert "ZeroDivisionError" in caplog.text


def test_cancelled_timers_do_not_pile_up():
    timers = Timers()
    fired = []
    kept = [timers.after(1000 + number, lambda: fired.append(1)) for number in range(10)]
    for _ in range(100_000):
        timers.after(500, lambda: fired.append("never")).cancel()
    assert len(timers._heap) < 5000
    timers.advance(2000, 0)
    assert fired == [1] * 10
    assert not any(timer.active for timer in kept)
    assert timers._heap == []


def test_an_outbox_says_once_that_it_has_something_to_send():
    calls = []
    outbox = Outbox(lambda: calls.append(1))
    outbox.write(b"a")
    outbox.write(b"b")
    assert calls == [1]
    assert outbox.take() == [b"ab"]
    outbox.write(b"c")
    assert calls == [1, 1]


def test_a_consumer_that_does_not_read_is_given_up_at_its_limit():
    outbox = Outbox(limit=10)
    assert outbox.push(b"12345")
    outbox.write(b"67890")
    assert not outbox.push(b"1")
    assert outbox.overflowed
    assert outbox.take() == []
    outbox.write(b"more")
    assert outbox.take() == []


def test_what_was_written_before_a_close_is_still_sent():
    outbox = Outbox()
    outbox.write(b"bye")
    outbox.close()
    outbox.write(b"too late")
    assert outbox.closing
    assert outbox.take() == [b"bye"]
