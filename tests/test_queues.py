"""Queues: what their patterns select is theirs until it is settled, and costs others nothing."""

from __future__ import annotations

import math
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from held_log import HeldLog
from hubbub.broker import backlog, feed
from hubbub.broker import queue as queue_module
from hubbub.broker.listing import SubscriberInfo, SubscriptionInfo, subscribers, subscriptions
from hubbub.broker.listing import topics as listed_topics
from hubbub.broker.names import QUEUED
from hubbub.broker.queue import Queue
from hubbub.broker.replay import Replay
from hubbub.broker.shared import SharedSettings
from hubbub.log.batch import encode
from hubbub.log.disk import DiskLog
from hubbub.model.address import Address, parse_address
from hubbub.model.errors import (
    CorruptLogError,
    InvalidSettingsError,
    MessageTooLargeError,
    StorageError,
)
from hubbub.model.message import Message
from hubbub.model.pattern import Exact, Glob, parse_pattern
from hubbub.model.settings import TopicSettings
from simulated_disk import SimulatedDisk
from test_broker import Recorder, Worker, World

UNTIL_THEY_LEAVE = SharedSettings(ack_deadline=math.inf)
DATA = Path("/data")


@pytest.fixture
def world():
    return World()


def make(world, *patterns, name="q", limit=None, **options):
    settings = SharedSettings(**{"ack_deadline": math.inf, **options})
    queue = world.broker.queues.open(name, settings, limit)
    for pattern in patterns:
        queue.bind(parse_pattern(pattern))
    return queue


def join(world, queue, credit=100_000):
    worker = Worker(credit)
    queue.join(worker)
    world.pass_time()
    return worker


def drain(world, queue):
    """What the queue holds, which it has back afterwards."""
    worker = join(world, queue)
    queue.leave(worker)
    world.pass_time()
    return worker.values


def numbers(*some):
    return [b"%d" % number for number in some]


def restarted(world):
    again = World(world.log)
    again.pass_time()
    return again


def drain_after_restart(world):
    again = restarted(world)
    return drain(again, again.broker.queues.get("q"))


def queued_log(world):
    return world.broker.topics.get(QUEUED).partitions[0].log


def count_calls(monkeypatch, owner, name):
    calls = Counter()
    original = getattr(owner, name)

    def counting(self, *arguments, **options):
        calls[name] += 1
        return original(self, *arguments, **options)

    monkeypatch.setattr(owner, name, counting)
    return calls


def count_reads(monkeypatch, log):
    """The offsets that are read from now on."""
    offsets = []
    read = log.read

    def counting(offset, *arguments, **options):
        offsets.append(offset)
        return read(offset, *arguments, **options)

    monkeypatch.setattr(log, "read", counting)
    return offsets


# What is selected.


def test_a_queue_keeps_what_its_patterns_select_until_it_is_settled(world):
    queue = make(world, "a.*", "b")
    for number, address in enumerate(("a.x", "c", "b", "a.y.z", "a.y")):
        world.publish(address, b"%d" % number)
    worker = join(world, queue)
    assert worker.values == numbers(0, 2, 4)
    assert [each.record.message.address for each in worker.got] == ["a.x", "b", "a.y"]
    assert queue.lag == 3
    assert [queue.ack(delivery.lease) for delivery in worker.got] == [True] * 3
    assert queue.lag == 0
    queue.leave(worker)
    assert drain(world, queue) == []


def test_what_several_patterns_or_queues_select_is_kept_once_and_delivered_to_each_once(world):
    queues = [make(world, "a.*", "a.b", "#", name=name) for name in "xyz"]
    world.publish("a.b", b"1")
    assert queued_log(world).end_offset == 1
    world.broker.create_topic(parse_address("a.b"))
    world.publish("a.b", b"2")
    assert queued_log(world).end_offset == 2
    assert [drain(world, queue) for queue in queues] == [numbers(1, 2)] * 3


def test_a_message_that_no_queue_selects_is_not_kept(world):
    make(world, "a")
    assert world.publish("b", b"1").stored == ()
    assert queued_log(world).end_offset == 0


def test_a_binding_begins_with_what_is_published_after_it(world):
    make(world, "a", name="other")
    queue = make(world)
    world.publish("a", b"1")
    queue.bind(parse_pattern("a"))
    world.publish("a", b"2")
    assert drain(world, queue) == numbers(2)


def test_what_ends_with_a_binding_begins_after_what_it_selected(world):
    other, queue = make(world, "a", name="other"), make(world, "a", "b")
    world.publish("a", b"1")
    queue.unbind(parse_pattern("a"))
    world.publish("a", b"2")
    world.publish("b", b"3")
    assert queue.patterns == (Exact(Address("b")),)
    assert drain(world, queue) == numbers(1, 3)
    assert drain(world, other) == numbers(1, 2)
    assert drain_after_restart(world) == numbers(1, 3)


def test_nothing_is_kept_once_the_last_binding_ended(world):
    queues = [make(world, "a", name=name) for name in "xy"]
    for queue in queues:
        assert world.publish("a", b"1").stored
        queue.unbind(parse_pattern("a"))
        queue.unbind(parse_pattern("a"))
    assert world.publish("a", b"1").stored == ()
    assert queued_log(world).end_offset == 2


def test_binding_again_changes_nothing(world):
    queue = make(world, "a", "b.*")
    state = world.broker.topics.get(parse_address("__hubbub_state")).partitions[0].log
    before = state.end_offset
    queue.bind(parse_pattern("a"))
    queue.bind(parse_pattern("b.*"))
    assert state.end_offset == before
    queue.unbind(parse_pattern("a"))
    assert world.publish("a", b"1").stored == ()


def test_a_wildcard_character_may_be_a_letter(world):
    queue = make(world)
    queue.bind(Exact(Address("a.*")))
    again = restarted(world)
    again.publish("a.b", b"no")
    again.publish("a.*", b"yes")
    assert drain(again, again.broker.queues.get("q")) == [b"yes"]
    assert queue.patterns == again.broker.queues.get("q").patterns


def test_the_topic_of_queues_is_home_only_where_no_other_topic_captures(world):
    make(world, "#")
    home = world.broker.create_topic(parse_address("a"))
    audit = world.broker.create_topic(
        parse_address("audit"), settings=TopicSettings(captures=("b",))
    )
    queued = world.broker.topics.get(QUEUED)
    assert queued.queued
    assert not home.queued
    topics = {name: world.broker.routes.of(parse_address(name)).topics for name in "abc"}
    assert topics == {"a": (home, queued), "b": (audit, queued), "c": (queued,)}


def test_what_kafka_produces_is_queued_and_what_its_topic_refuses_is_not(world):
    topic = world.broker.create_topic(
        parse_address("t"), settings=TopicSettings(max_message_bytes=200)
    )
    queue = make(world, "t")
    world.broker.append(topic.partitions[0], encode([(1, b"k", b"1", ()), (2, None, b"2", ())]))
    with pytest.raises(MessageTooLargeError):
        world.publish("t", b"x" * 500)
    assert drain(world, queue) == numbers(1, 2)


def test_a_queue_takes_whatever_another_topic_took(world):
    world.broker.create_topic(
        parse_address("big"), settings=TopicSettings(max_message_bytes=10_000_000)
    )
    queue = make(world, "big")
    world.publish("big", b"x" * 5_000_000)
    assert [len(value) for value in drain(world, queue)] == [5_000_000]


def test_messages_arrive_as_they_were_published(world):
    queue = make(world, "a")
    message = Message(
        parse_address("a"),
        b"v",
        b"k",
        (("hubbub-address", b"elsewhere"), ("h", b"1")),
        5,
        message_id="7",
        reply_to=parse_address("r"),
        expiry_ms=9,
    )
    world.broker.publish(message)
    (delivery,) = join(world, queue).got
    assert delivery.record.message == message


def test_clients_do_not_see_the_topic_of_queues(world):
    queue = make(world, "a")
    live = Recorder()
    taken = []
    replay = Replay(
        world.broker, live.subscriber, parse_pattern("a"), "new", taken.append, live.observe
    )
    world.publish("a", b"1")
    world.pass_time()
    assert (live.values, taken) == ([b"1"], [])
    replay.close()
    assert listed_topics(world.broker) == []
    assert queue.lag == 1


def test_a_topic_shows_its_history_although_queues_have_a_copy(world):
    make(world, "t")
    world.broker.create_topic(parse_address("t"))
    world.publish("t", b"1")
    got = []

    def take(record):
        got.append(record.message.value)
        return True

    Replay(
        world.broker, Recorder().subscriber, parse_pattern("t"), "beginning", take, lambda _: None
    )
    world.pass_time()
    assert got == [b"1"]


# Who gets it.


def test_consumers_share_a_queue_and_get_no_more_than_they_have_room_for(world):
    queue = make(world, "a")
    first, second = join(world, queue, 3), join(world, queue, 2)
    world.publish("a", *numbers(*range(10)))
    world.pass_time()
    assert len(first.got) == 3
    assert len(second.got) == 2
    assert sorted(first.values + second.values) == numbers(*range(5))
    first.room = 8
    queue.dispatch()
    world.pass_time()
    assert sorted(first.values + second.values) == numbers(*range(10))


def test_backlog_and_what_comes_meanwhile_are_one_order(world, monkeypatch):
    monkeypatch.setattr(queue_module, "READ_AHEAD", 4)
    queue = make(world, "a")
    world.publish("a", *numbers(*range(50)))
    worker = join(world, queue, 10)
    for number in range(50, 90):
        world.publish("a", b"%d" % number)
        queue.ack(worker.got[number - 50].lease)
        worker.room += 2
        queue.dispatch()
        if number % 3:
            world.pass_time()
    world.pass_time()
    assert worker.values == numbers(*range(90))


def test_what_a_consumer_held_comes_first_and_in_order_when_it_left(world):
    queue = make(world, "a")
    leaving = [join(world, queue, 2) for _ in range(2)]
    world.publish("a", *numbers(*range(6)))
    world.pass_time()
    stays = join(world, queue, 0)
    for worker in leaving:  # they had every second one
        queue.leave(worker)
    stays.room = 10
    queue.dispatch()
    world.pass_time()
    assert stays.values == numbers(*range(6))
    assert [delivery.attempt for delivery in stays.got] == [2, 2, 2, 2, 1, 1]


def test_how_often_a_message_was_delivered_is_known_after_a_restart(world):
    queue = make(world, "a")
    world.publish("a", b"1")
    for _ in range(3):
        drain(world, queue)
    again = restarted(world)
    (delivery,) = join(again, again.broker.queues.get("q")).got
    assert delivery.attempt == 4


def test_a_refused_message_has_its_old_place(world, monkeypatch):
    monkeypatch.setattr(queue_module, "READ_AHEAD", 2)
    queue = make(world, "a")
    worker = join(world, queue, 2)
    world.publish("a", *numbers(*range(6)))
    world.pass_time()
    assert queue.nack(worker.got[0].lease)
    worker.room = 9
    queue.dispatch()
    world.pass_time()
    assert worker.values == numbers(0, 1, 0, 2, 3, 4, 5)


def test_a_lease_without_deadline_costs_no_timer_and_ends_when_the_consumer_leaves(world):
    queue = make(world, "a")
    worker = join(world, queue)
    before = len(world.timers._heap)
    world.publish("a", *numbers(*range(50)))
    world.pass_time()
    assert len(worker.got) == 50
    assert len(world.timers._heap) <= before + 1
    world.pass_time(1_000_000)
    assert len(worker.got) == 50
    assert queue.extend(worker.got[0].lease, 5)
    world.pass_time(6)
    assert worker.got[-1].attempt == 2


def test_a_deadline_is_kept_where_there_is_one(world):
    queue = make(world, "a", ack_deadline=10)
    worker = join(world, queue)
    world.publish("a", b"1")
    world.pass_time(10)
    world.pass_time(10)
    assert [delivery.attempt for delivery in worker.got] == [1, 2]


def test_a_lease_stands_for_one_message_however_often_consumers_come_and_go(world):
    queue = make(world, "a")
    world.publish("a", b"1", b"2")
    (first, *_) = join(world, queue).got
    for worker in list(queue._leases._consumers):
        queue.leave(worker)
    assert not queue.ack(first.lease)
    join(world, queue)
    assert not queue.ack(first.lease)
    assert not queue.nack(first.lease)
    assert queue.lag == 2


def test_what_nobody_could_handle_becomes_a_dead_letter(world):
    queue = make(world, "a", max_deliveries=2, dead_letter=parse_address("dead"))
    world.publish("a", b"bad", b"good")
    for _ in range(2):
        drain(world, queue)
    assert drain(world, queue) == []
    assert world.stored("dead") == [b"bad", b"good"]
    assert queue.lag == 0
    assert queue._leases is None


def test_a_dead_letter_that_is_not_taken_is_kept_and_tried_again(world, monkeypatch):
    queue = make(world, "a", max_deliveries=1, dead_letter=parse_address("dead"))
    world.publish("a", b"bad")
    drain(world, queue)
    waiting = []
    monkeypatch.setattr(
        world.broker.queues, "dead_letter", lambda *arguments: waiting.append(arguments[-1])
    )
    worker = join(world, queue)
    queue.leave(worker)
    world.publish("a", b"later")
    world.pass_time()
    assert queue.lag == 2
    waiting.pop()(StorageError("full"))  # nobody listens now
    assert queue.lag == 2
    assert queue._leases is None
    worker = join(world, queue)
    waiting.pop()(StorageError("full"))
    world.pass_time(29)
    assert waiting == []
    world.pass_time(1)
    waiting.pop()(None)
    assert worker.values == [b"later"]
    assert queue.lag == 1


def test_a_message_that_nobody_may_have_does_not_hold_back_the_others(world, monkeypatch):
    allowed = {"a"}
    monkeypatch.setattr(world.broker.queues, "may_receive", lambda _, address: address in allowed)
    queue = make(world, "a", "b")
    worker = join(world, queue)
    world.publish("b", b"1")
    world.publish("a", b"2")
    world.pass_time()
    assert worker.values == [b"2"]
    allowed.add("b")
    world.pass_time(30)
    assert worker.values == [b"2", b"1"]


# What stays in the log.


def test_a_queue_without_consumers_holds_offsets_only(world):
    queue = make(world, "a")
    worker = join(world, queue, 5)
    world.publish("a", *numbers(*range(100)))
    world.pass_time()
    queue.leave(worker)
    world.pass_time()
    assert queue._leases is None
    assert list(queue._backlog) == list(range(100))
    assert queue._backlog.itemsize == 8


def test_a_slow_consumer_costs_a_few_messages_of_memory(world):
    queue = make(world, "a")
    join(world, queue, 0)
    world.publish("a", *numbers(*range(1000)))
    world.pass_time()
    assert len(queue._leases._waiting) == queue_module.READ_AHEAD
    assert queue.lag == 1000


def test_who_comes_back_reads_what_is_its_own_and_no_more(world, monkeypatch):
    make(world, "#", name="everything")
    queue = make(world, "mine")
    for number in range(3000):
        world.publish("mine" if number % 1000 == 500 else "other", b"%d" % number)
    world.pass_time()
    reads = count_reads(monkeypatch, queued_log(world))
    assert drain(world, queue) == numbers(500, 1500, 2500)
    assert reads == [500, 1500, 2500]


def test_neighbours_are_read_once_for_all_queues_that_come_back(world, monkeypatch):
    queues = [make(world, "a", name=name) for name in "abcdefgh"]
    world.publish("a", *numbers(*range(200)))
    world.pass_time()
    decoded = count_calls(monkeypatch, backlog.Backlogs, "_read")
    workers = [Worker() for _ in queues]
    for queue, worker in zip(queues, workers, strict=True):
        queue.join(worker)
    world.pass_time()
    assert [worker.values for worker in workers] == [numbers(*range(100))] * 8
    assert decoded["_read"] == 1


def test_a_message_that_is_gone_is_settled(world):
    queue = make(world, "a")
    world.publish("a", *numbers(*range(10)))
    world.pass_time()
    queued_log(world).truncate_before(4)
    assert drain(world, queue) == numbers(*range(4, 10))
    assert queue.lag == 6


def test_a_damaged_range_is_settled_and_what_follows_is_delivered(world, monkeypatch):
    queue = make(world, "a")
    world.publish("a", *numbers(*range(10)))
    world.pass_time()
    log = queued_log(world)
    read = log.read

    def damaged(offset, max_bytes, **options):
        if offset < 7:
            raise CorruptLogError("bad", 0, 7)
        return read(offset, max_bytes, **options)

    monkeypatch.setattr(log, "read", damaged)
    assert drain(world, queue) == numbers(7, 8, 9)
    assert queue.lag == 3


def test_a_disk_that_cannot_be_read_is_tried_again(world, monkeypatch):
    queue, other = make(world, "a"), make(world, "b", name="other")
    world.publish("a", b"1")
    world.publish("b", b"2")
    world.pass_time()

    def broken(self, offset, size):
        raise StorageError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(backlog.Backlogs, "_read", broken)
        worker = join(world, queue)
        assert worker.got == []
        assert queue.lag == 1
    assert drain(world, other) == [b"2"]
    world.pass_time(1)
    assert worker.values == [b"1"]


# Limits.


def test_a_queue_that_is_full_drops_what_comes(world):
    queue = make(world, "a", limit=3)
    world.publish("a", *numbers(*range(5)))
    world.pass_time()
    assert (queue.lag, queue.dropped) == (3, 2)
    worker = join(world, queue, 1)
    queue.ack(worker.got[0].lease)
    world.publish("a", b"5", b"6")
    world.pass_time()
    queue.leave(worker)
    assert drain(world, queue) == numbers(1, 2, 5)
    assert queue.dropped == 3
    again = restarted(world)
    queue = again.broker.queues.get("q")
    assert (queue.limit, drain(again, queue)) == (3, numbers(1, 2, 5))


def test_where_a_full_queue_stands_is_told_in_few_words(world):
    queue = make(world, "a", limit=1100)
    worker = join(world, queue, 10_000)
    world.publish("a", *numbers(*range(1100)))
    world.pass_time()
    for delivery in tuple(worker.got):
        world.publish("a", b"more", b"and more")
        world.pass_time()
        queue.ack(delivery.lease)
    assert queue.lag <= 1100
    assert queue.dropped > 1000
    assert len(queue.state.settled) <= 600


def test_a_cursor_of_few_among_many_is_one_number(world):
    make(world, "#", name="everything")
    queue = make(world, "mine")
    worker = join(world, queue)
    for number in range(100):
        world.publish("mine", b"%d" % number)
        world.publish("other", *numbers(*range(10)))
    world.pass_time()
    for delivery in worker.got[:50]:
        queue.ack(delivery.lease)
    assert queue.state.floor == 50 * 11
    assert queue.state.settled == ()
    for delivery in worker.got[60:70]:
        queue.ack(delivery.lease)
    assert queue.state.settled == ((59 * 11 + 1, 70 * 11),)


# What is trimmed.


def test_the_log_is_trimmed_to_the_first_message_that_a_queue_waits_for(world):
    idle, queue = make(world, "never", name="idle"), make(world, "a")
    world.publish("a", *numbers(*range(10)))
    worker = join(world, queue)
    for delivery in worker.got[:4]:
        queue.ack(delivery.lease)
    assert idle.lag == 0
    world.pass_time(300)
    assert queued_log(world).start_offset == 4
    for delivery in worker.got[4:]:
        queue.ack(delivery.lease)
    world.pass_time(300)
    assert queued_log(world).start_offset == 10
    assert drain_after_restart(world) == []


def test_trimming_asks_some_queues_a_turn(world, monkeypatch):
    monkeypatch.setattr("hubbub.broker.queues._TRIM_STEP", 3)
    queues = [make(world, f"a.{number}", name=str(number)) for number in range(10)]
    world.publish("a.9", b"1")
    world.pass_time()
    asked = []
    original = Queue.floor.fget
    monkeypatch.setattr(
        Queue, "floor", property(lambda queue: asked.append(queue) or original(queue))
    )
    world.broker.queues.trim()
    per_turn = []
    while len(asked) < len(queues):
        per_turn.append(len(asked))
        world.timers.advance(world.timers.now, world.timers.wall_ms)
    assert per_turn == [3, 6, 9]
    world.pass_time()
    assert queued_log(world).start_offset == 0


def test_what_ended_is_remembered_only_as_long_as_it_matters(world):
    queue = make(world, "a", "b")
    world.publish("a", b"1")
    world.publish("b", b"2")
    queue.unbind(parse_pattern("a"))
    queue.unbind(parse_pattern("b"))
    worker = join(world, queue)
    queue.ack(worker.got[0].lease)
    world.broker.queues.trim()
    world.pass_time()
    assert [len(ended) for ended in world.broker.queues._ended.values()] == [2]
    queue.ack(worker.got[1].lease)
    world.broker.queues.trim()
    world.pass_time()
    assert world.broker.queues._ended == {}
    assert [key for key in world.broker.queues._state.load() if b"binding" in key] == []


# Restarts.


def test_queues_are_there_after_a_restart_and_keep_messages_before_anybody_opens_them(world):
    queue = make(world, "a.#", "b", limit=77)
    assert world.broker.queues.open("q") is queue
    again = World(world.log)
    again.publish("a.b.c", b"1")
    found = again.broker.queues.get("q")
    assert (found.settings, found.limit, found.patterns) == (
        queue.settings,
        77,
        queue.patterns,
    )
    assert [each.name for each in again.broker.queues] == ["q"]
    assert drain(again, found) == [b"1"]


def test_settings_change_when_a_queue_is_opened_with_others(world):
    queue = make(world, "a")
    world.broker.queues.open("q", SharedSettings(max_deliveries=1))
    world.broker.queues.open("q", limit=5)
    again = restarted(world).broker.queues.get("q")
    for found in (queue, again):
        assert (found.settings, found.limit) == (SharedSettings(max_deliveries=1), 5)


def test_what_was_settled_is_settled_after_a_restart_and_the_rest_is_not(world):
    queue = make(world, "a")
    world.publish("a", *numbers(*range(10)))
    worker = join(world, queue)
    for at in (0, 1, 4, 7):
        queue.ack(worker.got[at].lease)
    world.pass_time()
    assert drain_after_restart(world) == numbers(2, 3, 5, 6, 8, 9)


def test_one_reading_of_the_log_serves_all_queues_after_a_start(world, monkeypatch):
    for number in range(50):
        make(world, f"a.{number}", "all", name=str(number))
    for number in range(50):
        world.publish(f"a.{number}", b"own")
    world.publish("all", b"all")
    reads = count_reads(monkeypatch, queued_log(world))
    again = World(world.log)
    assert reads == []
    again.pass_time()
    assert [queue.lag for queue in again.broker.queues] == [2] * 50
    assert reads == [0, 51]


def test_a_long_log_is_read_in_steps(world, monkeypatch):
    monkeypatch.setattr(feed, "OFFERS_A_TURN", 100)
    queue = make(world, "a")
    world.publish("a", *numbers(*range(1000)))
    again = World(world.log)
    queue = again.broker.queues.get("q")
    worker = Worker(2000)
    queue.join(worker)
    turns = 0
    while len(worker.got) < 1000:
        turns += 1
        again.timers.advance(0, 0)
    assert turns >= 10
    assert worker.values == numbers(*range(1000))


def test_a_binding_that_counted_on_lost_messages_begins_at_the_end_after_a_power_cut():
    world = World(HeldLog())
    other = make(world, "a", name="other")
    world.log.sync()
    world.publish("a", *numbers(*range(10)))
    queue = make(world, "a")
    world.log.partitions[1, 0].sync()  # the state, and not the messages
    other.unbind(parse_pattern("a"))
    for _ in range(2):
        world = World(world.log.survivor(power_cut=True))
        world.publish("a", b"new")
        world.pass_time()
        world.log.sync()
    world = World(world.log.survivor(power_cut=True))
    world.pass_time()
    assert drain(world, world.broker.queues.get("q")) == [b"new", b"new"]
    assert queue.lag == 0


def test_changes_are_durable_when_they_are_said_to_be():
    world = World(HeldLog())
    world.log.sync()
    queue = make(world, "a")
    world.publish("a", b"1", b"2")
    world.log.sync()
    worker = join(world, queue)
    queue.ack(worker.got[0].lease)
    done = []
    world.broker.queues.when_durable(done.append)
    assert done == []
    world.log.sync()
    assert done == [None]
    again = World(world.log.survivor(power_cut=True))
    again.pass_time()
    assert drain(again, again.broker.queues.get("q")) == [b"2"]


def test_who_waits_for_durability_is_told_of_a_full_disk(world, monkeypatch):
    queue = make(world, "a")
    world.publish("a", b"1")
    worker = join(world, queue)
    full = StorageError("full")

    def refuse(*_):
        raise full

    done = []
    with monkeypatch.context() as patch:
        patch.setattr(world.broker.queues._state, "put", refuse)
        queue.ack(worker.got[0].lease)
        world.broker.queues.when_durable(done.append)
        world.pass_time()
        assert done == [full]
        for change in (
            lambda: queue.bind(parse_pattern("b")),
            lambda: queue.unbind(parse_pattern("a")),
            lambda: world.broker.queues.open("other"),
            lambda: world.broker.queues.open("q", limit=3),
            lambda: world.broker.queues.delete(queue),
        ):
            with pytest.raises(StorageError):
                change()
    assert queue.patterns == (parse_pattern("a"),)
    assert world.broker.queues.get("other") is None
    assert world.publish("b", b"no").stored == ()
    assert world.publish("a", b"2").stored
    world.pass_time(1)
    assert drain_after_restart(world) == [b"2"]


# Deletion, names.


def test_a_deleted_queue_leaves_nothing_behind(world):
    queue = make(world, "a", "b", "c.*")
    world.publish("a", b"1")
    queue.unbind(parse_pattern("b"))
    worker = join(world, queue)
    world.broker.queues.delete(queue)
    world.broker.queues.delete(queue)
    assert not queue.ack(worker.got[0].lease)
    assert world.broker.queues.get("q") is None
    assert world.publish("a", b"2").stored == ()
    world.pass_time()
    assert world.broker.queues._state.load() == {}
    with pytest.raises(InvalidSettingsError):
        queue.bind(parse_pattern("a"))
    again = make(world, "a")
    assert again.lag == 0
    world.publish("a", b"3")
    assert drain(world, again) == [b"3"]
    assert worker.values == [b"1"]
    assert drain_after_restart(world) == [b"3"]


def test_a_deletion_that_a_crash_cut_in_two_is_finished(world):
    queue = make(world, "a")
    world.broker.queues._state.put((b"queue:%d" % queue.number, None))
    again = restarted(world)
    assert again.broker.queues.get("q") is None
    assert again.publish("a", b"1").stored == ()
    assert again.broker.queues._state.load() == {}


def test_names_and_patterns_are_checked(world):
    with pytest.raises(InvalidSettingsError):
        world.broker.queues.open("x" * 256)
    queue = world.broker.queues.open("x" * 255)
    with pytest.raises(InvalidSettingsError):
        queue.bind(Glob(b"a*"))


def test_queues_are_listed_with_their_lag(world):
    queue = make(world, *"abcd")
    world.publish("a", b"1", b"2")
    join(world, queue)
    assert subscriptions(world.broker) == [
        SubscriptionInfo("queue", "q", "a b c ...", ("test:worker",), 2)
    ]
    assert subscribers(world.broker, parse_address("a")) == [
        SubscriberInfo("test", "worker", "q", 2)
    ]
    queue.unbind(parse_pattern("a"))
    assert subscribers(world.broker, parse_address("a")) == []


def test_a_subscription_to_a_topic_may_have_no_deadline_too(world):
    topic = world.broker.create_topic(parse_address("t"))
    world.broker.subscriptions.open("s", topic, settings=UNTIL_THEY_LEAVE)
    again = restarted(world)
    found = again.broker.subscriptions.get("s", again.broker.topics.get(parse_address("t")))
    assert found.settings == UNTIL_THEY_LEAVE


def test_a_broker_with_as_many_partitions_as_it_may_have_starts():
    world = World(max_partitions=6)
    world.broker.create_topic(parse_address("t"), 2)
    world.broker.topics.delete(world.broker.topics.get(QUEUED))  # as an earlier version left it
    world.broker.create_topic(parse_address("u"), 1)
    assert World(world.log, max_partitions=6).broker.topics.get(QUEUED) is not None


# Many.


def test_ten_thousand_idle_queues_cost_nothing_that_is_done_for_one(world, monkeypatch):
    for number in range(10_000):
        make(world, f"device.{number}.#", name=str(number))
    world.pass_time()
    state = world.broker.queues._state._log
    selects = count_calls(monkeypatch, Queue, "select")
    reads = count_reads(monkeypatch, queued_log(world))
    before = state.end_offset
    world.publish("device.77.x", *numbers(*range(100)))
    queue = world.broker.queues.get("77")
    worker = join(world, queue)
    for delivery in worker.got:
        queue.ack(delivery.lease)
    world.pass_time()
    assert selects["select"] == 100
    assert len(reads) <= 4
    assert state.end_offset == before + 1


def test_ten_thousand_queues_that_come_back_together_leave_others_their_turn(world, monkeypatch):
    for number in range(10_000):
        make(world, f"device.{number}", "all", name=str(number))
    world.publish("all", b"for all")
    for number in range(0, 10_000, 100):
        world.publish(f"device.{number}", b"own")
    world.pass_time()
    workers = [Worker(10) for _ in range(10_000)]
    for queue, worker in zip(world.broker.queues, workers, strict=True):
        queue.join(worker)
    decoded = count_calls(monkeypatch, backlog.Backlogs, "_read")
    refills = count_calls(monkeypatch, Queue, "refill")
    most = 0
    while sum(len(worker.got) for worker in workers) < 10_100:
        before = decoded["_read"], refills["refill"]
        world.timers.advance(world.timers.now, world.timers.wall_ms)
        assert decoded["_read"] - before[0] <= backlog.READS_A_TURN
        assert refills["refill"] - before[1] <= backlog.QUEUES_A_TURN
        most = max(most, refills["refill"] - before[1])
    assert most == backlog.QUEUES_A_TURN
    assert workers[0].values == [b"for all", b"own"]
    assert workers[1].values == [b"for all"]


# The disk.


def sync(log):
    under_way = log.begin_sync()
    if under_way is not None:
        under_way.run()
        under_way.note()
        under_way.finish()


def run_on_disk(world):
    queue = make(world, "a.*", "b")
    sync(world.log)
    world.publish("a.x", *numbers(*range(20)))
    world.publish("c", b"no")
    sync(world.log)
    worker = join(world, queue, 10)
    for at in (0, 1, 3):
        queue.ack(worker.got[at].lease)
    world.broker.queues.when_durable(lambda _: None)
    sync(world.log)
    return queue


def test_everything_is_there_after_kill_9(tmp_path):
    world = World(DiskLog(tmp_path / "data"))
    run_on_disk(world)
    world.publish("b", b"written, not synced")
    shutil.copytree(tmp_path / "data", tmp_path / "after")
    again = World(DiskLog(tmp_path / "after"))
    again.pass_time()
    found = drain(again, again.broker.queues.get("q"))
    assert found == [*numbers(2, *range(4, 20)), b"written, not synced"]
    again.publish("b", b"new")
    sync(again.log)
    again.pass_time()
    assert drain(again, again.broker.queues.get("q")) == [*found, b"new"]
    again.broker.close()
    world.broker.close()


@pytest.mark.parametrize("seed", range(20))
def test_everything_durable_is_there_after_a_power_cut(seed):
    disk = SimulatedDisk()
    world = World(DiskLog(DATA, disk))
    queue = run_on_disk(world)
    world.publish("b", b"not synced")
    queue.bind(parse_pattern("d"))
    world.broker.queues.trim()
    world.pass_time()
    again = World(DiskLog(DATA, disk.crash(random.Random(seed))))
    again.pass_time()
    found = drain(again, again.broker.queues.get("q"))
    assert found[:17] == numbers(2, *range(4, 20))
    assert found[17:] in ([], [b"not synced"])


def test_trimmed_messages_leave_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "hubbub.broker.broker.QUEUED_SETTINGS",
        TopicSettings(retention_ms=-1, delete_old=False, segment_bytes=10_000),
    )
    world = World(DiskLog(tmp_path / "data"))
    queue = make(world, "a")
    worker = join(world, queue)
    for _ in range(50):
        world.publish("a", b"x" * 1000)
        sync(world.log)
    world.pass_time()
    number = world.broker.topics.get(QUEUED).number
    assert world.log.sizes(number)[0] > 50_000
    for delivery in worker.got:
        queue.ack(delivery.lease)
    for _ in range(2):
        world.pass_time(300)
        sync(world.log)
    assert world.log.sizes(number)[0] <= 10_000
    world.broker.close()
    again = World(DiskLog(tmp_path / "data"))
    again.pass_time()
    assert again.broker.queues.get("q").lag == 0
    again.broker.close()
