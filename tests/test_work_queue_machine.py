"""A work queue against a model: order, each message once, nothing lost, whatever happens when."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from held_log import HeldLog
from hubbub.broker.work_item import Item
from work_queue_world import Bench, Tray

NEVER = 10**12


@dataclass
class Message:
    """What the model knows of one. ``stored`` and ``settled`` count what it takes to lose that."""

    number: int
    level: int
    size: int
    ttl_ms: int
    persistent: bool
    expires_ms: int = NEVER
    deliveries: int = 0
    flushed: bool = False
    durable: bool = False
    settled: str = ""  # "", "noted", "flushed" or "durable"

    @property
    def value(self) -> bytes:
        return b"%d:" % self.number + b"x" * self.size

    @property
    def rank(self) -> tuple[int, int]:
        return (-self.level, self.number)


@dataclass
class Model:
    options: dict
    ever: dict[int, Message] = field(default_factory=dict)
    fresh: list[Message] = field(default_factory=list)
    waiting: list[Message] = field(default_factory=list)
    delivered: list[tuple[int, int]] = field(default_factory=list)
    dead: list[tuple[int, str]] = field(default_factory=list)

    def is_full(self, size: int) -> bool:
        both = [*self.fresh, *self.waiting]
        total = sum(len(message.value) for message in both)
        return len(both) >= self.options.get(
            "max_length", NEVER
        ) or total + size > self.options.get("max_bytes", NEVER)

    def is_over(self) -> bool:
        total = sum(len(message.value) for message in self.waiting)
        return len(self.waiting) > self.options.get(
            "max_length", NEVER
        ) or total > self.options.get("max_bytes", NEVER)

    def flush(self, now_ms: int, credit: int) -> None:
        for message in self.ever.values():
            if message.settled == "noted":
                message.settled = "flushed"
        queue_ttl = self.options.get("message_ttl_ms", NEVER)
        for message in self.fresh:
            ttl = min(queue_ttl, NEVER if message.ttl_ms < 0 else message.ttl_ms)
            message.expires_ms = NEVER if ttl == NEVER else now_ms + ttl
            message.flushed = True
        self.waiting = sorted([*self.waiting, *self.fresh], key=lambda message: message.rank)
        self.fresh = []
        while self.waiting:
            if self.waiting[0].expires_ms < now_ms:
                self.bury(self.waiting.pop(0), "expired")
            elif credit > 0:
                credit -= 1
                message = self.waiting.pop(0)
                self.delivered.append((message.number, message.deliveries))
            else:
                break
        self.expire(now_ms)
        while self.options.get("overflow") != "reject" and self.is_over():
            self.bury(self.waiting.pop(0), "maxlen")

    def expire(self, now_ms: int) -> None:
        while self.waiting and self.waiting[0].expires_ms <= now_ms:
            self.bury(self.waiting.pop(0), "expired")

    def bury(self, message: Message, reason: str) -> None:
        self.dead.append((message.number, reason))
        message.settled = "noted"

    def give_back(self, message: Message, *, counts: bool) -> None:
        if counts:
            message.deliveries += 1
            if message.deliveries > self.options.get("delivery_limit", NEVER):
                self.bury(message, "delivery_limit")
                return
        self.waiting = sorted([*self.waiting, message], key=lambda each: each.rank)


class Noting(Tray):
    def __init__(self, credit, delivered):
        super().__init__(credit)
        self.delivered = delivered

    def take(self, entry):
        super().take(entry)
        self.delivered.append((number_of(entry), entry.deliveries))


def number_of(entry) -> int:
    return int(entry.item().value.split(b":")[0])


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "priorities": st.sampled_from([0, 3]),
        "delivery_limit": st.sampled_from([0, 2]),
        "max_length": st.integers(0, 6),
        "max_bytes": st.sampled_from([40, 200]),
        "overflow": st.sampled_from(["drop-head", "reject"]),
        "message_ttl_ms": st.sampled_from([0, 1000, 3000]),
        "single_active": st.booleans(),
    },
)


class WorkQueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    @initialize(options=OPTIONS)
    def begin(self, options):
        self.model = Model(options)
        self.start(Bench(HeldLog()))
        self.bench.log.sync()

    def start(self, bench):
        self.bench = bench
        bench.queues.rewrite_bytes = 500
        self.queue = bench.open(durable=True, **self.model.options)
        self.queue.held_most = 100
        self.dead = []
        self.queue.on_dead = lambda entry, why: self.dead.append((number_of(entry), why))
        self.delivered = []
        self.trays = []
        self.model.dead, self.model.delivered = [], []

    # What is done.

    @rule(
        count=st.integers(1, 8),
        size=st.sampled_from([0, 5, 60]),
        priority=st.integers(-1, 5),
        ttl_ms=st.sampled_from([-1, -1, -1, 0, 500, 2000]),
        persistent=st.booleans(),
    )
    def put(self, count, size, priority, ttl_ms, persistent):
        level = min(max(priority, 0), self.model.options.get("priorities", 0))
        for _ in range(count):
            message = Message(self.number, level, size, ttl_ms, persistent)
            item = Item(
                message.value, b"mark", 1, ttl_ms=ttl_ms, priority=priority, persistent=persistent
            )
            expected = self.model_put(message)
            assert self.queue.put(item) == expected
            self.number += expected

    def model_put(self, message) -> int:
        model = self.model
        refuses = model.options.get("overflow") == "reject"
        if refuses and model.is_full(len(message.value)):
            if model.fresh and self.trays:
                model.flush(self.bench.timers.wall_ms, self.credit)
            if model.is_full(len(message.value)):
                return 0
        model.fresh.append(message)
        model.ever[message.number] = message
        return 1

    @property
    def credit(self) -> int:
        takers = self.trays[:1] if self.model.options.get("single_active") else self.trays
        return sum(max(0, tray.room) for tray in takers)

    @rule()
    def flush(self):
        # Only what was noted is asked for, and the model's answer to nothing is nothing.
        self.model.flush(self.bench.timers.wall_ms, self.credit)
        self.queue.wake()
        self.bench.queues.flush()
        self.check()

    @rule(credit=st.integers(0, 9))
    def join(self, credit):
        tray = Noting(credit, self.delivered)
        self.queue.join(tray)
        self.trays.append(tray)
        self.flush()

    @precondition(lambda self: self.trays)
    @rule(data=st.data(), returns=st.booleans())
    def leave(self, data, returns):
        tray = self.trays.pop(data.draw(st.integers(0, len(self.trays) - 1)))
        self.queue.leave(tray)
        for entry in tray.entries:
            number = number_of(entry)
            if returns:
                self.queue.give_back(entry, True)
                self.model.give_back(self.model.ever[number], counts=True)
            else:
                self.queue.settle(entry)
                self.model.ever[number].settled = "noted"
        tray.entries = []
        self.flush()

    @precondition(lambda self: any(tray.entries for tray in self.trays))
    @rule(data=st.data(), how=st.sampled_from(["settle", "settle", "back", "undo", "reject"]))
    def settle(self, data, how):
        tray = data.draw(st.sampled_from([tray for tray in self.trays if tray.entries]))
        for at in data.draw(st.lists(st.integers(0, 20), min_size=1, max_size=6)):
            if not tray.entries:
                break
            entry = tray.entries.pop(at % len(tray.entries))
            message = self.model.ever[number_of(entry)]
            if how == "settle":
                self.queue.settle(entry)
                message.settled = "noted"
            elif how == "reject":
                self.queue.reject(entry)
                self.model.bury(message, "rejected")
            else:
                self.queue.give_back(entry, how == "back")
                self.model.give_back(message, counts=how == "back")
        if data.draw(st.booleans()):
            self.flush()

    @rule()
    def get(self):
        self.flush()
        self.model.expire(self.bench.timers.wall_ms)
        entry = self.queue.get()
        if self.model.waiting:
            message = self.model.waiting.pop(0)
            assert (number_of(entry), entry.deliveries) == (message.number, message.deliveries)
            self.queue.settle(entry)
            message.settled = "noted"
        else:
            assert entry is None
        self.flush()

    @rule()
    def purge(self):
        model = self.model
        assert self.queue.purge() == len(model.fresh) + len(model.waiting)
        for message in model.fresh:
            del model.ever[message.number]
        for message in model.waiting:
            message.settled = "noted"
        model.fresh, model.waiting = [], []

    @rule(seconds=st.sampled_from([0, 0.4, 1.0, 2.5]))
    def pass_time(self, seconds):
        self.flush()
        self.bench.pass_time(seconds)
        self.flush()

    @rule()
    def trim(self):
        self.flush()
        self.bench.queues.trim()
        self.pass_time(0)

    @rule()
    def sync(self):
        self.flush()
        self.queue.when_durable(self.synced)
        self.bench.log.sync()

    def synced(self, failure):
        assert failure is None
        for message in self.model.ever.values():
            message.durable |= message.flushed
            if message.settled in {"noted", "flushed"}:
                message.settled = "durable"

    @rule(power_cut=st.booleans())
    def crash(self, power_cut):
        stored = {
            message.number: message
            for message in self.model.ever.values()
            if message.persistent and message.flushed
        }
        gone = {"durable"} if power_cut else {"flushed", "durable"}
        may = {number for number, message in stored.items() if message.settled not in gone}
        must = {
            number
            for number, message in stored.items()
            if not message.settled and (message.durable or not power_cut)
        }
        log = self.bench.log.survivor(power_cut=power_cut)
        found = self.held_by(log.survivor(power_cut=False))
        assert must <= set(found) <= may
        for number, deliveries in found.items():
            message = stored[number]
            assert deliveries <= message.deliveries
            message.deliveries, message.settled, message.durable = deliveries, "", True
        self.model.ever = {number: stored[number] for number in found}
        self.model.fresh = []
        self.model.waiting = sorted(self.model.ever.values(), key=lambda message: message.rank)
        assert list(found) == [message.number for message in self.model.waiting]
        self.start(Bench(log, self.bench.timers.now))

    def held_by(self, log) -> dict[int, int]:
        """What the queue holds there, in order, with how often it came back; nothing has expired."""
        queue = Bench(log, now=-1e6).queues.get("q")
        entries = []
        while (entry := queue.get()) is not None:
            entries.append(entry)
        return {number_of(entry): entry.deliveries for entry in entries}

    # What should be.

    def check(self):
        model = self.model
        assert self.delivered == model.delivered
        assert self.dead == model.dead
        assert self.queue.ready == len(model.waiting)
        assert self.queue.ready_bytes == sum(len(message.value) for message in model.waiting)
        assert self.queue.unsettled == sum(len(tray.entries) for tray in self.trays)
        if not model.waiting and not self.queue.unsettled:
            assert self.bench.queues.memory_bytes == 0
            assert self.queue.log.live.count == 0

    def teardown(self):
        if hasattr(self, "model"):
            self.crash(power_cut=False)
            self.flush()


TestWorkQueueMachine = WorkQueueMachine.TestCase
TestWorkQueueMachine.settings = settings(max_examples=150, stateful_step_count=40)
