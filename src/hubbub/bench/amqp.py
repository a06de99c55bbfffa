"""What a load generator says in AMQP 0-9-1: queues and exchanges of its own, and acknowledgements."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hubbub.bench.answers import Receipt, read_up_to

if TYPE_CHECKING:
    import socket

    from hubbub.bench.shape import Shape

# As many unacknowledged deliveries as a consumer takes. Without a limit a broker that delivers
# before it has dealt with acknowledgements would be measured without them; much less than what is
# on its way in a load would be measured instead of the broker.
PREFETCH_MIN = 1000
_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD, _CONTENT_HEADER, _BODY = 1, 2, 3
_FRAME_END = b"\xce"
_FRAME_HEAD = struct.Struct(">BHI")
_CHANNEL = 1
# Methods, by class and number.
_START, _START_OK = (10, 10), (10, 11)
_TUNE, _TUNE_OK = (10, 30), (10, 31)
_OPEN, _OPEN_OK = (10, 40), (10, 41)
_CHANNEL_OPEN, _CHANNEL_OPEN_OK = (20, 10), (20, 11)
_EXCHANGE_DECLARE, _EXCHANGE_DECLARE_OK = (40, 10), (40, 11)
_QUEUE_DECLARE, _QUEUE_DECLARE_OK = (50, 10), (50, 11)
_QUEUE_BIND, _QUEUE_BIND_OK = (50, 20), (50, 21)
_QUEUE_DELETE, _QUEUE_DELETE_OK = (50, 40), (50, 41)
_QOS, _QOS_OK = (60, 10), (60, 11)
_CONSUME, _CONSUME_OK = (60, 20), (60, 21)
_PUBLISH, _DELIVER, _ACK = (60, 40), (60, 60), (60, 80)
_CONFIRM_SELECT, _CONFIRM_SELECT_OK = (85, 10), (85, 11)
# Bits of queue.declare.
_DURABLE, _EXCLUSIVE = 0x02, 0x04
_TOPICS = "amq.topic"
_CONSUMER_TAG = "c"
_PERSISTENT = b"\x10\x00\x02"  # the flag of delivery-mode, and the mode
_TAG_BYTES = 8
# In a frame of basic.deliver: after its head, its class and number, and the consumer tag.
_TAG_AT = _FRAME_HEAD.size + 4 + 1 + len(_CONSUMER_TAG)


def _frame(kind: int, payload: bytes, channel: int = _CHANNEL) -> bytes:
    return _FRAME_HEAD.pack(kind, channel, len(payload)) + payload + _FRAME_END


def _method(method: tuple[int, int], *arguments: bytes, channel: int = _CHANNEL) -> bytes:
    return _frame(_METHOD, struct.pack(">HH", *method) + b"".join(arguments), channel)


def _short(text: str) -> bytes:
    """A short string."""
    return bytes([len(text)]) + text.encode("ascii")


def _long(value: bytes) -> bytes:
    """A long string, or the fields of a table."""
    return len(value).to_bytes(4, "big") + value


class Amqp:
    """One channel a connection; which exchange is published to depends on the load's shape.

    A group with one subscriber has a queue that is published to by its name; with several, a
    fan-out exchange with a queue for each of them; with topics, bindings to ``amq.topic``. All of
    it is transient, and publishers are told nothing. At quality of service 1, messages are
    persistent, queues durable, and publishers wait for confirms.
    """

    # Behind the frame's type and channel: its size, which methods that were not due do not have.
    start_at = 3
    receipt = Receipt(
        before=_method(_ACK, bytes(_TAG_BYTES + 1))[: -_TAG_BYTES - 2],
        identifier_bytes=_TAG_BYTES,
        delivered_at=_TAG_AT,
        cumulative=True,
        after=_FRAME_END,
    )

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._stored = shape.qos > 0
        self.replies = self._stored
        self.confirms = shape.acks

    def prepare_publisher(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """Open a channel; without subscribers, also make the queue."""
        _open(connection)
        if not self._shape.subscribers:
            self._make_queue(connection, _queue_name(subject))
        if self.replies:
            _call(connection, _method(_CONFIRM_SELECT, b"\0"), _CONFIRM_SELECT_OK)

    def prepare_subscriber(self, connection: socket.socket, group: int, subject: str) -> None:  # noqa: ARG002
        """Open a channel, make a queue and consume from it."""
        _open(connection)
        if self._shape.topics > 1:
            queue = self._bind(connection, _TOPICS, subject)
        elif self._shape.subscribers > 1:
            declare = (bytes(2), _short(subject), _short("fanout"), b"\0", _long(b""))
            _call(connection, _method(_EXCHANGE_DECLARE, *declare), _EXCHANGE_DECLARE_OK)
            queue = self._bind(connection, subject, "")
        else:
            queue = _queue_name(subject)
            self._make_queue(connection, queue)
        if self.confirms:
            prefetch = max(PREFETCH_MIN, 2 * self.confirms)
            qos = struct.pack(">IHB", 0, prefetch, 0)
            _call(connection, _method(_QOS, qos), _QOS_OK)
        # No-ack is the second bit.
        bits = b"\0" if self.confirms else b"\2"
        consume = (bytes(2), _short(queue), _short(_CONSUMER_TAG), bits, _long(b""))
        _call(connection, _method(_CONSUME, *consume), _CONSUME_OK)

    def _make_queue(self, connection: socket.socket, name: str) -> None:
        """A queue that is empty, whatever an earlier load left in it."""
        delete = _method(_QUEUE_DELETE, bytes(2), _short(name), b"\0")
        _call(connection, delete, _QUEUE_DELETE_OK)
        bits = bytes([_DURABLE if self._stored else 0])
        declare = _method(_QUEUE_DECLARE, bytes(2), _short(name), bits, _long(b""))
        _call(connection, declare, _QUEUE_DECLARE_OK)

    def _bind(self, connection: socket.socket, exchange: str, key: str) -> str:
        """A queue of this connection's own, which ends with it; its name, which the broker makes up."""
        bits = bytes([_EXCLUSIVE | (_DURABLE if self._stored else 0)])
        declare = _method(_QUEUE_DECLARE, bytes(2), _short(""), bits, _long(b""))
        answer = _call(connection, declare, _QUEUE_DECLARE_OK)
        queue = answer[1 : 1 + answer[0]].decode("ascii")
        bind = (bytes(2), _short(queue), _short(exchange), _short(key), b"\0", _long(b""))
        _call(connection, _method(_QUEUE_BIND, *bind), _QUEUE_BIND_OK)
        return queue

    def published(self, subject: str, payload: bytes, number: int = 0) -> bytes:  # noqa: ARG002
        """basic.publish, and its content."""
        exchange, key = self._route(subject)
        publish = _method(_PUBLISH, bytes(2), _short(exchange), _short(key), b"\0")
        return publish + self._content(payload)

    def delivered(self, subject: str, pattern: str, payload: bytes) -> bytes:  # noqa: ARG002
        """basic.deliver, and the same content."""
        exchange, key = self._route(subject)
        tag = bytes(_TAG_BYTES)
        arguments = (_short(_CONSUMER_TAG), tag, b"\0", _short(exchange), _short(key))
        return _method(_DELIVER, *arguments) + self._content(payload)

    def _route(self, subject: str) -> tuple[str, str]:
        if self._shape.topics > 1:
            return _TOPICS, subject
        return (subject, "") if self._shape.subscribers > 1 else ("", _queue_name(subject))

    def _content(self, payload: bytes) -> bytes:
        properties = _PERSISTENT if self._stored else bytes(2)
        header = struct.pack(">HHQ", 60, 0, len(payload)) + properties
        return _frame(_CONTENT_HEADER, header) + _frame(_BODY, payload)


def _queue_name(subject: str) -> str:
    """Not the subject itself, which is a topic of the broker where messages are stored, too."""
    return f"queue.{subject}"


def _open(connection: socket.socket) -> None:
    """A connection, without heartbeats, and a channel. Raises OSError."""
    _call(connection, _HEADER, _START)
    response = _long(b"\0guest\0guest")
    start_ok = _method(_START_OK, _long(b""), _short("PLAIN"), response, _short("en_US"), channel=0)
    limits = _call(connection, start_ok, _TUNE)[:6]  # of channels, and of a frame's size
    tune_ok = _method(_TUNE_OK, limits, bytes(2), channel=0)
    host = _method(_OPEN, _short("/"), _short(""), b"\0", channel=0)
    _call(connection, tune_ok + host, _OPEN_OK)
    _call(connection, _method(_CHANNEL_OPEN, _short("")), _CHANNEL_OPEN_OK)


def _call(connection: socket.socket, request: bytes, wanted: tuple[int, int]) -> bytes:
    """Send, and read the method that is due; its arguments.

    Raises:
        OSError: something else came, or nothing.
    """
    connection.sendall(request)
    head = read_up_to(connection, _FRAME_HEAD.size)
    if len(head) < _FRAME_HEAD.size or head[0] != _METHOD:
        raise ConnectionError(f"the broker answered {head!r}, not the method {wanted}")
    size = _FRAME_HEAD.unpack(head)[2]
    payload = read_up_to(connection, size + len(_FRAME_END))[:size]
    if payload[:4] != struct.pack(">HH", *wanted):
        raise ConnectionError(f"the broker answered {payload!r}, not the method {wanted}")
    return payload[4:]
