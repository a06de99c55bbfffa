"""A NATS connection without a socket, and a strict reader of what it is sent."""

from __future__ import annotations

import re
from itertools import count
from typing import NamedTuple

from hubbub.broker.broker import Broker
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.protocols.nats.listener import NatsListener

QUIET = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n'
START = 1000.0
WALL_MS = 1_700_000_000_123


def nats_listener(log=None, access=None, **settings):
    timers = Timers(now=START, wall_ms=WALL_MS)
    return NatsListener(Broker(log or MemoryLog(), timers, access=access), settings)


def pass_time(listener, seconds):
    """Let so many seconds pass, in steps short enough for every timer to have its turn."""
    end = listener.timers.now + seconds
    while (due := listener.timers.next_due()) is not None and due <= end:
        listener.timers.advance(due, WALL_MS)
    listener.timers.advance(end, WALL_MS)


class Connection:
    """One client of a listener. ``ask`` sends bytes and returns all that came back."""

    ports = count(40_000)

    def __init__(self, listener, hello=b""):
        self.outbox = Outbox()
        peer = Peer(("127.0.0.1", next(self.ports)), ("127.0.0.1", 4222))
        self.session = listener.session(peer, self.outbox)
        self.info = self.read()
        self.ask(hello)

    def ask(self, data):
        self.session.receive(data)
        return self.read()

    def read(self):
        return b"".join(self.outbox.take())

    def messages(self):
        """The messages that came since the last look."""
        return messages_of(self.read())

    def payloads(self):
        return [message.payload for message in self.messages()]

    @property
    def closed(self):
        return self.outbox.closing or self.outbox.aborted


class Delivered(NamedTuple):
    """One MSG or HMSG."""

    subject: bytes
    sid: bytes
    reply: bytes
    headers: bytes | None
    payload: bytes


_HEAD = re.compile(rb"(H?)MSG ([^ ]+) ([^ ]+) (?:([^ ]+) )??(?:(\d+) )?(\d+)")


def frames(data):
    """What a client reads: ``Delivered``, or the line of anything else. Fails on a loose byte."""
    found = []
    while data:
        line, end, data = data.partition(b"\r\n")
        assert end, line
        assert not re.search(rb"[\x00-\x1f\x7f]", line), line
        head = _HEAD.fullmatch(line)
        if head is None:
            assert line == b"+OK" or line in {b"PING", b"PONG"} or line.startswith(b"-ERR '"), line
            found.append(line)
            continue
        has_headers, subject, sid, reply, header_size, size = head.groups()
        if not has_headers and header_size is not None:  # a reply that is a number
            reply, header_size = header_size, None
        split, size = int(header_size or 0), int(size)
        assert bool(has_headers) == (header_size is not None), line
        assert split <= size, line
        assert data[size : size + 2] == b"\r\n", (line, data)
        headers = data[:split] if has_headers else None
        found.append(Delivered(subject, sid, reply or b"", headers, data[split:size]))
        data = data[size + 2 :]
    return found


def messages_of(data):
    """The frames, which are messages all of them."""
    found = frames(data)
    assert all(isinstance(frame, Delivered) for frame in found), found
    return found


def pub(subject, payload=b"", reply=b"", headers=None):
    """PUB, or HPUB where there is a header block."""
    middle = b" " + reply if reply else b""
    if headers is None:
        return b"PUB %b%b %d\r\n%b\r\n" % (subject, middle, len(payload), payload)
    return b"HPUB %b%b %d %d\r\n%b\r\n" % (
        subject, middle, len(headers), len(headers) + len(payload), headers + payload,
    )  # fmt: skip
