import asyncio
import socket
from typing import Protocol

from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer, Session
from hubbub.server.turn import Flushable, Turn

READ_BYTES: int

class Listener(Protocol):
    """One protocol's front: makes the session of each connection."""

    name: str
    default_port: int

    def session(self, peer: Peer, outbox: Outbox) -> Session:
        """The session of a connection just accepted.

        What it has to say is in its ``outbox``: the given one, or one of its own that wakes it.
        """

class Connection(Flushable):
    """A socket and its session: feeds it, and sends what it wrote, once a loop turn."""

    def __init__(
        self, listener: Listener, turn: Turn, open_connections: set[Connection]
    ) -> None: ...
    @property
    def gone(self) -> asyncio.Future[None]:
        """Done once the socket is closed and the session has let go."""
    def accept(self, accepted: socket.socket) -> None:
        """Begin, on a socket that is the connection's from now on."""
    def flush(self) -> None:
        """Send what the session wrote since the last flush."""
    def close(self) -> None:
        """Send what is written and close."""
