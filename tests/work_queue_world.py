"""Work queues on an engine of the test's choice, and takers that write down what they get."""

from __future__ import annotations

from hubbub.broker.broker import Broker
from hubbub.broker.takers import OpenTaker
from hubbub.broker.timers import Timers
from hubbub.broker.work_item import Item
from hubbub.broker.work_settings import WorkQueueSettings
from hubbub.log.memory import MemoryLog


class Tray(OpenTaker):
    """Takes up to ``credit`` entries that it has not settled."""

    def __init__(self, credit=10**9, *, settles=False):
        self.limit = credit
        self.settles = settles
        self.entries = []
        self.values = []  # of all that it ever got

    @property
    def room(self):
        return self.limit - len(self.entries)

    def take(self, entry):
        self.values.append(entry.item().value)
        if self.settles:
            entry.queue.settle(entry)
        else:
            self.entries.append(entry)

    def settle(self, count=None):
        for entry in self.entries[:count]:
            entry.queue.settle(entry)
        del self.entries[:count]

    def give_back(self, *, counts=True):
        for entry in self.entries:
            entry.queue.give_back(entry, counts)
        self.entries = []


class Bench:
    """A broker on ``log``, with its work queues."""

    def __init__(self, log=None, now=0.0):
        self.log = log or MemoryLog()
        self.timers = Timers(now, int(now * 1000))
        self.broker = Broker(self.log, self.timers)
        self.queues = self.broker.work_queues

    def open(self, name="q", **settings):
        return self.queues.open(name, WorkQueueSettings(**settings))

    def put(self, queue, *values, **fields):
        taken = [queue.put(Item(value, **fields)) for value in values]
        self.queues.flush()
        return taken

    def join(self, queue, credit=10**9, priority=0, **options):
        tray = Tray(credit, **options)
        queue.join(tray, priority)
        self.queues.flush()
        return tray

    def drain(self, queue):
        """The values that wait, in order; they wait again afterwards."""
        tray = self.join(queue)
        queue.leave(tray)
        tray.give_back(counts=False)
        self.queues.flush()
        return tray.values

    def pass_time(self, seconds=0.0):
        now = self.timers.now + seconds
        self.timers.advance(now, round(now * 1000))

    def restarted(self, log=None):
        return Bench(log or self.log, self.timers.now)


def numbers(*some):
    return [b"%d" % number for number in some]
