"""AMQP connections without a socket: a listener over a broker of its own, frames in and out."""

from __future__ import annotations

from itertools import count

from hubbub.broker.broker import Broker
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.protocols.amqp import codec
from hubbub.protocols.amqp.listener import AmqpListener
from hubbub.protocols.amqp.properties import Properties, encode_properties
from hubbub.protocols.amqp.tables import table_of

START = 1000.0
WALL_MS = 1_700_000_000_123
CAPABILITIES = ("consumer_cancel_notify", "connection.blocked", "authentication_failure_close")


def amqp_listener(log=None, access=None, **settings):
    """A listener with a broker of its own."""
    timers = Timers(now=START, wall_ms=WALL_MS)
    return AmqpListener(Broker(log or MemoryLog(), timers, access=access), settings)


def restarted(listener, log=None):
    """The next process, with what the log holds."""
    listener.broker.work_queues.close()
    timers = Timers(now=START, wall_ms=listener.timers.wall_ms)
    return AmqpListener(Broker(log or listener.broker.log, timers))


def pass_time(listener, seconds=0.0):
    """Let so many seconds pass, timer by timer."""
    timers = listener.timers
    end = timers.now + seconds
    for _ in range(100_000):
        due = timers.next_due()
        if due is None or due > end:
            break
        _advance(timers, max(due, timers.now))
    _advance(timers, end)


def _advance(timers, now):
    timers.advance(now, timers.wall_ms + round((now - timers.now) * 1000))


class Content:
    """A message that came, behind its method."""

    def __init__(self, method, properties, body):
        self.method = method
        self.properties = properties
        self.body = body

    @property
    def name(self):
        return self.method.name

    @property
    def args(self):
        return self.method.args


class Connection:
    """A connection, open unless ``opened`` is false."""

    ports = count(20_000)

    def __init__(self, listener, vhost="/", *, opened=True, heartbeat=0, frame_max=131_072):
        self.listener = listener
        self.outbox = Outbox()
        peer = Peer(("127.0.0.1", next(self.ports)), ("127.0.0.1", 5672))
        self.session = listener.session(peer, self.outbox)
        self.is_over = False
        if not opened:
            return
        self.session.receive(codec.PROTOCOL_HEADER)
        self.send(0, "connection.start-ok", mechanism="PLAIN", response=b"\0guest\0guest",
                  locale="en_US", client_properties=table_of(
                      {"capabilities": dict.fromkeys(CAPABILITIES, True)}))  # fmt: skip
        self.send(0, "connection.tune-ok", channel_max=2047, frame_max=frame_max,
                  heartbeat=heartbeat)  # fmt: skip
        self.send(0, "connection.open", virtual_host=vhost)
        assert self.frames()[-1][1].name == "connection.open-ok"

    def send(self, channel, name, **fields):
        self.session.receive(codec.encode(channel, name, **fields))

    def frames(self):
        """What came as (channel, method or content); heartbeats are left out."""
        pass_time(self.listener)
        if not self.is_over and not self.session.paused:
            self.session.resume()
        data = b"".join(self.outbox.take())
        found, partly = [], {}
        for kind, channel, payload in codec.split_frames(data):
            if kind == codec.FRAME_HEARTBEAT:
                continue
            if kind == codec.FRAME_METHOD:
                method = codec.decode_method(payload)
                if method.content:
                    partly[channel] = [method, None, b"", 0]
                    continue
                found.append((channel, method))
                continue
            content = partly[channel]
            if kind == codec.FRAME_HEADER:
                _, _, content[3] = codec.CONTENT_HEADER.unpack_from(payload)
                content[1] = payload[codec.CONTENT_HEADER.size :]
            else:
                content[2] += payload
            if len(content[2]) == content[3]:
                found.append((channel, Content(*content[:3])))
                del partly[channel]
        return found

    def drop(self):
        """The connection is lost."""
        if not self.is_over:
            self.is_over = True
            self.session.disconnected()
            pass_time(self.listener)

    def channel(self, number=1):
        channel = Channel(self, number)
        assert channel.ask("channel.open").name == "channel.open-ok"
        return channel


class Channel:
    """One of its channels."""

    def __init__(self, connection, number):
        self.connection = connection
        self.number = number

    def send(self, name, **fields):
        self.connection.send(self.number, name, **fields)

    def ask(self, name, **fields):
        """Send a method; the last that came after it."""
        self.send(name, **fields)
        return self.read()[-1]

    def read(self):
        """What came since the last look, of this channel or of the connection."""
        return [each for number, each in self.connection.frames() if number in (0, self.number)]

    def names(self):
        return [each.name for each in self.read()]

    def queue(self, name="q", *, durable=False, exclusive=False, auto_delete=False, **arguments):
        answer = self.ask(
            "queue.declare", queue=name, durable=durable, exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=table_of({key.replace("_", "-"): value for key, value in arguments.items()}),
        )  # fmt: skip
        assert answer.name == "queue.declare-ok", answer
        return answer.args.queue

    def consume(self, queue="q", tag="", *, no_ack=False, **arguments):
        self.send(
            "basic.consume", queue=queue, consumer_tag=tag, no_ack=no_ack,
            arguments=table_of({key.replace("_", "-"): value for key, value in arguments.items()}),
        )  # fmt: skip

    def publish(self, key="q", body=b"body", exchange="", *, mandatory=False, raw=None, **fields):
        self.connection.session.receive(
            published(self.number, key, body, exchange, mandatory=mandatory, raw=raw, **fields)
        )

    def get(self, queue="q", *, no_ack=False):
        return self.ask("basic.get", queue=queue, no_ack=no_ack)


def published(
    channel, key="q", body=b"body", exchange="", *, mandatory=False, raw=None, headers=None,
    frame_max=131_072, **fields,
):  # fmt: skip
    """The frames of a publish; ``raw`` are properties as bytes."""
    if raw is None:
        raw = encode_properties(
            Properties(headers=None if headers is None else table_of(headers), **fields)
        )
    most = frame_max - codec.FRAME_BYTES
    parts = [body[at : at + most] for at in range(0, len(body), most)]
    return (
        codec.encode(
            channel, "basic.publish", exchange=exchange, routing_key=key, mandatory=mandatory
        )
        + codec.frame(
            codec.FRAME_HEADER, channel, codec.CONTENT_HEADER.pack(60, 0, len(body)) + raw
        )
        + b"".join(codec.frame(codec.FRAME_BODY, channel, part) for part in parts)
    )
