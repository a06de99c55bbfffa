"""Where handlers run that do not run in the publisher's thread.

The program's code never runs on a thread that hubbub itself needs to get on: a handler may sleep, or
publish and wait for the disk, and holds up nobody but its own subscription.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from hubbub.bus.loop_thread import LoopThread

# Handlers at work at once, one per subscription. Threads are started as they are needed.
MAX_THREADS = 32


class Handlers:
    """Threads for functions and a loop for coroutines; none is started before its first handler."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._loop_thread: LoopThread | None = None
        self._local = threading.local()
        self._closed = False

    def submit(self, call: Callable[[], None]) -> None:
        """Run ``call`` in a thread; dropped once closed."""
        with self._lock:
            if self._closed:
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(MAX_THREADS, "hubbub-handler", self._mark)
            self._pool.submit(call)

    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop where there is one, else the one for coroutines that have none."""
        import asyncio

        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            pass
        with self._lock:
            if self._loop_thread is None:
                from hubbub.bus.loop_thread import LoopThread

                self._loop_thread = LoopThread("hubbub-coroutines")
            return self._loop_thread.loop

    def close(self) -> None:
        """Let handlers at work finish, begin no other, and cancel coroutines."""
        with self._lock:
            self._closed = True
        if self._pool is not None:
            is_ours = getattr(self._local, "is_ours", False)
            self._pool.shutdown(wait=not is_ours, cancel_futures=True)
        if self._loop_thread is not None:
            self._loop_thread.close()

    def _mark(self) -> None:
        self._local.is_ours = True
