"""Queues against a model: nothing selected and unsettled is ever lost, or comes out of order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from held_log import HeldLog
from hubbub.broker import queue as queue_module
from hubbub.broker.names import QUEUED
from hubbub.broker.shared import SharedSettings
from hubbub.log.batch import encode
from hubbub.model.address import Address
from hubbub.model.pattern import parse_pattern
from test_broker import Worker, World

TOPIC = "d"
ADDRESSES = ("a", "a.b", "a.c", TOPIC)
PATTERNS = tuple(map(parse_pattern, ("a", "a.*", "d", "#", "a.#")))
NAMES = ("one", "two")
# What happens next: nothing, a sync of the messages, or that and all that follows from it.
LATER = st.sampled_from(["nothing", "sync", "time", "time"])
HELD = SharedSettings(ack_deadline=float("inf"))


@dataclass
class Model:
    """What one queue should hold; messages are numbered as they are published."""

    bound: dict[object, bool] = field(default_factory=dict)  # pattern -> whether that is durable
    waiting: dict[int, bool] = field(default_factory=dict)  # unsettled -> whether that is certain
    workers: list[Worker] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)

    @property
    def leased(self) -> list[int]:
        return [number_of(delivery) for worker in self.workers for delivery in worker.got]


class Noting(Worker):
    """A worker of the model's."""

    def __init__(self, credit: int, model: Model) -> None:
        super().__init__(credit)
        self.model = model

    def deliver(self, delivery) -> None:
        super().deliver(delivery)
        self.model.delivered.append(number_of(delivery))


def number_of(delivery) -> int:
    return int(delivery.record.message.value)


class QueuesMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(HeldLog())
        self.models: dict[str, Model] = {}
        # What each may have after a power cut, which may undo an end.
        self.ever: dict[str, set[object]] = {name: set() for name in NAMES}
        self.history: dict[str, set[int]] = {name: set() for name in NAMES}
        self.published = 0
        self.durable = 0  # messages, counted from the first
        self.world.broker.create_topic(Address(TOPIC))
        self.world.log.sync()
        for name, pattern in zip(NAMES, PATTERNS[-2:], strict=True):  # or much would be in vain
            self.bind(name, pattern)
            self.join(name, 3, "nothing")

    # What is done.

    @rule(name=st.sampled_from(NAMES), pattern=st.sampled_from(PATTERNS))
    def bind(self, name, pattern):
        self.queue(name).bind(pattern)
        self.models[name].bound.setdefault(pattern, False)
        self.ever[name].add(pattern)

    @rule(name=st.sampled_from(NAMES), pattern=st.sampled_from(PATTERNS))
    def unbind(self, name, pattern):
        self.queue(name).unbind(pattern)
        self.models[name].bound.pop(pattern, None)

    @rule(name=st.sampled_from(NAMES), sure=st.integers(0, 3))
    def delete(self, name, sure):
        if sure:
            return  # or no run would get far
        self.world.broker.queues.delete(self.queue(name))
        del self.models[name]

    @rule(address=st.sampled_from(ADDRESSES), count=st.integers(1, 5), then=LATER)
    def publish(self, address, count, then):
        for _ in range(count):
            self.world.publish(address, b"%d" % self.published)
            self.note(address)
        self.let(then)

    @rule(count=st.integers(1, 30), then=LATER)
    def produce(self, count, then):
        """As one batch, to a topic of that name."""
        first = self.published
        batch = encode([(0, None, b"%d" % (first + at), ()) for at in range(count)])
        topic = self.world.broker.topics.get(Address(TOPIC))
        self.world.broker.append(topic.partitions[0], batch)
        for _ in range(count):
            self.note(TOPIC)
        self.let(then)

    def note(self, address):
        for model in self.models.values():
            if any(pattern.matches(Address(address)) for pattern in model.bound):
                model.waiting[self.published] = False
        for name, patterns in self.ever.items():
            if any(pattern.matches(Address(address)) for pattern in patterns):
                self.history[name].add(self.published)
        self.published += 1

    def let(self, happen):
        if happen != "nothing":
            self.sync_messages()
        if happen == "time":
            self.time_passes()

    @rule(name=st.sampled_from(NAMES), credit=st.integers(0, 6), then=LATER)
    def join(self, name, credit, then):
        queue = self.queue(name)
        worker = Noting(credit, self.models[name])
        queue.join(worker)
        self.models[name].workers.append(worker)
        self.let(then)

    @rule(name=st.sampled_from(NAMES), data=st.data())
    def leave(self, name, data):
        if self.queue(name) and self.models[name].workers:
            worker = data.draw(st.sampled_from(self.models[name].workers))
            self.queue(name).leave(worker)
            self.models[name].workers.remove(worker)

    @rule(name=st.sampled_from(NAMES), each=st.booleans(), data=st.data(), then=LATER)
    def ack(self, name, each, data, then):
        queue = self.queue(name)
        for worker in self.models[name].workers:
            for delivery in list(worker.got):
                if each or data.draw(st.booleans()):
                    assert queue.ack(delivery.lease)
                    worker.got.remove(delivery)
                    del self.models[name].waiting[number_of(delivery)]
        self.let(then)

    @rule(name=st.sampled_from(NAMES), data=st.data())
    def nack(self, name, data):
        queue = self.queue(name)
        for worker in self.models[name].workers:
            if worker.got:
                delivery = data.draw(st.sampled_from(worker.got))
                assert queue.nack(delivery.lease)
                worker.got.remove(delivery)

    @rule(name=st.sampled_from(NAMES))
    def more_credit(self, name):
        for worker in self.models.setdefault(name, Model()).workers:
            worker.room += 3
        self.queue(name).dispatch()
        self.time_passes()

    @rule()
    def sync_messages(self):
        topic = self.world.broker.topics.get(QUEUED)
        self.world.log.partitions[topic.number, 0].sync()
        self.durable = self.published

    @rule()
    def sync(self):
        done = []
        self.world.broker.queues.when_durable(done.append)
        self.world.log.sync()
        assert done == [None]
        self.durable = self.published
        for model in self.models.values():
            model.bound = dict.fromkeys(model.bound, True)
            model.waiting = dict.fromkeys(model.waiting, True)

    @rule()
    def trim(self):
        self.world.broker.queues.trim()
        self.time_passes()

    @rule()
    def time_passes(self):
        before = {name: model.leased for name, model in self.models.items()}
        for model in self.models.values():
            model.delivered.clear()
        self.world.pass_time()
        for name, model in self.models.items():
            queue = self.world.broker.queues.get(name)
            visible = [number for number in model.waiting if number < self.durable]
            assert queue.lag == len(visible)
            assert queue.patterns == tuple(model.bound)
            # What was free went to the consumers in order, and all of it while they had room.
            free = [number for number in visible if number not in before[name]]
            assert model.delivered == free[: len(model.delivered)]
            if any(worker.credit > 0 for worker in model.workers):
                assert len(model.delivered) == len(free)

    # What happens to it.

    @rule(sure=st.integers(0, 3))
    def kill(self, sure):
        """The process ends: what it wrote is there, and what it had in mind is not."""
        if sure:
            return
        self.time_passes()
        self.restart(power_cut=False)
        for name, model in self.models.items():
            assert self.drained(name) == list(model.waiting)
            assert self.world.broker.queues.get(name).patterns == tuple(model.bound)
            self.join(name, 3, "nothing")

    @rule(sure=st.integers(0, 3))
    def power_cut(self, sure):
        if sure:
            return
        self.restart(power_cut=True)
        durable = set(range(self.durable))
        for name in NAMES:
            model, queue = self.models.get(name), self.world.broker.queues.get(name)
            found = self.drained(name) if queue else []
            assert found == sorted(found)
            assert set(found) <= self.history[name] & durable
            if model is not None:
                assert {n for n, certain in model.waiting.items() if certain} <= set(found)
                certain = {pattern for pattern, certain in model.bound.items() if certain}
                assert certain <= set(queue.patterns if queue else ())
            self.models.pop(name, None)
            if queue is not None:
                bound = dict.fromkeys(queue.patterns, True)
                self.models[name] = Model(bound, dict.fromkeys(found, True))
                self.join(name, 3, "nothing")

    def restart(self, *, power_cut):
        if not power_cut:
            self.durable = self.published
        self.world = World(self.world.log.survivor(power_cut=power_cut))
        self.world.pass_time()
        for model in self.models.values():
            model.workers.clear()
            if power_cut:
                model.waiting = {n: c for n, c in model.waiting.items() if n < self.durable}

    def drained(self, name):
        """What the queue holds, given back at once."""
        queue = self.world.broker.queues.get(name)
        worker = Worker(10_000)
        queue.join(worker)
        self.world.pass_time()
        found = [number_of(delivery) for delivery in worker.got]
        queue.leave(worker)
        self.world.pass_time()
        return found

    def queue(self, name):
        queue = self.world.broker.queues.open(name, HELD)
        self.models.setdefault(name, Model())
        return queue


@pytest.fixture(autouse=True)
def little_memory(monkeypatch):
    monkeypatch.setattr(queue_module, "READ_AHEAD", 2)


QueuesMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50)
TestQueues = QueuesMachine.TestCase
