"""A listening socket: takes connections as they come, and no more than there is room for."""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

from hubbub.server.connection import Connection

if TYPE_CHECKING:
    import asyncio
    import socket

    from hubbub.server.connection import Listener
    from hubbub.server.turn import Turn

logger = logging.getLogger(__name__)

# Taken in one go; those who are connected already have their turn in between.
ACCEPTED_PER_TURN = 64
# When no descriptor is free, so long until it is tried again: some connection may end meanwhile.
PAUSE_SECONDS = 1.0

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Acceptor:
    """Gives a listener's sessions their connections until closed; the socket listens already."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        listener: Listener,
        turn: Turn,
        open_connections: set[Connection],
        limit: int,
    ) -> None:
        self._loop = loop
        self._listening = listening
        self._listener = listener
        self._turn = turn
        self._open = open_connections
        self._limit = limit
        self._pause: asyncio.TimerHandle | None = None
        self._resume()

    def close(self) -> None:
        """Accept nothing more."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_PER_TURN):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._refused(error)
                return
            self._take(accepted)

    def _take(self, accepted: socket.socket) -> None:
        if len(self._open) >= self._limit:
            logger.warning("%s: %d connections are open already", self._listener.name, self._limit)
            accepted.close()
            return
        try:
            Connection(self._listener, self._turn, self._open).accept(accepted)
        except OSError:  # gone again before it was greeted
            accepted.close()

    def _refused(self, error: OSError) -> None:
        if error.errno not in _EXHAUSTED:
            raise error
        logger.error("%s: cannot accept: %s", self._listener.name, error.strerror)
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(PAUSE_SECONDS, self._resume)
