"""A real server on loopback, in a thread of the test's own process."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

from hubbub.bus.loop_thread import LoopThread
from hubbub.server.binding import Endpoint, bind
from hubbub.server.config import Config, ServerSection
from hubbub.server.server import Server


class LoopbackServer:
    """``bus`` only; ``stop`` and ``start`` again keep the port, and the data of a directory."""

    def __init__(self, directory=None, port=0):
        section = ServerSection(memory=directory is None, data=str(directory or ""))
        self._config = Config(server=section)
        self._port = port
        self._thread = None

    @property
    def url(self):
        return f"hubbub://127.0.0.1:{self._port}"

    def start(self):
        bound = bind(Endpoint("bus", "127.0.0.1", self._port))
        self._port = bound.getsockname()[1]
        self._thread = LoopThread("test-server")
        self._server = Server(self._config)
        self._run(self._server.start({"bus": bound}))

    def stop(self):
        if self._thread is not None:
            self._run(self._server.stop())
            self._thread.close()
            self._thread = None

    def _run(self, coroutine):
        asyncio.run_coroutine_threadsafe(coroutine, self._thread.loop).result(20)


@contextmanager
def serving(directory=None):
    server = LoopbackServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
