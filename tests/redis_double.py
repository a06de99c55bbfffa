"""A broker small enough to see through, and a Redis connection without a socket."""

from __future__ import annotations

from hubbub.broker.outbox import Outbox
from hubbub.broker.publication import Publication
from hubbub.broker.router import Router
from hubbub.broker.session import Peer
from hubbub.broker.timers import Timers
from hubbub.model.errors import DeniedError
from hubbub.protocols.redis.listener import RedisListener


class HeldPublication(Publication):
    """Stored, and not durable before the test says so."""

    def __new__(cls, observers, broker):
        held = super().__new__(cls, observers, ("a partition",))
        held.broker = broker
        return held

    def when_durable(self, done):
        self.broker.syncs.append(done)


class SmallBroker:
    """Routes messages; what is in ``stored`` or ``denied`` is told apart by address."""

    def __init__(self):
        self.timers = Timers(now=1000.0, wall_ms=1_700_000_000_123)
        self.observers = Router()
        self.stored = set()
        self.denied = set()
        self.failure = None
        self.published = []
        self.syncs = []

    def may(self, principal, action, target):
        return (action, str(target)) not in self.denied

    def subscribe(self, pattern, observer):
        self.observers.add(pattern, observer)

    def unsubscribe(self, pattern, observer):
        self.observers.remove(pattern, observer)

    def publish(self, message, principal=""):
        if message.address.startswith("__hubbub") or not self.may(
            principal, "publish", message.address
        ):
            raise DeniedError(f"{message.address} is a reserved name")
        if self.failure:
            raise self.failure
        self.published.append(message)
        observers = self.observers.route(message.address)
        for observer in observers:
            observer.observe(message)
        if message.address in self.stored:
            return HeldPublication(len(observers), self)
        return Publication(len(observers))

    def sync(self, failure=None):
        """What is stored so far is durable, or will never be."""
        syncs, self.syncs = self.syncs, []
        for done in syncs:
            done(failure)


class Connection:
    """One client of a listener. ``ask`` sends bytes and returns all that came back."""

    ports = iter(range(40_000, 60_000))

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


def small_listener(**settings):
    return RedisListener(SmallBroker(), settings)
