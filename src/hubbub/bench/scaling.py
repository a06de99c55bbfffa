"""What grows with the number of connections and subscriptions, and what a broker costs at rest."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from hubbub.bench.answers import CONFIRM_SECONDS
from hubbub.bench.dialects import SUBSCRIBING, dialect_of
from hubbub.bench.generator import connect
from hubbub.bench.peers import HOST
from hubbub.bench.shape import Shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.bench.peers import Broker
    from hubbub.bench.shape import Protocol

# One subscription in so many is a wildcard's.
_WILDCARD_EVERY = 100
_READ_BYTES = 256 * 1024


@contextmanager
def subscriptions(broker: Broker, protocol: Protocol, count: int) -> Iterator[None]:
    """``count`` subscriptions that match nothing that is published, one in a hundred a wildcard's.

    Raises:
        OSError: the broker refused.
    """
    with connect(HOST, broker.ports[protocol]) as connection:
        SUBSCRIBING[protocol].prepare_publisher(connection, 0, _subject(0))
        _exchange(connection, protocol, _requests(protocol, count, "subscribe"))
        yield


def _subject(number: int) -> str:
    if number % _WILDCARD_EVERY == 0:
        return f"idle.{number:06d}.*"
    return f"idle.{number:06d}"


def _requests(protocol: Protocol, count: int, verb: str) -> bytes:
    request = getattr(SUBSCRIBING[protocol], verb)
    return b"".join(request(_subject(number), number + 2) for number in range(1, count + 1))


def _exchange(connection: socket.socket, protocol: Protocol, requests: bytes) -> None:
    """Send all, while whatever comes back is read, and wait until all of it was taken."""
    ping, pong = SUBSCRIBING[protocol].ping, SUBSCRIBING[protocol].pong
    connection.settimeout(CONFIRM_SECONDS)
    sender = threading.Thread(target=connection.sendall, args=(requests + ping,))
    sender.start()
    try:
        end = b""
        while not end.endswith(pong):
            got = connection.recv(_READ_BYTES)
            if not got or got.startswith(b"-"):
                raise ConnectionError(f"the broker refused to subscribe: {got[:200]!r}")
            end = (end + got)[-len(pong) :]
    except OSError:
        connection.shutdown(socket.SHUT_RDWR)  # else the sender might wait for ever
        raise
    finally:
        sender.join()


def subscription_rate(broker: Broker, protocol: Protocol, count: int) -> dict[str, float]:
    """Subscriptions made and ended a second, pipelined on one connection. Raises OSError."""
    figures = {}
    with connect(HOST, broker.ports[protocol]) as connection:
        SUBSCRIBING[protocol].prepare_publisher(connection, 0, _subject(0))
        for verb in ("subscribe", "unsubscribe"):
            requests = _requests(protocol, count, verb)
            began = time.perf_counter()
            _exchange(connection, protocol, requests)
            figures[verb] = count / (time.perf_counter() - began)
    return figures


def idle_connections(broker: Broker, protocol: Protocol, count: int) -> dict[str, float]:
    """What an idle connection takes of the broker's memory, in KiB. Raises OSError."""
    dialect = dialect_of(Shape(protocol=protocol))
    with ExitStack() as stack:
        before = broker.resident_kib()
        for _ in range(count):
            connection = stack.enter_context(connect(HOST, broker.ports[protocol]))
            dialect.prepare_publisher(connection, 0, _subject(0))
        return {"connection": (broker.resident_kib() - before) / count}


def at_rest(broker: Broker) -> dict[str, float]:
    """How long it took to start, in seconds, and what it takes of the memory, in MiB."""
    return {"start": broker.start_seconds, "idle": broker.resident_kib() / 1024}
