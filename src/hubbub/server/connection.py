"""A socket and its session."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, ParamSpec, Protocol, cast

from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer, Session
from hubbub.model.faults import contain

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.server.turn import Turn

P = ParamSpec("P")

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """One protocol's front: makes the session of each connection."""

    name: str
    default_port: int

    def session(self, peer: Peer, outbox: Outbox) -> Session:
        """The session of a connection just accepted."""


class Connection(asyncio.Protocol):
    """Feeds its session and sends what the session wrote, once a loop turn."""

    def __init__(
        self, listener: Listener, turn: Turn, open_connections: set[Connection], limit: int
    ) -> None:
        self._listener = listener
        self._turn = turn
        self._open = open_connections
        self._limit = limit
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._outbox = Outbox(self._outbox_ready)
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._write_paused = False
        self._read_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept."""
        # uvloop's transports are asyncio's in all but name.
        self._made(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        """Feed the session."""
        if self._session is None or self._outbox.closing or self._outbox.aborted:
            return
        self._turn.begin()
        self._call(self._session.receive, data)
        if self._session.paused:
            self._pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Let the session go."""
        self._open.discard(self)
        self._transport = None
        session, self._session = self._session, None
        if session is not None:
            self._turn.begin()
            contain(session.disconnected)
        if not self.gone.done():
            self.gone.set_result(None)

    def pause_writing(self) -> None:
        """The peer reads slower than it is sent to: take nothing more from it either."""
        self._write_paused = True
        self._pause_reading()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._write_paused = False
        if self._transport is not None:
            self._outbox.backlog = self._transport.get_write_buffer_size()
        self._resume_reading()

    def flush(self) -> None:
        """Send what the session wrote since the last flush."""
        transport = self._transport
        if transport is None:
            return
        if self._outbox.aborted:
            if self._outbox.overflowed:
                logger.warning("%s: slow consumer disconnected", self._listener.name)
            transport.abort()
            return
        chunks = self._outbox.take()
        if chunks:
            transport.writelines(chunks)
            self._outbox.backlog = transport.get_write_buffer_size()
        if self._outbox.closing:
            transport.close()
        if self._session is not None and self._session.paused:
            self._pause_reading()
        else:
            self._resume_reading()

    def close(self) -> None:
        """Send what is written and close."""
        self._outbox.close()

    def _made(self, transport: asyncio.Transport) -> None:
        if len(self._open) >= self._limit:
            logger.warning("%s: %d connections are open already", self._listener.name, self._limit)
            transport.abort()
            return
        raw: socket.socket = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanished without a word is noticed, in the system's own time.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._transport = transport
        self._open.add(self)
        remote = transport.get_extra_info("peername") or ("", 0)
        local = transport.get_extra_info("sockname") or ("", 0)
        self._turn.begin()
        peer = Peer((remote[0], remote[1]), (local[0], local[1]))
        self._session = self._listener.session(peer, self._outbox)
        self._outbox_ready()

    def _outbox_ready(self) -> None:
        self._turn.ready(self)

    def _pause_reading(self) -> None:
        if not self._read_paused and self._transport is not None:
            self._read_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if (
            self._read_paused
            and not self._write_paused
            and self._transport is not None
            and self._session is not None
            and not self._session.paused
            and not self._transport.is_closing()
        ):
            self._read_paused = False
            self._transport.resume_reading()
            self._call(self._session.resume)

    def _call(self, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """A step of the session; one that raises is a fault of ours and ends this connection only."""
        try:
            step(*args, **kwargs)
        except Exception:
            logger.exception("%s: session failed", self._listener.name)
            self._outbox.close()
