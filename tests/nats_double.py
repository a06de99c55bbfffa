"""A NATS connection without a socket."""

from __future__ import annotations

from hubbub.broker.broker import Broker
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.protocols.nats.listener import NatsListener

QUIET = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'


def nats_listener(log=None, access=None, **settings):
    timers = Timers(now=1000.0, wall_ms=1_700_000_000_123)
    return NatsListener(Broker(log or MemoryLog(), timers, access=access), settings)


class Connection:
    """One client of a listener. ``ask`` sends bytes and returns all that came back."""

    ports = iter(range(40_000, 60_000))

    def __init__(self, listener, hello=b""):
        self.outbox = Outbox()
        peer = Peer(("127.0.0.1", next(self.ports)), ("127.0.0.1", 4222))
        self.session = listener.session(peer, self.outbox)
        self.info = self.read()
        self.ask(hello)

    def ask(self, data):
        self.session.receive(data)
        return self.read()

    def read(self):
        return b"".join(self.outbox.take())

    @property
    def closed(self):
        return self.outbox.closing or self.outbox.aborted
