"""What of a virtual host comes back after a restart: exchanges, bindings and streams, in the state.

Durable queues are not here: their definition stands beside their messages (``WorkQueues.open``), so that
there is never one without the other. Whatever refers to something else names it by its id, too: what a
crash leaves behind of something deleted means nothing to a new thing of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hubbub.model.errors import StorageError
from hubbub.protocols.amqp.exchanges import Exchange
from hubbub.protocols.amqp.names import raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubbub.broker.state import StateLog
    from hubbub.broker.timers import Timer, Timers
    from hubbub.protocols.amqp.bindings import Binding

TABLE = b"amqp"

# How often what could not be forgotten (a full disk) is tried again, in seconds.
FORGET_AGAIN_AFTER = 1.0


class StoredKey(msgspec.Struct, frozen=True, array_like=True):
    """Names something in the table; names are UTF-8, or whatever else a client called it."""

    of: str  # "exchange", "stream" or "binding"
    vhost: bytes
    name: bytes  # of a binding: its source
    to: str = ""  # "queue" or "exchange"
    destination: bytes = b""
    routing_key: bytes = b""
    fingerprint: bytes = b""


class StoredExchange(msgspec.Struct, frozen=True, array_like=True):
    """A durable exchange."""

    id: int
    type: str
    auto_delete: bool
    internal: bool
    arguments: bytes


class StoredQueue(msgspec.Struct, frozen=True, array_like=True):
    """A durable queue: beside its messages, or in the table if it is a stream."""

    id: int
    vhost: bytes
    name: bytes
    auto_delete: bool
    arguments: bytes


class StoredBinding(msgspec.Struct, frozen=True, array_like=True):
    """A durable binding; its arguments are its fingerprint."""

    source_id: int
    destination_id: int


Definition = StoredExchange | StoredQueue | StoredBinding
_TYPES: dict[str, type[Definition]] = {
    "exchange": StoredExchange,
    "stream": StoredQueue,
    "binding": StoredBinding,
}


class Definitions:
    """The table, as one virtual host sees it."""

    def __init__(self, table: StateLog, timers: Timers, vhost: str) -> None:
        self._table = table
        self._timers = timers
        self._vhost = raw(vhost)
        self._unforgotten: dict[bytes, None] = {}  # what would be back after a restart
        self._again: Timer | None = None

    def load(self) -> Iterator[tuple[StoredKey, Definition]]:
        """Everything of this virtual host, in no particular order."""
        for key, value in self._table.load().items():
            stored = msgspec.msgpack.decode(key, type=StoredKey)
            if stored.vhost == self._vhost:
                yield stored, msgspec.msgpack.decode(value, type=_TYPES[stored.of])

    def store(self, key: StoredKey, definition: Definition) -> None:
        """Let something come back. Raises StorageError."""
        packed = msgspec.msgpack.encode(key)
        self._table.put((packed, msgspec.msgpack.encode(definition)))
        self._unforgotten.pop(packed, None)

    def forget(self, keys: list[StoredKey]) -> None:
        """Let things not come back, all in one step.

        Raises StorageError; it is done later, then.
        """
        self._unforgotten.update((msgspec.msgpack.encode(key), None) for key in keys)
        if self._unforgotten:
            self._forget()

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once every change so far survives power loss, or with the failure."""
        self._table.when_durable(done)

    def exchange_key(self, name: str) -> StoredKey:
        """Where a durable exchange is stored."""
        return StoredKey("exchange", self._vhost, raw(name))

    def stream_key(self, name: str) -> StoredKey:
        """Where a stream is stored."""
        return StoredKey("stream", self._vhost, raw(name))

    def binding_key(self, binding: Binding) -> StoredKey:
        """Where a durable binding is stored."""
        to = "exchange" if isinstance(binding.destination, Exchange) else "queue"
        source, destination = raw(binding.source.name), raw(binding.destination.name)
        return StoredKey(
            "binding", self._vhost, source, to, destination, binding.key, binding.fingerprint
        )

    def _forget(self) -> None:
        try:
            self._table.put(*((key, None) for key in self._unforgotten))
        except StorageError:
            if self._again is None:
                self._again = self._timers.after(FORGET_AGAIN_AFTER, self._forget_again)
            raise
        self._unforgotten.clear()

    def _forget_again(self) -> None:
        self._again = None
        if self._unforgotten:
            self._forget()
