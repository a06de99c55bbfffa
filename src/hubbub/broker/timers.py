"""Time for code that reads no clock: the moment of this turn, and what is due later."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer:
    """One call that is due at ``when`` (monotonic seconds) unless cancelled before."""

    __slots__ = ("_call", "when")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Never call; harmless when it already did."""
        self._call = None

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

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        """A timer ``seconds`` from now."""
        timer = Timer(self.now + seconds, call)
        heapq.heappush(self._heap, (timer.when, next(self._order), timer))
        return timer

    def advance(self, now: float, wall_ms: int) -> None:
        """Set the moment and fire what is due, in the order of due times."""
        self.now = now
        self.wall_ms = wall_ms
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2].fire()

    def next_due(self) -> float | None:
        """When ``advance`` is wanted next, in monotonic seconds."""
        while self._heap and not self._heap[0][2].active:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
