"""What a broker says to a load generator: how it is waited for, and what a receipt looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket

# What a broker may take to confirm: thousands of connections are made in a row.
CONFIRM_SECONDS = 20.0


class Receipt(NamedTuple):
    """How a protocol acknowledges a message: fixed bytes around the message's identifier.

    An identifier of two bytes stands in the published frame; it is the frame's place in its ring,
    counted from 1. One of eight bytes is counted from 1 by both sides and never comes again. Both
    are in network byte order. ``delivered_at`` is where a delivered frame has the broker's own:
    from the frame's start, or, if negative, from the payload's. After the identifier of a
    ``cumulative`` receipt comes a byte that is 1 if it is for all messages up to that one.
    """

    before: bytes
    identifier_bytes: int
    delivered_at: int
    cumulative: bool = False
    after: bytes = b""


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


def read_up_to(connection: socket.socket, size: int) -> bytes:
    """Read ``size`` bytes, or what came before the broker closed the connection.

    Raises:
        TimeoutError: nothing came.
    """
    connection.settimeout(CONFIRM_SECONDS)
    received = b""
    while len(received) < size:
        more = connection.recv(size - len(received))
        if not more:
            break
        received += more
    return received
