"""Who stands around a broker in tests: one who watches, and one who forbids."""

from __future__ import annotations

from hubbub.broker.observer import Subscriber
from hubbub.model.pattern import parse_pattern


class DenyList:
    """Lets everyone do everything but what is in ``denied``."""

    def __init__(self):
        self.denied = set()

    def may(self, principal, action, target):
        return (action, str(target)) not in self.denied


class Recorder:
    """An observer of everything."""

    def __init__(self, broker):
        self.subscriber = Subscriber("test", "recorder")
        self.messages = []
        broker.subscribe(parse_pattern("#"), self)

    def observe(self, message):
        self.messages.append(message)
