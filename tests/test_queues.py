"""Queues: what their patterns select is theirs until it is settled, whatever happens meanwhile."""

from __future__ import annotations

import math

import pytest

from hubbub.broker.observer import Subscriber
from hubbub.broker.queues import Queues
from hubbub.broker.shared import SharedSettings
from hubbub.model.address import parse_address
from hubbub.model.pattern import Exact, parse_pattern
from test_broker import Worker, World

FOREVER = SharedSettings(ack_deadline=math.inf)


@pytest.fixture
def world():
    return World()


def queue_of(world, name="q", *patterns, **options):
    queue = world.broker.queues.open(name, FOREVER, **options)
    for pattern in patterns:
        queue.bind(parse_pattern(pattern))
    return queue


def work(world, queue, credit=100):
    worker = Worker(credit)
    queue.join(worker)
    world.pass_time()
    return worker


def test_a_queue_keeps_what_it_selects_until_it_is_settled(world):
    queue = queue_of(world, "q", "a.*", "b")
    world.publish("a.x", b"1")
    world.publish("c", b"no")
    world.publish("b", b"2")
    world.pass_time()
    assert queue.lag == 2
    worker = work(world, queue)
    assert worker.values == [b"1", b"2"]
    assert [d.record.message.address for d in worker.got] == ["a.x", "b"]
    for delivery in worker.got:
        assert queue.ack(delivery.lease)
    assert queue.lag == 0


def test_after_a_restart(world):
    queue = queue_of(world, "q", "a.*", "b")
    world.publish("a.x", b"1", b"2", b"3")
    world.pass_time()
    worker = work(world, queue)
    queue.ack(worker.got[1].lease)
    world.pass_time()
    again = World(world.log)
    again.pass_time()
    queue = again.broker.queues.get("q")
    assert queue.settings == FOREVER
    assert queue.patterns == (parse_pattern("a.*"), parse_pattern("b"))
    worker = work(again, queue)
    assert worker.values == [b"1", b"3"]
