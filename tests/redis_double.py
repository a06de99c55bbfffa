"""A Redis connection without a socket, to a broker whose disk does what the test says."""

from __future__ import annotations

from itertools import cycle

from held_log import HeldLog
from hubbub.broker.broker import Broker
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.timers import Timers
from hubbub.model.address import Address
from hubbub.protocols.redis.listener import RedisListener


class SmallBroker(Broker):
    """A broker of one client's making: topics by name, and syncs by hand."""

    def __init__(self, access=None):
        timers = Timers(now=1000.0, wall_ms=1_700_000_000_123)
        super().__init__(HeldLog(), timers, access=access)

    def store(self, *names, settings=None):
        """Make topics of these names."""
        for name in names:
            self.create_topic(Address(name), 1, settings)
        self.log.sync()

    def partition(self, name):
        return self.topics.get(Address(name)).partitions[0].log

    def sync(self, failure=None):
        """What is stored so far is durable, or will never be."""
        if failure is None:
            self.log.sync()
        else:
            for partition in self.log.partitions.values():
                partition.fail(failure)

    @property
    def awaited(self):
        """Whether anybody waits for the disk."""
        return any(partition.is_awaited for partition in self.log.partitions.values())


class Connection:
    """One client of a listener. ``ask`` sends bytes and returns all that came back."""

    ports = cycle(range(40_000, 60_000))

    def __init__(self, listener):
        self.port = next(self.ports)
        self.outbox = Outbox()
        self.session = listener.session(
            Peer(("127.0.0.1", self.port), ("127.0.0.1", 6379)), self.outbox
        )

    def ask(self, data):
        self.session.receive(data)
        return self.read()

    def ask_inline(self, *lines):
        return self.ask("".join(f"{line}\r\n" for line in lines).encode())

    def read(self):
        return b"".join(self.outbox.take())

    @property
    def closed(self):
        return self.outbox.closing or self.outbox.aborted


def request(*arguments):
    """A request as clients send it."""
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)


def small_listener(access=None, **settings):
    return RedisListener(SmallBroker(access), settings)
