"""Durable work queues: what survives a restart, a power cut and a full disk, and what is given back."""

from __future__ import annotations

import errno
import random
from pathlib import Path

import pytest

from held_log import HeldLog
from hubbub.broker.work_item import Item
from hubbub.broker.work_memory import MemoryMarks
from hubbub.broker.work_settings import WorkQueueSettings
from hubbub.log.disk import DiskLog
from hubbub.model.address import Address
from hubbub.model.errors import StorageError, StorageFullError
from simulated_disk import SimulatedDisk
from work_queue_world import Bench, numbers

DIRECTORY = Path("/data")


@pytest.fixture
def bench():
    return Bench()


def durable(bench, name="q", **settings):
    return bench.open(name, durable=True, **settings)


def store(bench, queue, *values, **fields):
    return bench.put(queue, *values, persistent=True, **fields)


def end_of(queue):
    return queue.log.partition.end_offset


def on_disk(disk=None, now=0.0):
    """A bench on a simulated disk; nothing is synced unless the test does it."""
    return Bench(DiskLog(DIRECTORY, disk or SimulatedDisk()), now)


def sync(bench):
    work = bench.log.begin_sync()
    if work is not None:
        work.run()
        work.note()
        work.finish()


# --- restarts ---------------------------------------------------------------------------------


def test_a_durable_queue_is_there_again_with_its_settings_and_attributes(bench):
    settings = WorkQueueSettings(durable=True, priorities=3, max_length=9, overflow="reject")
    bench.queues.open("q", settings, b"attributes")
    bench.open("transient")
    again = bench.restarted()
    assert [queue.name for queue in again.queues] == ["q"]
    queue = again.queues.get("q")
    assert (queue.settings, queue.attributes) == (settings, b"attributes")
    assert durable(again) is queue


def test_a_queue_may_have_any_name(bench):
    names = ["", "a.b", "amq.gen-Ж", "#", "x" * 255]
    for name in names:
        durable(bench, name)
    assert sorted(queue.name for queue in bench.restarted().queues) == sorted(names)


def test_persistent_messages_are_there_again_whole_and_in_order(bench):
    queue = durable(bench)
    item = Item(b"value", b"mark", timestamp_ms=7, ttl_ms=900, persistent=True)
    queue.put(item)
    store(bench, queue, *numbers(*range(100)), mark=b"m")
    again = bench.restarted().queues.get("q")
    assert (again.ready, again.ready_bytes) == (101, queue.ready_bytes)
    first = again.get().item()
    for field in ("value", "mark", "timestamp_ms", "ttl_ms", "persistent"):
        assert getattr(first, field) == getattr(item, field)
    assert [again.get().item().value for _ in range(100)] == numbers(*range(100))
    assert again.get() is None


def test_an_empty_value_and_no_mark_are_stored_as_such(bench):
    store(bench, durable(bench), b"")
    item = bench.restarted().queues.get("q").get().item()
    assert (item.value, item.mark) == (b"", b"")


def test_what_is_not_persistent_never_touches_the_disk(bench):
    queue = durable(bench)
    before = end_of(queue)
    bench.put(queue, b"1")
    bench.join(queue).settle()
    bench.queues.flush()
    assert end_of(queue) == before
    bench.put(queue, b"2")
    assert bench.restarted().queues.get("q").ready == 0


def test_a_transient_queue_stores_nothing(bench):
    topics = len(list(bench.broker.topics))
    queue = bench.open()
    store(bench, queue, b"1")
    done = []
    queue.when_durable(done.append)
    assert (done, len(list(bench.broker.topics))) == ([None], topics)


def test_persistent_and_transient_messages_keep_their_common_order(bench):
    queue = durable(bench)
    for number in range(10):
        queue.put(Item(b"%d" % number, persistent=number % 3 == 0))
    bench.queues.flush()
    assert bench.drain(queue) == numbers(*range(10))
    again = bench.restarted()
    assert again.drain(again.queues.get("q")) == numbers(0, 3, 6, 9)


def test_what_is_settled_does_not_come_back_and_what_is_leased_does(bench):
    queue = durable(bench)
    store(bench, queue, *numbers(*range(10)))
    tray = bench.join(queue, 6)
    for at in (5, 1, 2, 0):
        queue.settle(tray.entries[at])
    bench.queues.flush()
    again = bench.restarted()
    assert again.drain(again.queues.get("q")) == numbers(3, 4, 6, 7, 8, 9)


def test_a_burst_and_what_it_settles_are_one_batch(bench):
    queue = durable(bench)
    store(bench, queue, *numbers(*range(10)))
    tray = bench.join(queue)
    before = end_of(queue)
    tray.settle()
    store(bench, queue, b"10", b"11")
    assert end_of(queue) == before + 3


def test_what_is_purged_before_it_was_written_is_never_written(bench):
    queue = durable(bench)
    before = end_of(queue)
    queue.put(Item(b"1", persistent=True))
    assert queue.purge() == 1
    done = []
    queue.when_durable(done.append)
    bench.queues.flush()
    assert (end_of(queue), done) == (before, [None])


def test_a_purge_is_durable(bench):
    queue = durable(bench)
    store(bench, queue, *numbers(*range(10)))
    entry = queue.get()
    queue.purge()
    bench.queues.flush()
    again = bench.restarted()
    assert again.drain(again.queues.get("q")) == [b"0"]
    assert entry.item().value == b"0"


def test_the_order_goes_on_after_a_restart(bench):
    queue = durable(bench, priorities=2)
    store(bench, queue, b"1", b"2", priority=1)
    store(bench, queue, b"3", priority=2)
    again = bench.restarted()
    queue = again.queues.get("q")
    store(again, queue, b"4", priority=1)
    assert again.drain(queue) == numbers(3, 1, 2, 4)
    once_more = again.restarted()
    assert once_more.drain(once_more.queues.get("q")) == numbers(3, 1, 2, 4)


def test_how_often_a_message_was_given_back_is_remembered(bench):
    queue = durable(bench, delivery_limit=3)
    store(bench, queue, *numbers(1, 2))
    for _ in range(2):
        queue.give_back(queue.get(), True)
    queue.give_back(queue.get(), False)
    bench.queues.flush()
    queue = bench.restarted().queues.get("q")
    first, second = queue.get(), queue.get()
    assert (first.deliveries, second.deliveries) == (2, 0)


def test_an_expiry_stays_when_it_was_across_a_restart(bench):
    queue = durable(bench)
    store(bench, queue, b"1", ttl_ms=5000)
    store(bench, queue, b"2")
    bench.pass_time(4.0)
    again = bench.restarted()
    again.pass_time(0.5)
    assert again.queues.get("q").ready == 2
    again.pass_time(0.5)
    assert again.queues.get("q").ready == 1


def test_what_expired_while_nobody_was_there_is_a_dead_letter_at_once(bench):
    queue = durable(bench, message_ttl_ms=1000)
    store(bench, queue, *numbers(1, 2))
    again = Bench(bench.log, now=9.0)
    letters = []
    again.queues.get("q").on_dead = lambda entry, why: letters.append((entry.item().value, why))
    again.pass_time()
    assert letters == [(b"1", "expired"), (b"2", "expired")]


def test_a_deleted_queue_does_not_come_back(bench):
    queue = durable(bench)
    store(bench, queue, b"1")
    bench.queues.delete(queue)
    assert bench.queues.get("q") is None
    topics = len(list(bench.broker.topics))
    again = bench.restarted()
    assert list(again.queues) == []
    fresh = durable(again)
    assert (fresh.ready, len(list(again.broker.topics))) == (0, topics + 1)


def test_the_log_of_a_half_deleted_queue_is_found_and_deleted(bench):
    durable(bench)
    bench.broker.table(b"work-queues").put((b"1", None))
    again = bench.restarted()
    assert list(again.queues) == []
    assert again.broker.topics.get(Address("__hubbub_queue.1")) is None
    durable(again)
    assert again.broker.topics.get(Address("__hubbub_queue.2")) is not None


def test_what_may_have_been_delivered_before_a_stop_says_so(bench):
    queue = durable(bench)
    store(bench, queue, *numbers(*range(4)))
    entries = [queue.get(), queue.get()]
    assert [entry.redelivered for entry in entries] == [False, False]
    bench.queues.close()
    again = bench.restarted()
    queue = again.queues.get("q")
    store(again, queue, b"4")
    entries = [queue.get() for _ in range(5)]
    assert [entry.redelivered for entry in entries] == [True, True, False, False, False]
    for entry in entries[:4]:
        queue.settle(entry)
    again.queues.flush()  # and then it is killed
    assert again.restarted().queues.get("q").get().redelivered


def test_a_broker_that_stops_stores_what_was_not_flushed_yet():
    disk = SimulatedDisk()
    bench = on_disk(disk)
    queue = durable(bench)
    store(bench, queue, *numbers(1, 2))
    queue.settle(queue.get())
    queue.put(Item(b"3", persistent=True))
    bench.broker.close()
    again = on_disk(disk.kill())
    queue = again.queues.get("q")
    entries = [queue.get(), queue.get()]
    assert [(entry.item().value, entry.redelivered) for entry in entries] == [
        (b"2", False),
        (b"3", False),
    ]


# --- crashes ----------------------------------------------------------------------------------


def test_when_durable_waits_for_the_sync():
    bench = Bench(HeldLog())
    queue = durable(bench)
    bench.log.sync()
    done = []
    queue.put(Item(b"1", persistent=True))
    queue.when_durable(done.append)
    bench.queues.flush()
    assert done == []
    bench.log.sync()
    assert done == [None]
    tray = bench.join(queue)
    tray.settle()
    queue.when_durable(done.append)
    assert done == [None]
    bench.log.sync()
    assert done == [None, None]


def test_messages_are_delivered_before_they_are_durable():
    bench = Bench(HeldLog())
    queue = durable(bench)
    tray = bench.join(queue)
    store(bench, queue, b"1")
    assert tray.values == [b"1"]


@pytest.mark.parametrize("seed", range(20))
def test_a_power_cut_takes_nothing_that_was_called_durable(seed):
    rng = random.Random(seed)
    disk = SimulatedDisk()
    bench = on_disk(disk)
    queue = durable(bench)
    sync(bench)
    safe, settled, unsure = [], set(), set()
    tray = bench.join(queue, 0)
    for number in range(60):
        tray.limit = rng.randrange(8)
        queue.wake()
        store(bench, queue, b"%d" % number)
        queue.when_durable(lambda failure, value=b"%d" % number: safe.append(value))
        while tray.entries and rng.random() < 0.6:
            entry = tray.entries.pop(rng.randrange(len(tray.entries)))
            value = entry.item().value
            queue.settle(entry)
            unsure.add(value)
            queue.when_durable(lambda failure, value=value: settled.add(value))
        if rng.random() < 0.3:
            sync(bench)
        if rng.random() < 0.1:
            bench.queues.trim()
    again = on_disk(disk.crash(rng))
    found = again.drain(again.queues.get("q"))
    assert found == sorted(found, key=int)
    assert not settled & set(found)
    assert {value for value in safe if value not in unsure} <= set(found)


@pytest.mark.parametrize("seed", range(10))
def test_a_kill_takes_nothing_that_was_flushed_and_brings_back_nothing_settled(seed):
    rng = random.Random(seed)
    disk = SimulatedDisk()
    bench = on_disk(disk)
    queue = durable(bench)
    tray = bench.join(queue, 5)
    expected = {}
    for number in range(100):
        store(bench, queue, b"%d" % number)
        expected[number] = True
        while tray.entries and rng.random() < 0.7:
            entry = tray.entries.pop(rng.randrange(len(tray.entries)))
            del expected[int(entry.item().value)]
            queue.settle(entry)
        bench.queues.flush()
    again = on_disk(disk.kill())
    assert again.drain(again.queues.get("q")) == numbers(*expected)


def test_every_cut_of_the_log_leaves_a_prefix_of_what_happened():
    disk = SimulatedDisk()
    bench = on_disk(disk)
    queue = durable(bench)
    states = []
    for number in range(6):
        store(bench, queue, b"%d" % (2 * number), b"%d" % (2 * number + 1))
        queue.settle(queue.get())
        bench.queues.flush()
        states.append(sorted(bench.drain(queue)))
    possible = [[], *states]
    # A cut within the second batch of a round leaves the messages of its first.
    possible += [
        sorted({*(states[number - 1] if number else []), *numbers(2 * number, 2 * number + 1)})
        for number in range(6)
    ]
    path = next(
        name for name in disk.kill()._names if name.endswith(".log") and _holds(disk, name, b"11")
    )
    whole = bytes(disk._names[path].data)
    for cut in range(len(whole)):
        broken = disk.kill()
        node = broken._names[path]
        node.data = bytearray(whole[:cut])
        node.durable = bytes(node.data)
        again = on_disk(broken)
        assert sorted(again.drain(again.queues.get("q"))) in possible


def _holds(disk, name, value):
    node = disk._names[name]
    return node is not None and b"\x04" + value in bytes(node.data)


# --- dead letters -----------------------------------------------------------------------------


@pytest.mark.parametrize("power_cut", [True, False])
def test_a_dead_letter_is_in_one_of_both_queues_at_any_time(power_cut):
    bench = Bench(HeldLog())
    queue, dead = durable(bench), durable(bench, "dead")
    queue.on_dead = lambda entry, _: dead.put(entry.item())
    store(bench, queue, *numbers(1, 2))
    bench.log.sync()
    queue.reject(queue.get())
    bench.queues.flush()
    bench.queues.trim()

    def found():
        again = Bench(bench.log.survivor(power_cut=power_cut))
        return {value for each in again.queues for value in again.drain(each)}

    assert found() == {b"1", b"2"}
    dead.log.partition.sync()
    bench.pass_time()
    bench.log.sync()
    again = Bench(bench.log.survivor(power_cut=power_cut))
    assert again.drain(again.queues.get("q")) == [b"2"]
    assert again.drain(again.queues.get("dead")) == [b"1"]


def test_a_dead_letter_whose_queue_is_deleted_is_settled_with_it():
    bench = Bench(HeldLog())
    queue, dead = durable(bench), durable(bench, "dead")
    queue.on_dead = lambda entry, _: dead.put(entry.item())
    store(bench, queue, b"1")
    queue.reject(queue.get())
    bench.queues.flush()
    bench.queues.delete(dead)
    bench.log.partitions[bench.broker.topics.get(Address("__hubbub_queue.1")).number, 0].sync()
    for partition in bench.log.partitions.values():
        partition.fail(StorageError("gone"))
    assert queue.log.live.count == 0


def test_a_dead_letter_in_memory_only_is_settled_at_once(bench):
    queue, dead = durable(bench), bench.open("dead")
    queue.on_dead = lambda entry, _: dead.put(entry.item())
    store(bench, queue, b"1")
    queue.reject(queue.get())
    assert queue.log.live.count == 0


# --- a disk that refuses ----------------------------------------------------------------------


def test_what_a_full_disk_refuses_is_not_in_the_queue_and_its_publisher_is_told():
    disk = SimulatedDisk()
    bench = on_disk(disk)
    queue = durable(bench)
    tray = bench.join(queue)
    store(bench, queue, b"0")
    disk.fail("append", 1, errno.ENOSPC)
    done = []
    queue.put(Item(b"1", persistent=True))
    queue.put(Item(b"2"))
    bench.queues.flush()
    queue.when_durable(done.append)
    assert (tray.values, queue.ready) == (numbers(0, 2), 0)
    assert isinstance(queue.failure, StorageFullError)
    assert done == [queue.failure]
    disk.heal()
    store(bench, queue, b"3")
    assert (queue.failure, tray.values) == (None, numbers(0, 2, 3))
    del tray
    again = on_disk(disk.kill())
    assert again.drain(again.queues.get("q")) == numbers(0, 3)


def test_what_was_settled_on_a_full_disk_is_written_when_there_is_room():
    disk = SimulatedDisk()
    bench = on_disk(disk)
    queue = durable(bench)
    store(bench, queue, *numbers(1, 2))
    entry = queue.get()
    disk.fail("append", 1, errno.ENOSPC)
    queue.settle(entry)
    bench.queues.flush()
    disk.heal()
    bench.pass_time(1.0)
    again = on_disk(disk.kill())
    assert again.drain(again.queues.get("q")) == [b"2"]


def test_a_queue_that_cannot_be_stored_is_not_made():
    disk = SimulatedDisk()
    bench = on_disk(disk)
    disk.fail("append", 1, errno.ENOSPC, times=9)
    with pytest.raises(StorageError):
        durable(bench)
    assert bench.queues.get("q") is None
    disk.heal()
    store(bench, durable(bench), b"1")
    again = on_disk(disk.kill())
    assert again.drain(again.queues.get("q")) == [b"1"]


def test_an_early_flush_of_a_refusing_queue_keeps_its_failure_for_the_publisher(monkeypatch):
    disk = SimulatedDisk()
    bench = on_disk(disk)
    queue = durable(bench, max_length=1, overflow="reject")
    tray = bench.join(queue)
    disk.fail("append", 1, errno.ENOSPC)
    queue.put(Item(b"1", persistent=True))
    disk.free = 0
    queue.put(Item(b"2"))
    queue.put(Item(b"3"))
    bench.queues.flush()
    assert isinstance(queue.failure, StorageFullError)
    assert tray.values == numbers(2, 3)


def test_an_early_flush_has_a_failure_of_its_own_after_one_that_was_told():
    disk = SimulatedDisk()
    bench = on_disk(disk)
    queue = durable(bench, max_length=1, overflow="reject")
    tray = bench.join(queue)
    done = []
    for values in (numbers(1), numbers(2, 3)):
        disk.fail("append", 1, errno.ENOSPC)
        for value in values:
            queue.put(Item(value, persistent=value != b"3"))
        bench.queues.flush()
        queue.when_durable(done.append)
        disk.heal()
    assert tray.values == numbers(3)
    assert [type(failure) for failure in done] == [StorageFullError] * 2
    store(bench, queue, b"4")
    store(bench, queue, b"5")
    assert (queue.failure, tray.values) == (None, numbers(3, 4, 5))


# --- memory -----------------------------------------------------------------------------------


def fill(bench, queue, count, size=1000):
    for start in range(0, count, 50):
        store(bench, queue, *[b"%d:" % at + b"x" * size for at in range(start, start + 50)])


def test_stored_messages_far_behind_leave_memory_and_come_in_order(bench):
    queue = durable(bench)
    queue.held_most = 100_000
    fill(bench, queue, 5000)
    assert queue.ready == 5000
    assert bench.queues.memory_bytes < 2_000_000
    tray = bench.join(queue, settles=True)
    assert [int(value.split(b":")[0]) for value in tray.values] == list(range(5000))
    bench.queues.flush()
    assert (bench.queues.memory_bytes, queue.log.live.count) == (0, 0)


def test_messages_on_lease_leave_memory_once_they_can_be_read_again():
    bench = Bench(HeldLog())
    queue = durable(bench)
    queue.held_most = 100_000
    tray = bench.join(queue)
    fill(bench, queue, 5000)
    assert bench.queues.memory_bytes > 5_000_000
    bench.log.sync()
    store(bench, queue, b"5000:")
    assert bench.queues.memory_bytes < 2_000_000
    assert [int(entry.item().value.split(b":")[0]) for entry in tray.entries] == list(range(5001))
    tray.give_back()
    tray.values.clear()
    bench.queues.flush()
    assert [int(value.split(b":")[0]) for value in tray.values] == list(range(5001))
    tray.settle()
    bench.queues.flush()
    assert (bench.queues.memory_bytes, queue.unsettled) == (0, 0)


def test_a_recovered_queue_holds_nothing_in_memory_before_somebody_takes(bench):
    fill(bench, durable(bench), 1000)
    again = bench.restarted()
    queue = again.queues.get("q")
    assert (queue.ready, again.queues.memory_bytes) == (1000, 0)
    assert len(again.drain(queue)) == 1000


def test_a_dead_letter_from_far_behind_is_read_again(bench):
    queue = durable(bench, max_length=1000)
    queue.held_most = 10_000
    fill(bench, queue, 1000)
    letters = []
    queue.on_dead = lambda entry, _: letters.append(entry.item().value.split(b":")[0])
    fill(bench, queue, 1000)
    assert letters == numbers(*range(1000))


def test_pressure_is_told_when_it_begins_and_when_it_ends(bench):
    memory = bench.queues.memory
    memory.marks = MemoryMarks(high=10_000, low=5000)
    told = []
    memory.on_pressure = told.append
    queue = bench.open()
    for _ in range(20):
        bench.put(queue, b"x" * 1000)
    assert (told, memory.under_pressure) == ([True], True)
    tray = bench.join(queue)
    tray.settle(10)
    bench.queues.flush()
    assert told == [True]
    tray.settle()
    bench.put(queue, b"")
    assert (told, memory.under_pressure) == ([True, False], False)


def test_pressure_ends_with_the_last_settlement_where_nothing_waits(bench):
    memory = bench.queues.memory
    memory.marks = MemoryMarks(high=10_000, low=5000)
    told = []
    memory.on_pressure = told.append
    queue = bench.open()
    tray = bench.join(queue)
    bench.put(queue, *[b"x" * 1000] * 20)
    assert (told, queue.ready) == ([True], 0)
    tray.settle()
    bench.queues.flush()
    assert told == [True, False]


def test_queues_together_let_go_of_what_is_stored_before_anybody_is_held_back(bench):
    bench.queues.memory.marks = MemoryMarks(page=500_000, page_each=10_000)
    queues = [durable(bench, str(number)) for number in range(10)]
    for _ in range(5):
        for queue in queues:
            fill(bench, queue, 50)
    assert bench.queues.memory_bytes < 700_000
    assert all(len(bench.drain(queue)) == 250 for queue in queues)


def test_a_message_that_the_log_has_lost_is_passed_over(bench, monkeypatch):
    queue = durable(bench)
    store(bench, queue, *numbers(1, 2))
    store(bench, queue, b"3")
    bench = bench.restarted()
    queue = bench.queues.get("q")
    partition = queue.log.partition
    del partition._entries[0], partition._next_offsets[0]
    assert bench.drain(queue) == [b"3"]
    assert queue.log.live.count == 1


def test_a_disk_that_cannot_be_read_now_is_tried_again(bench, monkeypatch):
    store(bench, durable(bench), *numbers(1, 2))
    bench = bench.restarted()
    queue = bench.queues.get("q")
    partition = queue.log.partition

    def refuse(*_args, **_kwargs):
        raise StorageError("cannot be read")

    monkeypatch.setattr(partition, "read", refuse)
    tray = bench.join(queue)
    assert queue.get() is None
    monkeypatch.undo()
    bench.pass_time(1.0)
    assert tray.values == numbers(1, 2)


def test_many_that_expire_at_once_are_dead_letters_in_portions():
    bench = on_disk()
    queue = durable(bench, message_ttl_ms=1000)
    fill(bench, queue, 10_000)
    sync(bench)
    bench = Bench(bench.log, now=9.0)
    queue, letters = bench.queues.get("q"), bench.open("dead", durable=True)
    letters.held_most = 1_000_000
    queue.on_dead = lambda entry, _: letters.put(Item(entry.item().value, persistent=True))
    tray = bench.join(queue)
    assert queue.get() is None
    most_in_a_turn = most_in_memory = 0
    while queue.ready:
        before = letters.ready
        bench.pass_time(0.001)
        most_in_a_turn = max(most_in_a_turn, letters.ready - before)
        most_in_memory = max(most_in_memory, bench.queues.memory_bytes)
        sync(bench)
    assert 0 < most_in_a_turn <= 2000
    assert most_in_memory < 6_000_000
    found = [int(value.split(b":")[0]) for value in bench.drain(letters)]
    assert (found, tray.values) == (list(range(10_000)), [])


def test_a_dead_letter_that_cannot_be_read_now_waits_for_the_disk(bench, monkeypatch):
    store(bench, durable(bench, message_ttl_ms=1000), *numbers(1, 2))
    bench = Bench(bench.log, now=9.0)
    queue = bench.queues.get("q")
    letters = []
    queue.on_dead = lambda entry, _: letters.append(entry.item().value)

    def refuse(*_args, **_kwargs):
        raise StorageError("cannot be read")

    monkeypatch.setattr(queue.log.partition, "read", refuse)
    bench.pass_time()
    due = bench.timers.next_due()
    assert (letters, queue.ready) == ([], 2)
    assert due == bench.timers.now + 1.0
    monkeypatch.undo()
    bench.pass_time(1.0)
    assert (letters, queue.ready) == (numbers(1, 2), 0)


# --- space on the disk ------------------------------------------------------------------------


def test_what_no_queue_needs_is_given_back(bench):
    queue = durable(bench)
    fill(bench, queue, 1000)
    tray = bench.join(queue)
    tray.settle(500)
    bench.queues.flush()
    bench.queues.trim()
    assert queue.log.partition.start_offset == queue.log.live.first() == 500
    tray.settle()
    bench.queues.flush()
    bench.queues.trim()
    assert queue.log.partition.start_offset == end_of(queue)


def test_cleaning_trims_the_logs_of_queues(bench):
    queue = durable(bench)
    fill(bench, queue, 50)
    bench.join(queue).settle()
    bench.queues.flush()
    bench.pass_time(bench.broker.config.cleaning_interval)
    assert queue.log.partition.start_offset == end_of(queue)


def test_a_busy_queue_gives_space_back_without_being_asked(bench):
    queue = durable(bench)
    tray = bench.join(queue)
    value = b"x" * 1_000_000
    for _ in range(40):
        store(bench, queue, value)
        tray.settle()
        bench.queues.flush()
    assert queue.log.partition.start_offset > 10


def test_a_few_old_messages_do_not_keep_a_large_log(bench):
    bench.queues.rewrite_bytes = 200_000
    queue = durable(bench, priorities=3)
    old = {"priority": 1, "mark": b"mark", "timestamp_ms": 5, "ttl_ms": 10**9}
    store(bench, queue, *numbers(*range(6)), **old)
    queue.give_back(queue.get(), True)
    leased = [queue.get() for _ in range(3)]
    queue.give_back(leased.pop(1), False)
    for _ in range(10):
        fill(bench, queue, 50)
        settle_all_but_old(bench, queue)
        bench.queues.trim()
        bench.pass_time()
        bench.pass_time()
    topic = bench.broker.topics.get(Address("__hubbub_queue.1"))
    assert bench.log.sizes(topic.number)[0] < 300_000
    again = bench.restarted()
    entries = [again.queues.get("q").get() for _ in range(6)]
    assert [entry.item().value for entry in entries] == numbers(*range(6))
    assert [entry.deliveries for entry in entries] == [1, 0, 0, 0, 0, 0]
    assert (entries[5].item().mark, entries[5].item().ttl_ms) == (b"mark", 10**9)
    queue.settle(leased[0])
    queue.purge()
    queue.settle(leased[1])
    bench.queues.flush()
    assert queue.log.live.count == 0


def test_a_log_is_stored_anew_once_and_not_again_before_less_of_it_is_needed(bench):
    bench.queues.rewrite_bytes = 20_000
    queue = durable(bench)
    store(bench, queue, *[b""] * 1000, mark=b"much more than the value")
    first = end_of(queue)
    trim_again_and_again(bench)
    assert end_of(queue) <= first + 1001
    tray = bench.join(queue)
    for entry in tray.entries[10:]:
        queue.settle(entry)
    bench.queues.flush()
    first = end_of(queue)
    trim_again_and_again(bench)
    assert end_of(queue) == queue.log.live.first() + 11 > first
    assert [entry.item().mark for entry in tray.entries[:10]] == [b"much more than the value"] * 10


def trim_again_and_again(bench):
    for _ in range(5):
        bench.queues.trim()
        for _ in range(5):
            bench.pass_time()


def settle_all_but_old(bench, queue):
    """They have the higher priority."""
    tray = bench.join(queue)
    queue.leave(tray)
    for entry in tray.entries:
        if len(entry.item().value) > 1:
            queue.settle(entry)
        else:
            queue.give_back(entry, False)
    bench.queues.flush()


@pytest.mark.parametrize("seed", range(10))
def test_a_power_cut_while_a_log_is_stored_anew_takes_nothing(seed):
    rng = random.Random(seed)
    disk = SimulatedDisk()
    bench = on_disk(disk)
    bench.queues.rewrite_bytes = 20_000
    queue = durable(bench)
    store(bench, queue, *numbers(*range(5)))
    leased = queue.get()
    sync(bench)
    for _ in range(3):
        fill(bench, queue, 50)
        settle_all_but_old(bench, queue)
        if rng.random() < 0.5:
            sync(bench)
        bench.queues.trim()
        bench.pass_time()
        if rng.random() < 0.5:
            sync(bench)
        bench.queues.trim()
    again = on_disk(disk.crash(rng))
    found = again.drain(again.queues.get("q"))
    assert [value for value in found if len(value) == 1] == numbers(*range(5))
    assert leased.item().value == b"0"


def test_the_old_place_of_what_is_stored_anew_stays_until_the_new_one_is_durable():
    bench = Bench(HeldLog())
    bench.queues.rewrite_bytes = 0
    queue = durable(bench)
    store(bench, queue, *numbers(*range(5)))
    fill(bench, queue, 50)
    settle_all_but_old(bench, queue)
    bench.log.sync()
    bench.queues.trim()
    bench.pass_time()
    bench.pass_time()
    assert queue.log.live.first() > 50
    bench.queues.trim()
    again = Bench(bench.log.survivor(power_cut=True))
    assert again.drain(again.queues.get("q")) == numbers(*range(5))
    bench.log.sync()
    assert queue.log.partition.start_offset > 50
    assert bench.drain(queue) == numbers(*range(5))


def test_nothing_is_lost_where_the_disk_is_full_while_a_log_is_stored_anew():
    disk = SimulatedDisk()
    bench = on_disk(disk)
    bench.queues.rewrite_bytes = 20_000
    queue = durable(bench)
    store(bench, queue, *numbers(*range(5)))
    fill(bench, queue, 50)
    settle_all_but_old(bench, queue)
    bench.queues.trim()
    disk.fail("append", 1, errno.ENOSPC)
    before = queue.log.live.first()
    bench.pass_time()
    assert queue.log.live.first() == before
    disk.heal()
    bench.queues.trim()
    bench.pass_time()
    assert queue.log.live.first() > before
    again = on_disk(disk.kill())
    assert again.drain(again.queues.get("q")) == numbers(*range(5))
