"""Time for code that reads no clock: the moment of this turn, and what is due later."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

from hubbub.model.faults import contain

if TYPE_CHECKING:
    from collections.abc import Callable


# Cancelled timers stay in the heap until they are due or outnumber the others by this factor, so
# that clients which set and cancel long deadlines for ever cost a bounded amount of memory.
_MAX_CANCELLED_RATIO = 2
_WORTH_SWEEPING = 1024


class Timer:
    """One call that is due at ``when`` (monotonic seconds) unless cancelled before."""

    __slots__ = ("_call", "_timers", "when")

    def __init__(self, when: float, call: Callable[[], None], timers: Timers) -> None:
        self.when = when
        self._call: Callable[[], None] | None = call
        self._timers = timers

    def cancel(self) -> None:
        """Never call; harmless when it already did."""
        if self._call is not None:
            self._call = None
            self._timers.cancelled()

    @property
    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._call is not None

    def fire(self) -> None:
        """Call, once."""
        call, self._call = self._call, None
        if call is not None:
            call()


class Timers:
    """The current moment and a heap of timers; whoever owns the clock calls ``advance``.

    ``now`` is monotonic seconds, for deadlines; ``wall_ms`` is Unix time in milliseconds, for
    timestamps. They are what the last ``advance`` said.
    """

    def __init__(self, now: float = 0.0, wall_ms: int = 0) -> None:
        self.now = now
        self.wall_ms = wall_ms
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._cancelled = 0

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """A timer ``seconds`` from now."""
        timer = Timer(self.now + seconds, call, self)
        heapq.heappush(self._heap, (timer.when, next(self._order), timer))
        return timer

    def advance(self, now: float, wall_ms: int) -> None:
        """Set the moment and fire what is due, in the order of due times.

        What is set meanwhile is left to the next call, even if it is due at once: work that is done
        in steps of no delay leaves the others their turn.
        """
        self.now = now
        self.wall_ms = wall_ms
        first_new = next(self._order)
        while self._heap and self._heap[0][0] <= now and self._heap[0][1] < first_new:
            contain(self._pop().fire)

    def cancelled(self) -> None:
        """One of the timers was cancelled: sweep when most of the heap is dead."""
        self._cancelled += 1
        alive = len(self._heap) - self._cancelled
        if self._cancelled > max(_WORTH_SWEEPING, _MAX_CANCELLED_RATIO * alive):
            self._heap = [entry for entry in self._heap if entry[2].active]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_due(self) -> float | None:
        """When ``advance`` is wanted next, in monotonic seconds."""
        while self._heap and not self._heap[0][2].active:
            self._pop()
        return self._heap[0][0] if self._heap else None

    def _pop(self) -> Timer:
        timer = heapq.heappop(self._heap)[2]
        if not timer.active:
            self._cancelled -= 1
        return timer
