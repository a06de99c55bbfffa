"""AMQP connections without a socket, and frames in a form to compare: what was said, not how."""

from __future__ import annotations

import re
from itertools import count

from hubbub.broker.broker import Broker
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.protocols.amqp.codec import (
    PROTOCOL_HEADER,
    decode_content_header,
    decode_method,
    encode,
    split_frames,
)
from hubbub.protocols.amqp.constants import FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD
from hubbub.protocols.amqp.listener import AmqpListener
from hubbub.protocols.amqp.properties import decode_properties
from hubbub.protocols.amqp.tables import plain, table_of

START = 1000.0
WALL_MS = 1_700_000_000_123
MOST_STEPS = 100_000  # of timers: one that sets itself again would be endless
CAPABILITIES = (
    "authentication_failure_close", "consumer_cancel_notify", "connection.blocked", "basic.nack",
    "publisher_confirms", "exchange_exchange_bindings",
)  # fmt: skip

# Names and numbers that happen to be what they are.
GENERATED = (
    (re.compile(r"amq\.gen-[\w-]+"), "amq.gen-1"),
    (re.compile(r"amq\.ctag-[\w-]+"), "amq.ctag-1"),
    (re.compile(r"amq\.rabbitmq\.reply-to\.[\w.+/=-]+"), "amq.rabbitmq.reply-to.1"),
    (re.compile(r"\n *"), ""),  # how Erlang breaks what is long
)


def amqp_listener(log=None, **settings):
    """A listener with a broker of its own."""
    timers = Timers(now=START, wall_ms=WALL_MS)
    return AmqpListener(Broker(log or MemoryLog(), timers), settings)


def pass_time(listener, seconds):
    """Let so many seconds pass, in steps short enough for every timer to have its turn."""
    timers = listener.timers
    end = timers.now + seconds
    for _ in range(MOST_STEPS):
        due = timers.next_due()
        if due is None or due > end:
            break
        _advance(timers, max(due, timers.now))
    else:
        raise AssertionError("time stands still: a timer sets itself again without delay")
    _advance(timers, end)


def _advance(timers, now):
    timers.advance(now, timers.wall_ms + round((now - timers.now) * 1000))


def handshake(properties=None, **agreed):
    """What a client says up to connection.open."""
    agreed = {"channel_max": 2047, "frame_max": 131_072, "heartbeat": 0} | agreed
    properties = properties or {"capabilities": dict.fromkeys(CAPABILITIES, True)}
    said_first = {"client_properties": table_of(properties), "response": b"\0guest\0guest"}
    return b"".join(
        (
            PROTOCOL_HEADER,
            encode(0, "connection.start-ok", **said_first),
            encode(0, "connection.tune-ok", **agreed),
            encode(0, "connection.open", virtual_host="/"),
        )
    )


class Connection:
    """A session of a listener, and what the server around it would do."""

    ports = count(20_000)

    def __init__(self, listener):
        self.listener = listener
        self.outbox = Outbox()
        peer = Peer(("127.0.0.1", next(self.ports) % 60_000), ("127.0.0.1", 5672))
        self.session = listener.session(peer, self.outbox)
        self.is_over = False

    def send(self, *data):
        if not self.is_over:
            self.session.receive(b"".join(data))

    def read(self, seconds=0):
        """The bytes that came, once so much time has passed."""
        pass_time(self.listener, seconds)
        if not self.is_over and not self.session.paused:
            self.session.resume()
            pass_time(self.listener, 0)
        data = b"".join(self.outbox.take())
        if self.hung_up:
            self.drop()
        return data

    def ask(self, *data, seconds=0):
        """Send, and return what came: see `said`."""
        self.send(*data)
        return said(self.read() + (self.read(seconds) if seconds else b""))

    def open(self, channels=(1,), properties=None, **agreed):
        """Up to connection.open-ok, and some channels."""
        answers = self.ask(
            handshake(properties, **agreed),
            *(encode(number, "channel.open") for number in channels),
        )
        names = [name for _, name, *_ in answers]
        assert names == [
            *("connection.start", "connection.tune", "connection.open-ok"),
            *["channel.open-ok"] * len(channels),
        ], answers
        return self

    @property
    def closed(self):
        """Whether nothing more is carried out."""
        return self.session.closed or self.hung_up

    @property
    def hung_up(self):
        """Whether the server closes the socket."""
        return self.outbox.closing or self.outbox.aborted

    def drop(self):
        """The connection is no more."""
        if not self.is_over:
            self.is_over = True
            self.session.disconnected()
            pass_time(self.listener, 0)


def said(data):
    """Channel, name and what is not the default of each frame, in lists as JSON has them."""
    found = []
    if data.startswith(PROTOCOL_HEADER):
        found.append([0, "protocol header"])
        data = data[len(PROTOCOL_HEADER) :]
    for kind, channel, payload in split_frames(data):
        if kind == FRAME_METHOD:
            found.append(_method(channel, payload))
        elif kind == FRAME_HEADER:
            _, size, properties = decode_content_header(payload)
            read = decode_properties(properties)
            given = {name: getattr(read, name) for name in read.__struct_fields__}
            given = {name: value for name, value in given.items() if value is not None}
            found.append([channel, "header", as_json({"size": size, **given})])
        elif kind == FRAME_HEARTBEAT:
            found.append([channel, "heartbeat"])
        else:
            found.append([channel, "body", payload.decode("latin-1")])
    return found


def _method(channel, payload):
    method = decode_method(payload)
    if method.name == "connection.start":
        return [channel, method.name]  # each server says who it is
    args = {name: getattr(method.args, name) for name in method.args.__struct_fields__}
    if method.name.endswith(".close"):
        where = f"{args['class_id']}.{args['method_id']}"
        return [channel, method.name, args["reply_code"], where, as_json(args["reply_text"])]
    defaults = type(method.args)()
    args = {n: value for n, value in args.items() if value != getattr(defaults, n)}
    return [channel, method.name, as_json(args)]


def as_json(value):
    """Without what differs each time."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, str):
        for pattern, name in GENERATED:
            value = pattern.sub(name, value)
        return value
    if isinstance(value, dict):
        return {name: as_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_json(each) for each in value]
    if hasattr(value, "letter"):
        if value.letter in "FA":
            return as_json(value.value)
        return "now" if value.letter == "T" else as_json(plain(value))
    return value
