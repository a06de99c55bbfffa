"""Servers for the load generator to talk to: a faulty one, and the real ones."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from hubbub.bench.dialects import Redis
from hubbub.bench.peers import PEERS, UnavailableError, running
from hubbub.bench.shape import Shape, Task

FRAME_BYTES = len(Redis().published("bench.00000", bytes(128)))


def task(port, *, relay=False, protocol="redis", **shape):
    """A load that is over soon."""
    quick = {"warmup": 0.02, "seconds": 0.2, "patience": 0.5, **shape}
    return Task(host="127.0.0.1", port=port, relay=relay, shape=Shape(protocol=protocol, **quick))


@contextmanager
def started_or_skipped(name, protocol, directory):
    """A real broker, if it is on this machine."""
    try:
        with running(PEERS[name], protocol, directory / name) as started:
            yield started
    except UnavailableError as error:
        pytest.skip(str(error))


@contextmanager
def faulty_relay(alter):
    """As the relay, for one subscriber and then one publisher; ``alter`` gets each frame.

    ``alter(number, frame)`` returns the bytes that are forwarded in its place.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_forward, args=(listener, alter))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def _forward(listener, alter):
    subscriber, _ = listener.accept()
    # A generator that has seen enough hangs up.
    with suppress(ConnectionError), subscriber, subscriber.makefile("rb") as lines:
        assert lines.readline() == b"S 0\n"
        subscriber.sendall(b"+")
        publisher, _ = listener.accept()
        with publisher, publisher.makefile("rb") as frames:
            assert frames.readline() == b"P 0\n"
            publisher.sendall(b"+")
            number = 0
            while frame := frames.read(FRAME_BYTES):
                subscriber.sendall(alter(number, frame))
                number += 1
