"""Who waits for an offset to become durable."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, TypeAlias

from hubbub.model.faults import contain

if TYPE_CHECKING:
    from collections.abc import Callable

    Done: TypeAlias = "Callable[[Exception | None], None]"


class Waiting:
    """Callbacks by offset; those of one offset keep their order."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Done]] = []
        self._count = 0

    def add(self, offset: int, done: Done) -> None:
        """Call ``done`` when ``reached`` gets to ``offset``."""
        self._count += 1
        heappush(self._heap, (offset, self._count, done))

    def reached(self, offset: int) -> None:
        """Everything before ``offset`` is durable."""
        # A callback may append, and so add others: the heap is looked at anew each time.
        while self._heap and self._heap[0][0] <= offset:
            contain(heappop(self._heap)[2], None)

    def failed(self, failure: Exception) -> None:
        """Nothing more will become durable."""
        waiting = sorted(self._heap)
        self._heap = []
        for _, _, done in waiting:
            contain(done, failure)
