"""The three places where a broker can be, for tests that expect the same of each."""

from __future__ import annotations

import contextlib
import queue

from hubbub import Broker
from loopback_server import serving

BACKENDS = ("memory", "directory", "connected")
WAIT = 10


@contextlib.contextmanager
def open_broker(kind, directory):
    with contextlib.ExitStack() as stack:
        if kind == "memory":
            yield stack.enter_context(Broker())
        elif kind == "directory":
            yield stack.enter_context(Broker(directory))
        else:
            server = stack.enter_context(serving())
            yield stack.enter_context(Broker.connect(server.url))


class Box:
    """What a handler got, to be waited for."""

    def __init__(self):
        self._messages = queue.Queue()

    def __call__(self, message):
        self._messages.put(message)

    def take(self, count):
        return [self._messages.get(timeout=WAIT) for _ in range(count)]

    def values(self, count):
        return [message.value for message in self.take(count)]

    def is_empty(self):
        return self._messages.empty()
