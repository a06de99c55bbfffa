"""At least once, made effectively once: a handler that remembers what it has done."""

from __future__ import annotations

import functools
import sqlite3
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from hubbub.bus.handlers import is_coroutine_function

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from hubbub.bus.message import Message
    from hubbub.bus.subscription import Handler

# Enough to remember every message that can still be redelivered to one consumer.
DEFAULT_SIZE = 100_000


class Store(Protocol):
    """Remembers ids."""

    def __contains__(self, event: str, /) -> bool:
        """Whether the id was added."""

    def add(self, event: str, /) -> None:
        """Remember the id."""


class MemoryStore:
    """The last ``size`` ids, while the process lives."""

    def __init__(self, size: int = DEFAULT_SIZE) -> None:
        self._size = size
        self._events: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, event: str) -> bool:
        return event in self._events

    def add(self, event: str) -> None:
        """Remember the id."""
        with self._lock:
            self._events[event] = None
            if len(self._events) > self._size:
                self._events.popitem(last=False)


class SqliteStore:
    """Ids in a table of an SQLite database, which may be the one that the handler writes to."""

    def __init__(self, path: str | PathLike[str], table: str = "handled") -> None:
        if not table.isidentifier():
            raise ValueError(f"{table!r} is no name of a table")
        self._lock = Lock()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._find = f"SELECT 1 FROM {table} WHERE event = ?"  # noqa: S608 - an identifier, see above
        self._insert = f"INSERT OR IGNORE INTO {table} VALUES (?)"  # noqa: S608
        self._database.execute(f"CREATE TABLE IF NOT EXISTS {table} (event TEXT PRIMARY KEY)")

    def __contains__(self, event: str) -> bool:
        with self._lock:
            return self._database.execute(self._find, (event,)).fetchone() is not None

    def add(self, event: str) -> None:
        """Remember the id."""
        with self._lock:
            self._database.execute(self._insert, (event,))

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def event_id(message: Message) -> str:
    """What stays the same however often a message is delivered, and on whichever protocol.

    The publisher's message id where there is one, else where the message is stored.

    Raises:
        ValueError: a live message without an id.
    """
    if message.message_id is not None:
        return message.message_id
    if message.topic is None:
        raise ValueError(
            f"{message!r} has no id: publish it with message_id, or read it from a topic"
        )
    return f"{message.topic}/{message.partition}/{message.offset}"


def idempotent(
    store: Store | None = None, key: Callable[[Message], str] = event_id
) -> Callable[[Handler], Handler]:
    """A decorator for handlers: a message that was handled once is not handled again.

    The id is remembered when the handler has returned, so one that raises gets its message again. A
    crash between the two repeats the handler: to rule that out, write the id in its own transaction.
    """
    handled = MemoryStore() if store is None else store

    def decorate(handler: Handler) -> Handler:
        if is_coroutine_function(handler):

            @functools.wraps(handler)
            async def handle_async(message: Message) -> Any:
                event = key(message)
                if event in handled:
                    return None
                answer = await handler(message)
                handled.add(event)
                return answer

            return handle_async

        @functools.wraps(handler)
        def handle(message: Message) -> Any:
            event = key(message)
            if event in handled:
                return None
            answer = handler(message)
            handled.add(event)
            return answer

        return handle

    return decorate
