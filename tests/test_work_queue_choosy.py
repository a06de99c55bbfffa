"""Takers that may not have everything: who gets what, and what waits for whom."""

from __future__ import annotations

import pytest

from hubbub.broker.work_queue import RECONSIDER_AFTER
from work_queue_world import Bench, Tray


class Choosy(Tray):
    """May have values that begin with one of the letters."""

    def __init__(self, letters, credit=10**9):
        super().__init__(credit)
        self.letters = letters
        self.may_have = lambda item: item.value[:1] in self.letters


@pytest.fixture
def bench():
    return Bench()


def join(bench, queue, *trays):
    for tray in trays:
        queue.join(tray)
    bench.queues.flush()
    return trays


def test_a_message_goes_to_who_may_have_it(bench):
    queue = bench.open()
    one, other = join(bench, queue, Choosy(b"ac"), Choosy(b"b"))
    bench.put(queue, b"a1", b"b1", b"a2", b"c1", b"b2")
    assert (one.values, other.values) == ([b"a1", b"a2", b"c1"], [b"b1", b"b2"])


def test_those_who_may_have_it_take_turns(bench):
    queue = bench.open()
    trays = join(bench, queue, Choosy(b"a"), Choosy(b"b"), Choosy(b"a"))
    bench.put(queue, *[b"a%d" % number for number in range(10)])
    assert [len(tray.values) for tray in trays] == [5, 0, 5]


def test_what_nobody_may_have_holds_up_nothing_and_is_not_lost(bench):
    queue = bench.open()
    [tray] = join(bench, queue, Choosy(b"a"))
    bench.put(queue, b"x1", b"a1", b"x2", b"a2")
    assert tray.values == [b"a1", b"a2"]
    assert (queue.ready, queue.unsettled) == (2, 2)
    join(bench, queue, other := Tray())
    assert other.values == [b"x1", b"x2"]
    assert (queue.ready, queue.unsettled) == (0, 4)


def test_what_nobody_may_have_is_offered_again_since_rights_change(bench):
    queue = bench.open()
    [tray] = join(bench, queue, Choosy(b"a"))
    bench.put(queue, b"x1", b"a1")
    tray.letters = b"ax"
    bench.put(queue, b"a2")
    assert tray.values == [b"a1", b"a2"]
    bench.pass_time(RECONSIDER_AFTER)
    assert tray.values == [b"a1", b"a2", b"x1"]
    assert queue.ready == 0


def test_what_others_have_no_room_for_goes_to_them_as_soon_as_they_have(bench):
    queue = bench.open()
    busy, idle = join(bench, queue, Choosy(b"a", credit=1), Choosy(b"b"))
    bench.put(queue, b"a1", b"a2", b"b1", b"a3")
    assert (busy.values, idle.values) == ([b"a1"], [b"b1"])
    assert queue.ready == 2
    for count in (2, 3):
        busy.settle()
        bench.queues.flush()
        assert len(busy.values) == count
    assert busy.values == [b"a1", b"a2", b"a3"]


def test_what_is_passed_over_does_not_keep_the_queue_busy(bench):
    queue = bench.open()
    join(bench, queue, Choosy(b"a", credit=0), Choosy(b"b"))
    bench.put(queue, b"a1", b"x1")
    bench.put(queue, b"b1")
    bench.pass_time()
    assert bench.timers.next_due() == pytest.approx(RECONSIDER_AFTER)


def test_get_finds_what_the_takers_may_not_have(bench):
    queue = bench.open()
    join(bench, queue, Choosy(b"a"))
    bench.put(queue, b"x1")
    assert queue.get().item().value == b"x1"
    assert queue.get() is None


def test_a_purge_takes_what_nobody_may_have(bench):
    queue = bench.open()
    join(bench, queue, Choosy(b"a"))
    bench.put(queue, b"x1", b"x2")
    assert (queue.purge(), queue.ready, queue.unsettled) == (2, 0, 0)
    bench.pass_time(RECONSIDER_AFTER)
    assert bench.queues.memory_bytes == 0


def test_what_nobody_may_have_comes_back_after_a_restart(bench):
    queue = bench.open(durable=True)
    join(bench, queue, Choosy(b"a"))
    bench.put(queue, b"x1", persistent=True)
    bench.queues.close()
    after = bench.restarted()
    assert after.drain(after.queues.get("q")) == [b"x1"]


def test_the_only_one_to_get_anything_gets_what_it_may_have(bench):
    queue = bench.open(single_active=True)
    active, standby = join(bench, queue, Choosy(b"a"), Choosy(b"b"))
    bench.put(queue, b"b1", b"a1")
    assert (active.values, standby.values) == ([b"a1"], [])
    queue.leave(active)
    bench.pass_time(RECONSIDER_AFTER)
    assert standby.values == [b"b1"]
