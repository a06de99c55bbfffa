"""Group commit: one thread syncs while the loop appends, and the next sync covers all of that."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hubbub.model.faults import contain

if TYPE_CHECKING:
    import asyncio

    from hubbub.log.seam import Log, Sync
    from hubbub.server.turn import Turn


class Committer:
    """Starts the next sync when the last one ends. There is no timer to wait for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log, turn: Turn) -> None:
        self._loop = loop
        self._log = log
        self._turn = turn
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hubbub-commit")
        self._busy = False
        self._ended: list[asyncio.Future[None]] = []  # resolved when a sync ends
        log.on_dirty = self._wake
        self._wake()  # what was appended while the broker started

    async def drain(self) -> None:
        """Return once everything appended so far is durable, or has failed."""
        # The sync under way may have begun before the last append; the one after it has not.
        for _ in range(2):
            if self._busy:
                waiter = self._loop.create_future()
                self._ended.append(waiter)
                await waiter

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _wake(self) -> None:
        if not self._busy:
            self._busy = True
            # At the end of this turn, so that the sync covers all that the turn appends.
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        sync = self._log.begin_sync()
        if sync is None:
            self._busy = False
            self._tell_ended()
            return
        self._thread.submit(self._run, sync)

    def _run(self, sync: Sync) -> None:
        try:
            sync.run()
        finally:
            self._loop.call_soon_threadsafe(self._finish, sync)
        contain(sync.note)

    def _finish(self, sync: Sync) -> None:
        self._turn.begin()
        contain(sync.finish)
        self._tell_ended()
        self._start()

    def _tell_ended(self) -> None:
        ended, self._ended = self._ended, []
        for waiter in ended:
            if not waiter.done():
                waiter.set_result(None)
