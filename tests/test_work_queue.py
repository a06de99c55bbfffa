"""Work queues in memory: order, turns, leases, limits and times."""

from __future__ import annotations

import pytest

from hubbub.broker.work_item import Item
from hubbub.broker.work_settings import WorkQueueSettings
from hubbub.model.errors import InvalidSettingsError
from work_queue_world import Bench, Tray, numbers


@pytest.fixture
def bench():
    return Bench()


# --- order and turns --------------------------------------------------------------------------


def test_messages_come_in_the_order_in_which_they_were_put(bench):
    queue = bench.open()
    bench.put(queue, *numbers(*range(100)))
    tray = bench.join(queue)
    bench.put(queue, *numbers(*range(100, 200)))
    assert tray.values == numbers(*range(200))


def test_nothing_is_delivered_before_the_flush(bench):
    queue = bench.open()
    tray = bench.join(queue)
    queue.put(Item(b"1"))
    assert (queue.ready, queue.ready_bytes, tray.values) == (1, 1, [])
    bench.queues.flush()
    assert (queue.ready, queue.unsettled, tray.values) == (0, 1, [b"1"])


def test_what_nobody_flushes_is_delivered_in_the_next_turn(bench):
    queue = bench.open()
    tray = bench.join(queue)
    queue.put(Item(b"1"))
    bench.pass_time()
    assert tray.values == [b"1"]


def test_what_is_given_back_returns_to_its_old_place(bench):
    queue = bench.open()
    bench.put(queue, *numbers(*range(9)))
    tray = bench.join(queue, 5)
    queue.leave(tray)
    for at in (3, 0, 4, 1):
        queue.give_back(tray.entries[at], True)
    bench.put(queue, b"9")
    assert bench.drain(queue) == numbers(0, 1, 3, 4, 5, 6, 7, 8, 9)
    assert queue.unsettled == 1


def test_what_was_given_back_says_so(bench):
    queue = bench.open()
    bench.put(queue, *numbers(1, 2))
    first, second = queue.get(), queue.get()
    assert (first.deliveries, second.deliveries) == (0, 0)
    queue.give_back(first, True)
    queue.give_back(second, False)
    assert [queue.get().deliveries, queue.get().deliveries] == [1, 0]


def test_higher_priorities_come_first_and_each_keeps_its_order(bench):
    queue = bench.open(priorities=5)
    for value, priority in [(b"1", 0), (b"2", 9), (b"3", 5), (b"4", -1), (b"5", 3)]:
        bench.put(queue, value, priority=priority)
    assert bench.drain(queue) == numbers(2, 3, 5, 1, 4)
    assert bench.drain(queue) == numbers(2, 3, 5, 1, 4)


def test_a_queue_without_priorities_ignores_them(bench):
    queue = bench.open()
    bench.put(queue, b"1", priority=1)
    bench.put(queue, b"2", priority=9)
    assert bench.drain(queue) == numbers(1, 2)


@pytest.mark.parametrize("credit", [7, 10**9])
def test_equal_takers_share_evenly_and_each_message_goes_to_one(bench, credit):
    queue = bench.open()
    trays = [bench.join(queue, credit) for _ in range(10)]
    for start in range(0, 10_000, 50):
        bench.put(queue, *numbers(*range(start, start + 50)))
        for tray in trays:
            tray.settle()
        bench.queues.flush()
    assert [len(tray.values) for tray in trays] == [1000] * 10
    assert sorted(value for tray in trays for value in tray.values) == sorted(
        numbers(*range(10_000))
    )


def test_a_higher_taker_gets_all_while_it_has_room(bench):
    queue = bench.open()
    low = bench.join(queue)
    high = bench.join(queue, 3, priority=1)
    bench.put(queue, *numbers(*range(5)))
    assert (high.values, low.values) == (numbers(0, 1, 2), numbers(3, 4))
    high.settle()
    bench.put(queue, b"5")
    assert high.values[-1:] == [b"5"]


def test_whose_turn_it_is_survives_that_another_leaves(bench):
    queue = bench.open()
    trays = [bench.join(queue) for _ in range(3)]
    bench.put(queue, *numbers(0, 1))
    queue.leave(trays[0])
    bench.put(queue, b"2", b"3")
    assert [tray.values for tray in trays] == [[b"0"], numbers(1, 3), [b"2"]]


def test_only_the_first_of_single_active_takers_gets_messages(bench):
    queue = bench.open(single_active=True)
    first, second = bench.join(queue, 1), bench.join(queue)
    bench.put(queue, *numbers(1, 2))
    assert (first.values, second.values, queue.active) == ([b"1"], [], first)
    queue.leave(first)
    bench.queues.flush()
    assert (second.values, queue.active) == ([b"2"], second)
    queue.leave(second)
    assert queue.active is None


def test_a_taker_that_has_room_again_is_served_when_it_wakes_the_queue(bench):
    queue = bench.open()
    tray = bench.join(queue, 0)
    bench.put(queue, b"1")
    tray.limit = 1
    bench.queues.flush()
    assert tray.values == []
    queue.wake()
    bench.queues.flush()
    assert tray.values == [b"1"]


def test_a_taker_may_settle_as_it_takes(bench):
    queue = bench.open()
    tray = bench.join(queue, settles=True)
    bench.put(queue, *numbers(*range(10)))
    assert (len(tray.values), queue.unsettled, bench.queues.memory_bytes) == (10, 0, 0)


def test_the_last_taker_to_leave_is_noticed(bench):
    queue = bench.open()
    gone = []
    queue.on_consumers_gone = lambda: gone.append(True)
    first, second = bench.join(queue), bench.join(queue)
    queue.leave(first)
    assert not gone
    queue.leave(second)
    queue.leave(second)
    assert gone == [True]


def test_a_taker_that_raises_costs_no_message_and_nobody_else(bench):
    class Faulty(Tray):
        def take(self, entry):
            raise ValueError

    queue, other = bench.open(), bench.open("other")
    faulty = Faulty()
    queue.join(faulty)
    tray = bench.join(other)
    queue.put(Item(b"1"))
    bench.put(other, b"2")
    assert (tray.values, queue.ready, queue.unsettled) == ([b"2"], 1, 0)
    queue.leave(faulty)
    assert bench.join(queue).values == [b"1"]


def test_an_entry_that_is_dropped_by_mistake_leaves_the_others_alone(bench):
    queue = bench.open()
    bench.put(queue, *numbers(1, 2, 3))
    entries = [queue.get() for _ in range(3)]
    del entries[1]
    assert queue.unsettled == 2
    for entry in entries:
        queue.settle(entry)
    assert queue.unsettled == 0


# --- settling ---------------------------------------------------------------------------------


def test_an_entry_is_settled_once(bench):
    queue, other = bench.open(), bench.open("other")
    bench.put(queue, *numbers(1, 2))
    entry = queue.get()
    other.settle(entry)
    assert queue.unsettled == 1
    for _ in range(2):
        queue.settle(entry)
        queue.give_back(entry, True)
        queue.reject(entry)
    bench.queues.flush()
    assert (queue.ready, queue.unsettled) == (1, 0)


def test_get_finds_what_was_just_put_and_nothing_else(bench):
    queue = bench.open()
    assert queue.get() is None
    queue.put(Item(b"1"))
    assert queue.get().item().value == b"1"
    assert queue.get() is None


def test_a_rejected_message_is_a_dead_letter_before_it_is_gone(bench):
    queue = bench.open()
    letters = []
    queue.on_dead = lambda entry, why: letters.append((entry.item().value, why, queue.unsettled))
    bench.put(queue, b"1")
    queue.reject(queue.get())
    assert (letters, queue.unsettled, queue.ready) == ([(b"1", "rejected", 1)], 0, 0)


def test_a_message_given_back_too_often_is_a_dead_letter(bench):
    queue = bench.open(delivery_limit=2)
    letters = []
    queue.on_dead = lambda entry, why: letters.append((entry.item().value, why, entry.deliveries))
    bench.put(queue, b"1")
    for _ in range(3):
        queue.give_back(queue.get(), False)
    for _ in range(2):
        queue.give_back(queue.get(), True)
    assert not letters
    queue.give_back(queue.get(), True)
    assert (letters, queue.ready) == ([(b"1", "delivery_limit", 3)], 0)


def test_a_dead_letter_for_another_queue_is_delivered_by_the_same_flush(bench):
    queue, dead = bench.open(), bench.open("dead")
    queue.on_dead = lambda entry, _: dead.put(entry.item())
    tray = bench.join(dead)
    bench.put(queue, b"1")
    queue.reject(queue.get())
    bench.queues.flush()
    assert tray.values == [b"1"]


def test_dead_letters_that_go_round_for_ever_leave_others_their_turn(bench):
    queues = [bench.open(name, message_ttl_ms=0) for name in ("a", "b")]
    queues[0].on_dead = lambda entry, _: queues[1].put(entry.item())
    queues[1].on_dead = lambda entry, _: queues[0].put(entry.item())
    bench.put(queues[0], b"1")
    bench.pass_time()
    assert sum(queue.ready for queue in queues) == 1


def test_a_fault_in_the_dead_letter_handler_hurts_nobody_else(bench):
    queue = bench.open(max_length=1)
    queue.on_dead = lambda *_: 1 / 0
    bench.put(queue, *numbers(1, 2, 3))
    assert (bench.drain(queue), queue.unsettled) == ([b"3"], 0)


def test_a_purge_takes_what_waits_and_leaves_what_is_on_lease(bench):
    queue = bench.open()
    bench.put(queue, *numbers(1, 2, 3))
    entry = queue.get()
    queue.put(Item(b"4"))
    assert queue.purge() == 3
    assert (queue.ready, queue.ready_bytes, queue.unsettled) == (0, 0, 1)
    queue.give_back(entry, True)
    assert bench.drain(queue) == [b"1"]


def test_a_deleted_queue_ignores_what_comes_late(bench):
    queue = bench.open()
    bench.put(queue, *numbers(1, 2, 3))
    entries = [queue.get(), queue.get()]
    bench.queues.delete(queue)
    queue.on_dead = lambda *_: pytest.fail("a dead letter of a deleted queue")
    queue.put(Item(b"4"))
    queue.give_back(entries[0], True)
    queue.reject(entries[1])
    bench.queues.flush()
    assert (queue.ready, queue.unsettled, bench.queues.memory_bytes) == (0, 0, 0)
    assert bench.queues.get("q") is None
    assert bench.open() is not queue


# --- limits -----------------------------------------------------------------------------------


def test_what_is_too_much_is_dropped_from_the_head(bench):
    queue = bench.open(max_length=2)
    letters = []
    queue.on_dead = lambda entry, why: letters.append((entry.item().value, why))
    assert bench.put(queue, *numbers(*range(5))) == [1] * 5
    assert bench.drain(queue) == numbers(3, 4)
    assert letters == [(value, "maxlen") for value in numbers(0, 1, 2)]


def test_bytes_are_limited_like_messages(bench):
    queue = bench.open(max_bytes=10)
    bench.put(queue, b"1234", b"5678", b"90", b"ab")
    assert (bench.drain(queue), queue.ready_bytes) == ([b"5678", b"90", b"ab"], 8)


def test_a_full_queue_may_refuse(bench):
    queue = bench.open(max_length=2, overflow="reject")
    assert bench.put(queue, *numbers(1, 2, 3)) == [1, 1, 0]
    assert bench.put(queue, b"4") == [0]
    assert bench.drain(queue) == numbers(1, 2)
    small = bench.open("small", max_bytes=5, overflow="reject")
    assert bench.put(small, b"1234", b"56", b"7") == [1, 0, 1]


def test_what_is_on_lease_takes_no_room(bench):
    queue = bench.open(max_length=1, overflow="reject")
    tray = bench.join(queue)
    assert bench.put(queue, *numbers(1, 2, 3)) == [1, 1, 1]
    assert tray.values == numbers(1, 2, 3)
    dropping = bench.open("dropping", max_length=0)
    bench.put(dropping, b"0")
    tray = bench.join(dropping)
    bench.put(dropping, *numbers(1, 2))
    assert tray.values == numbers(1, 2)


@pytest.mark.parametrize(
    "wrong", [{"priorities": 256}, {"priorities": -1}, {"max_length": -1}, {"message_ttl_ms": -1}]
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(InvalidSettingsError):
        WorkQueueSettings(**wrong)


# --- time -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue_ms", "item_ms"), [(1000, -1), (None, 1000), (1000, 9000), (9000, 1000)]
)
def test_a_message_expires_after_the_shorter_of_both_times(bench, queue_ms, item_ms):
    queue = bench.open(message_ttl_ms=queue_ms)
    letters = []
    queue.on_dead = lambda entry, why: letters.append((entry.item().value, why))
    bench.put(queue, b"1", ttl_ms=item_ms)
    bench.pass_time(0.999)
    assert (queue.ready, letters) == (1, [])
    bench.pass_time(0.001)
    assert (queue.ready, letters) == (0, [(b"1", "expired")])


def test_an_expired_message_leaves_when_it_gets_to_the_head_and_is_never_delivered(bench):
    queue = bench.open()
    bench.put(queue, b"1")
    bench.put(queue, b"2", ttl_ms=10)
    bench.put(queue, b"3")
    bench.pass_time(1)
    assert queue.ready == 3
    tray = bench.join(queue)
    assert tray.values == numbers(1, 3)


def test_what_may_not_wait_is_delivered_to_a_taker_with_room_or_not_at_all(bench):
    queue = bench.open(message_ttl_ms=0)
    bench.put(queue, b"1")
    assert queue.ready == 0
    tray = bench.join(queue, 1)
    bench.put(queue, *numbers(2, 3))
    assert (tray.values, queue.ready) == ([b"2"], 0)


def test_get_finds_nothing_that_has_expired(bench):
    queue = bench.open()
    bench.put(queue, b"1", ttl_ms=10)
    bench.put(queue, b"2")
    bench.timers.now, bench.timers.wall_ms = 1.0, 1000
    assert queue.get().item().value == b"2"


def test_what_comes_back_after_its_time_is_not_delivered_again(bench):
    queue = bench.open(message_ttl_ms=10)
    bench.put(queue, b"1")
    tray = bench.join(queue)
    bench.pass_time(1)
    tray.give_back()
    bench.queues.flush()
    assert (tray.values, queue.ready, queue.unsettled) == ([b"1"], 0, 0)


# --- memory -----------------------------------------------------------------------------------


def test_an_item_in_many_queues_is_in_memory_once(bench):
    queues = [bench.open(str(number)) for number in range(10)]
    item = Item(b"x" * 1000)
    for queue in queues:
        queue.put(item)
    bench.queues.flush()
    assert 1000 <= bench.queues.memory_bytes < 1500
    for queue in queues[1:]:
        queue.purge()
    assert 1000 <= bench.queues.memory_bytes < 1500
    queues[0].settle(queues[0].get())
    assert bench.queues.memory_bytes == 0
