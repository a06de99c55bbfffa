"""An MQTT connection without a socket."""

from __future__ import annotations

from itertools import count

from hubbub.broker.broker import Broker
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.protocols.mqtt.listener import MqttListener

START = 1000.0
WALL_MS = 1_700_000_000_123


def mqtt_listener(log=None, access=None, **settings):
    timers = Timers(now=START, wall_ms=WALL_MS)
    return MqttListener(Broker(log or MemoryLog(), timers, access=access), settings)


class Connection:
    """One client of a listener. ``ask`` sends bytes and returns all that came back."""

    ports = count(40_000)

    def __init__(self, listener):
        self.outbox = Outbox()
        peer = Peer(("127.0.0.1", next(self.ports)), ("127.0.0.1", 1883))
        self.session = listener.session(peer, self.outbox)

    def ask(self, data):
        self.session.receive(data)
        return self.read()

    def read(self):
        return b"".join(self.outbox.take())

    def close(self):
        """The client is gone."""
        self.session.disconnected()

    @property
    def closed(self):
        return self.outbox.closing or self.outbox.aborted
