"""The life of a server process: recover, serve, and on SIGTERM finish what was begun."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sys
from typing import TYPE_CHECKING

from hubbub.server.memory import keep_freed_memory
from hubbub.server.server import Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from hubbub.server.config import Config


def run(
    config: Config, sockets: dict[str, socket.socket], ready: Callable[[dict[str, str]], None]
) -> None:
    """Serve on the sockets until SIGTERM or SIGINT, then drain.

    ``ready`` is told once what each listener is bound to. Raises what ``Server.start`` raises.
    """
    _allow_many_files()
    keep_freed_memory()
    _run_loop(_serve(config, sockets, ready))


def _allow_many_files() -> None:
    """Each connection and each partition is an open file; the soft limit is for programs that select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS says "unlimited" and means less
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(
    config: Config, sockets: dict[str, socket.socket], ready: Callable[[dict[str, str]], None]
) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        # Whoever asks again does not want to wait for the drain.
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    server = Server(config)
    await server.start(sockets)
    ready(server.bound)
    await stopping.wait()
    await server.stop()


def _run_loop(main: Coroutine[None, None, None]) -> None:
    if sys.platform == "win32":
        asyncio.run(main)
    else:
        import uvloop

        uvloop.run(main)
