"""What a load generator says in each protocol: how to subscribe, and how frames look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hubbub.bench.amqp import Amqp
from hubbub.bench.answers import Receipt, read_through, read_up_to

if TYPE_CHECKING:
    import socket

    from hubbub.bench.shape import Shape

_CONNECT = b'CONNECT {"verbose":false,"pedantic":false,"name":"hubbub bench"}\r\n'


class Dialect(Protocol):
    """One protocol's words. Frames of one subject length and payload size have one size.

    `load.Load` says what ``replies``, ``confirms`` and ``receipt`` are. ``start_at`` is where in a
    delivered frame the four bytes are by which it is known.
    """

    replies: bool
    confirms: int
    start_at: int

    @property
    def receipt(self) -> Receipt | None:
        """How receipts look; None: a protocol of lines."""

    def prepare_publisher(self, connection: socket.socket, group: int, subject: str) -> None:
        """Introduce a publisher to ``subject``, and wait until it was taken. Raises OSError."""

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:
        """Subscribe to ``subject``, which may end in ``.*``, and wait until it holds.

        Raises:
            OSError: the broker did not confirm.
        """

    def published(self, subject: str, payload: bytes, number: int = 0) -> bytes:
        """The frame that publishes, at place ``number`` of its ring."""

    def delivered(self, subject: str, pattern: str, payload: bytes) -> bytes:
        """The frame in which a subscriber to ``pattern`` gets it."""


class Subscribing(Dialect, Protocol):
    """The words for many subscriptions on one connection, and a ping that is answered in its turn.

    That is behind everything that was asked before; nothing else ends in ``pong``.
    """

    ping: bytes
    pong: bytes

    def subscribe(self, subject: str, number: int) -> bytes:
        """The request to subscribe; ``number`` tells a connection's subscriptions apart."""

    def unsubscribe(self, subject: str, number: int) -> bytes:
        """The request to end that."""


def _bulk(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


class Redis:
    """RESP2."""

    replies = True
    confirms = start_at = 0
    receipt = None
    # A subscribed connection is answered an array: pong, and what the ping carried.
    ping = _bulk(b"PING", b"last")
    pong = b"last\r\n"

    def prepare_publisher(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """A PING, to know that whatever the connection is given at first is there."""
        connection.sendall(self.ping)
        read_through(connection, self.pong)

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """SUBSCRIBE or PSUBSCRIBE."""
        connection.sendall(self.subscribe(subject, 1))
        read_through(connection, b":1\r\n")

    def published(self, subject: str, payload: bytes, number: int = 0) -> bytes:  # noqa: ARG002
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
    confirms = start_at = 0
    receipt = None
    ping = b"PING\r\n"
    pong = b"PONG\r\n"

    def prepare_publisher(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """INFO, CONNECT, and a PING to know that it was taken."""
        self._confirm(connection, b"")

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """SUB, and a PING behind it."""
        self._confirm(connection, self.subscribe(subject, 1))

    def _confirm(self, connection: socket.socket, request: bytes) -> None:
        read_through(connection, b"\r\n")
        connection.sendall(_CONNECT + request + self.ping)
        read_through(connection, self.pong)

    def published(self, subject: str, payload: bytes, number: int = 0) -> bytes:  # noqa: ARG002
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


class Mqtt:
    """MQTT 3.1.1, to publish and to subscribe at one quality of service: 0 or 1."""

    start_at = 0
    # PUBACK; in a PUBLISH the packet identifier is the last before the payload.
    receipt = Receipt(before=b"\x40\x02", identifier_bytes=2, delivered_at=-2)

    def __init__(self, qos: int = 0) -> None:
        self._qos = qos
        self.replies = qos > 0
        self.confirms = qos

    def prepare_publisher(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """CONNECT: clean session, no keep-alive, and the broker makes up a client identifier."""
        connect = _packet(0x10, _text("MQTT"), b"\x04\x02", bytes(2), _text(""))
        _exchange(connection, connect, b"\x20\x02\x00\x00")

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:
        """CONNECT and SUBSCRIBE."""
        self.prepare_publisher(connection, group, subject)
        qos = bytes([self._qos])
        pattern = _topic(subject.replace("*", "+"))
        subscribe = _packet(0x82, _identifier(0), pattern, qos)
        _exchange(connection, subscribe, b"\x90\x03" + _identifier(0) + qos)

    def published(self, subject: str, payload: bytes, number: int = 0) -> bytes:
        """PUBLISH, with a packet identifier at QoS 1."""
        identifier = _identifier(number) if self._qos else b""
        return _packet(0x30 | self._qos << 1, _topic(subject), identifier, payload)

    def delivered(self, subject: str, pattern: str, payload: bytes) -> bytes:  # noqa: ARG002
        """The same packet, but for the identifier."""
        return self.published(subject, payload)


def _exchange(connection: socket.socket, request: bytes, answer: bytes) -> None:
    """Send a packet and read the one that is due. Raises OSError."""
    connection.sendall(request)
    received = read_up_to(connection, len(answer))
    if received != answer:
        raise ConnectionError(f"the broker answered {received.hex()}, not {answer.hex()}")


def _packet(first: int, *fields: bytes) -> bytes:
    """A control packet: how many bytes remain is said in sevens of bits, the least first."""
    rest = b"".join(fields)
    head = bytearray([first])
    remaining = len(rest)
    while remaining > 0x7F:
        head.append(remaining & 0x7F | 0x80)
        remaining >>= 7
    head.append(remaining)
    return bytes(head) + rest


def _text(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode("ascii")


def _topic(subject: str) -> bytes:
    return _text(subject.replace(".", "/"))


def _identifier(number: int) -> bytes:
    """Counted from 1: there is no packet identifier 0."""
    return (number + 1).to_bytes(2, "big")


class Relayed:
    """The frames of a protocol, forwarded as they are by `relay.Relay`."""

    replies = False
    confirms = 0

    def __init__(self, frames: Dialect) -> None:
        self._frames = frames
        self.receipt = frames.receipt
        self.start_at = frames.start_at

    def prepare_publisher(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """The first line."""
        self._introduce(connection, b"P %d\n" % group)

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """The first line."""
        self._introduce(connection, b"S %d\n" % group)

    def _introduce(self, connection: socket.socket, line: bytes) -> None:
        connection.sendall(line)
        read_through(connection, b"+")

    def published(self, subject: str, payload: bytes, number: int = 0) -> bytes:
        """As the protocol has it."""
        return self._frames.published(subject, payload, number)

    def delivered(self, subject: str, pattern: str, payload: bytes) -> bytes:  # noqa: ARG002
        """The same bytes."""
        return self._frames.published(subject, payload)


SUBSCRIBING: dict[str, Subscribing] = {"redis": Redis(), "nats": Nats()}


def dialect_of(shape: Shape) -> Dialect:
    """How a load of this shape talks.

    Raises:
        ValueError: the protocol has no such quality of service.
    """
    if not 0 <= shape.qos <= (shape.protocol in {"mqtt", "amqp"}):
        raise ValueError(f"no {shape.protocol} load has quality of service {shape.qos}")
    if shape.protocol == "mqtt":
        return Mqtt(shape.qos)
    if shape.protocol == "amqp":
        return Amqp(shape)
    return SUBSCRIBING[shape.protocol]
