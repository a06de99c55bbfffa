from collections.abc import Iterable
from typing import Any

def with_turns(observers: Iterable[Any]) -> tuple[Any, ...]:
    """The observers, with those of one ``share`` as a single one that gives each message to one.

    ``share`` is an attribute that observers may have: a NATS queue group, say. Observers of one share
    that an address reaches through different patterns count as one, as in NATS.
    """
