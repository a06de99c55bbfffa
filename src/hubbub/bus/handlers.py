"""Where handlers run that do not run in the publisher's thread.

The program's code never runs on a thread that hubbub itself needs to get on: a handler may sleep, or
publish and wait for the disk, and holds up nobody but its own subscription.
"""

from __future__ import annotations

import inspect
import threading
from collections import deque
from typing import TYPE_CHECKING

from hubbub.model.faults import contain

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from hubbub.bus.loop_thread import LoopThread
    from hubbub.bus.subscription import Handler

# How long a thread waits for more work: long enough that a steady trickle starts no threads.
IDLE_SECONDS = 5.0


class Handlers:
    """Threads for functions and a loop for coroutines; none is started before its first handler.

    There is a thread for each subscription that has work, and no limit below that: a handler may
    wait for what another subscription's handler does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._calls: deque[Callable[[], None]] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._loop_thread: LoopThread | None = None
        self._closed = False

    def submit(self, call: Callable[[], None]) -> None:
        """Run ``call`` in a thread that nobody else needs meanwhile; dropped once closed."""
        with self._lock:
            if self._closed:
                return
            self._calls.append(call)
            if len(self._calls) <= self._idle:
                self._changed.notify()
                return
            # A daemon, as the other threads: none keeps a program from ending.
            thread = threading.Thread(target=self._run, name="hubbub-handler", daemon=True)
            self._threads.add(thread)
            thread.start()

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
            self._calls.clear()
            self._changed.notify_all()
            threads = set(self._threads)
        if threading.current_thread() not in threads:
            for thread in threads:
                thread.join()
        if self._loop_thread is not None:
            self._loop_thread.close()

    def _run(self) -> None:
        while (call := self._next_call()) is not None:
            contain(call)
            del call  # an idle thread keeps no subscription alive

    def _next_call(self) -> Callable[[], None] | None:
        with self._lock:
            self._idle += 1
            self._changed.wait_for(lambda: self._calls or self._closed, IDLE_SECONDS)
            self._idle -= 1
            if self._calls:
                return self._calls.popleft()
            self._threads.discard(threading.current_thread())
            return None


def is_coroutine_function(handler: Handler) -> bool:
    """Whether calling ``handler``, a function or an object, gives something to await."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - is it async, not: is it there
    )
