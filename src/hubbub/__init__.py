"""A publish-subscribe broker that Kafka, Redis, NATS and Python clients connect to as they are.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubbub.bus.broker import Broker
    from hubbub.bus.errors import ClosedError, ConnectionLostError, NoRespondersError
    from hubbub.bus.idempotent import MemoryStore, SqliteStore, event_id, idempotent
    from hubbub.bus.message import Message
    from hubbub.bus.pending import Pending
    from hubbub.bus.published import Published
    from hubbub.bus.subject import Subject
    from hubbub.bus.subscription import Subscription
    from hubbub.model.errors import HubbubError
    from hubbub.model.settings import TopicSettings

__all__ = [
    "Broker",
    "ClosedError",
    "ConnectionLostError",
    "HubbubError",
    "MemoryStore",
    "Message",
    "NoRespondersError",
    "Pending",
    "Published",
    "SqliteStore",
    "Subject",
    "Subscription",
    "TopicSettings",
    "event_id",
    "idempotent",
]

_HOMES = {
    "Broker": "hubbub.bus.broker",
    "ClosedError": "hubbub.bus.errors",
    "ConnectionLostError": "hubbub.bus.errors",
    "HubbubError": "hubbub.model.errors",
    "MemoryStore": "hubbub.bus.idempotent",
    "Message": "hubbub.bus.message",
    "NoRespondersError": "hubbub.bus.errors",
    "Pending": "hubbub.bus.pending",
    "Published": "hubbub.bus.published",
    "SqliteStore": "hubbub.bus.idempotent",
    "Subject": "hubbub.bus.subject",
    "Subscription": "hubbub.bus.subscription",
    "TopicSettings": "hubbub.model.settings",
    "event_id": "hubbub.bus.idempotent",
    "idempotent": "hubbub.bus.idempotent",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
