"""A virtual host without a connection: messages in, and what its queues hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hubbub.broker.broker import Broker
from hubbub.broker.timers import Timers
from hubbub.broker.work_item import Item
from hubbub.log.memory import MemoryLog
from hubbub.protocols.amqp.errors import AmqpError
from hubbub.protocols.amqp.marks import Mark, decode_mark
from hubbub.protocols.amqp.properties import Properties, decode_properties, encode_properties
from hubbub.protocols.amqp.tables import plain, table_of
from hubbub.protocols.amqp.vhost import VirtualHost

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.log.seam import Log
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.tables import Table

WALL_MS = 1_700_000_000_000


def properties(headers: dict[str, Any] | None = None, **others: Any) -> bytes:
    """Encoded properties; headers with the types that RabbitMQ's own have."""
    return encode_properties(
        Properties(headers=None if headers is None else table_of(headers), **others)
    )


class Place:
    """A broker with one virtual host, that can be restarted."""

    def __init__(self, log: Log | None = None, vhost: str = "/") -> None:
        self.log: Any = log or MemoryLog()
        self.vhost_name = vhost
        self.deleted: list[str] = []
        self.timers = Timers(0.0, WALL_MS)
        self._open()

    def _open(self) -> None:
        self.broker = Broker(self.log, self.timers)
        self.vhost = VirtualHost(
            self.broker, self.vhost_name, lambda queue: self.deleted.append(queue.name)
        )

    def restart(self) -> None:
        """Begin again with what is stored."""
        self.broker.work_queues.flush()
        self.sync()
        self.timers = Timers(0.0, self.timers.wall_ms)
        self._open()

    def advance(self, seconds: float) -> None:
        """Let time go by, and the turns that come of it."""
        for now in (self.timers.now + seconds,) + (self.timers.now + seconds,) * 5:
            wall_ms = self.timers.wall_ms + int((now - self.timers.now) * 1000)
            self.timers.advance(now, wall_ms)
            self.broker.work_queues.flush()
            self.sync()

    def sync(self) -> None:
        """What the server's committer does at the end of a turn."""
        while (sync := self.log.begin_sync()) is not None:
            sync.run()
            sync.finish()

    def declare(
        self, name: str, arguments: dict[str, Any] | None = None, **flags: Any
    ) -> AmqpQueue:
        """A queue."""
        return self.vhost.declare_queue(name, arguments=table_of(arguments or {}), **flags)

    def exchange(self, name: str, type_: str, arguments: Table | None = None, **flags: Any) -> None:
        """An exchange."""
        self.vhost.declare_exchange(name, type_, arguments=arguments, **flags)

    def bind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        """A queue to an exchange; underscores in names of arguments stand for dashes."""
        self.vhost.bind_queue(queue, exchange, key.encode(), _arguments(arguments), None)

    def unbind(self, queue: str, exchange: str, key: str = "", **arguments: Any) -> None:
        """Undo that."""
        self.vhost.unbind_queue(queue, exchange, key.encode(), _arguments(arguments), None)

    def route(self, exchange: str, key: str, headers: dict[str, Any] | None = None) -> list[str]:
        """The names of the queues a message goes to."""
        queues = self.vhost.route(self.vhost.exchange(exchange), key.encode(), properties(headers))
        return sorted(queue.name for queue in queues)

    def publish(
        self,
        exchange: str,
        key: str,
        headers: dict[str, Any] | None = None,
        value: bytes = b"body",
        **others: Any,
    ) -> int:
        """Put a message where it belongs; in how many queues it is taken."""
        encoded = properties(headers, **others)
        queues = self.vhost.route(self.vhost.exchange(exchange), key.encode(), encoded)
        item = Item(
            value,
            Mark(exchange.encode(), key.encode(), encoded).encode(),
            self.timers.wall_ms,
            int(others.get("expiration", -1)),
            others.get("priority", 0),
            others.get("delivery_mode") == 2,
        )
        taken = sum(queue.put(item) for queue in queues)
        self.advance(0)
        return taken

    def take(self, queue: str) -> Iterator[tuple[Mark, dict[str, Any], Properties]]:
        """What waits in a queue: mark, headers and properties; settled."""
        work = self.vhost.queues[queue].work
        assert work is not None
        while (entry := work.get()) is not None:
            mark = decode_mark(entry.item().mark)
            decoded = decode_properties(mark.properties)
            headers = {name: plain(field) for name, field in (decoded.headers or {}).items()}
            work.settle(entry)
            yield mark, headers, decoded
        self.advance(0)

    def ready(self, queue: str) -> int:
        """How many messages wait in a queue."""
        return self.vhost.queues[queue].ready


def _arguments(arguments: dict[str, Any]) -> Table:
    return table_of({name.replace("_", "-"): value for name, value in arguments.items()})


def refused(code: int, call: Any, *args: Any, **kwargs: Any) -> str:
    """The text with which a call is refused."""
    with pytest.raises(AmqpError) as caught:
        call(*args, **kwargs)
    assert caught.value.code == code
    return str(caught.value.text)
