"""What a load generator says in each protocol: how to subscribe, and how frames look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket

# What a broker may take to confirm: thousands of connections are made in a row.
CONFIRM_SECONDS = 20.0
_CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"name":"hubbub bench"}\r\n'


class Dialect(Protocol):
    """One protocol's words. Frames of one subject length and payload size have one size."""

    replies: bool

    def prepare_publisher(self, connection: socket.socket, group: int) -> None:
        """Introduce a publisher. Raises OSError."""

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:
        """Subscribe to ``subject``, which may end in ``.*``, and wait until it holds.

        Raises:
            OSError: the broker did not confirm.
        """

    def published(self, subject: str, payload: bytes) -> bytes:
        """The frame that publishes."""

    def delivered(self, subject: str, pattern: str, payload: bytes) -> bytes:
        """The frame in which a subscriber to ``pattern`` gets it."""

    def subscribe(self, subject: str, number: int) -> bytes:
        """The request to subscribe; ``number`` tells a connection's subscriptions apart."""

    def unsubscribe(self, subject: str, number: int) -> bytes:
        """The request to end that."""


def read_through(connection: socket.socket, end: bytes) -> bytes:
    """Read until what was read ends in ``end``.

    Raises:
        ConnectionError: the broker closed the connection, or sent an error.
        TimeoutError: nothing came.
    """
    connection.settimeout(CONFIRM_SECONDS)
    received = b""
    while not received.endswith(end):
        more = connection.recv(65536)
        if not more:
            raise ConnectionError(f"the broker closed the connection after {received[-200:]!r}")
        received += more
        if received.startswith(b"-"):
            raise ConnectionError(received.decode(errors="replace").strip())
    return received


def _bulk(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


class Redis:
    """RESP2."""

    replies = True

    def prepare_publisher(self, connection: socket.socket, group: int) -> None:
        """Nothing needs to be said."""

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """SUBSCRIBE or PSUBSCRIBE."""
        connection.sendall(self.subscribe(subject, 1))
        read_through(connection, b":1\r\n")

    def published(self, subject: str, payload: bytes) -> bytes:
        """PUBLISH."""
        return _bulk(b"PUBLISH", subject.encode(), payload)

    def delivered(self, subject: str, pattern: str, payload: bytes) -> bytes:
        """A message, or a pmessage."""
        if pattern == subject:
            return _bulk(b"message", subject.encode(), payload)
        return _bulk(b"pmessage", pattern.encode(), subject.encode(), payload)

    def subscribe(self, subject: str, number: int) -> bytes:  # noqa: ARG002
        """SUBSCRIBE or PSUBSCRIBE."""
        verb = b"PSUBSCRIBE" if subject.endswith("*") else b"SUBSCRIBE"
        return _bulk(verb, subject.encode())

    def unsubscribe(self, subject: str, number: int) -> bytes:  # noqa: ARG002
        """UNSUBSCRIBE or PUNSUBSCRIBE."""
        verb = b"PUNSUBSCRIBE" if subject.endswith("*") else b"UNSUBSCRIBE"
        return _bulk(verb, subject.encode())


class Nats:
    """NATS core, without acknowledgements."""

    replies = False

    def prepare_publisher(self, connection: socket.socket, group: int) -> None:  # noqa: ARG002
        """INFO, CONNECT, and a PING to know that it was taken."""
        self._confirm(connection, b"")

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """SUB, and a PING behind it."""
        self._confirm(connection, self.subscribe(subject, 1))

    def _confirm(self, connection: socket.socket, request: bytes) -> None:
        read_through(connection, b"\r\n")
        connection.sendall(_CONNECT + request + b"PING\r\n")
        read_through(connection, b"PONG\r\n")

    def published(self, subject: str, payload: bytes) -> bytes:
        """PUB."""
        return b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload)

    def delivered(self, subject: str, pattern: str, payload: bytes) -> bytes:  # noqa: ARG002
        """MSG, of the connection's only subscription."""
        return b"MSG %b 1 %d\r\n%b\r\n" % (subject.encode(), len(payload), payload)

    def subscribe(self, subject: str, number: int) -> bytes:
        """SUB."""
        return b"SUB %b %d\r\n" % (subject.encode(), number)

    def unsubscribe(self, subject: str, number: int) -> bytes:  # noqa: ARG002
        """UNSUB."""
        return b"UNSUB %d\r\n" % number


class Relayed:
    """The frames of a protocol, forwarded as they are by `relay.Relay`."""

    replies = False

    def __init__(self, frames: Dialect) -> None:
        self._frames = frames

    def prepare_publisher(self, connection: socket.socket, group: int) -> None:
        """The first line."""
        self._introduce(connection, b"P %d\n" % group)

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """The first line."""
        self._introduce(connection, b"S %d\n" % group)

    def _introduce(self, connection: socket.socket, line: bytes) -> None:
        connection.sendall(line)
        read_through(connection, b"+")

    def published(self, subject: str, payload: bytes) -> bytes:
        """As the protocol has it."""
        return self._frames.published(subject, payload)

    def delivered(self, subject: str, pattern: str, payload: bytes) -> bytes:  # noqa: ARG002
        """The same bytes."""
        return self._frames.published(subject, payload)

    def subscribe(self, subject: str, number: int) -> bytes:
        """As the protocol has it."""
        return self._frames.subscribe(subject, number)

    def unsubscribe(self, subject: str, number: int) -> bytes:
        """As the protocol has it."""
        return self._frames.unsubscribe(subject, number)


DIALECTS: dict[str, Dialect] = {"redis": Redis(), "nats": Nats()}
