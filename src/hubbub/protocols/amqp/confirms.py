"""Publisher confirms: what was taken is acknowledged once it is durable, in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable


class Durable(Protocol):
    """What can say when it survives power loss: a work queue, a partition's append."""

    def when_durable(self, done: Callable[[Exception | None], None], /) -> None:
        """Call ``done`` once all that it holds now is durable, or with the failure."""


class _Burst:
    """What was published up to ``last``, since the burst before."""

    __slots__ = ("failed", "first", "last", "missing", "refused")

    def __init__(self, first: int, last: int, refused: Collection[int], missing: int) -> None:
        self.first = first
        self.last = last
        self.refused = refused
        self.missing = missing  # how many logs have not synced yet
        self.failed = False


class Confirms:
    """One channel's. ``ack`` and ``nack`` are told (delivery tag, multiple).

    RabbitMQ: "Publisher Confirms". Bursts wait for different logs; each is confirmed when those
    before it are, so that one basic.ack stands for all of them.
    """

    def __init__(self, ack: Callable[[int, bool], None], nack: Callable[[int, bool], None]) -> None:
        self._ack = ack
        self._nack = nack
        self._bursts: deque[_Burst] = deque()
        self._last = 0

    def published(self, last: int, stored: Iterable[Durable], refused: Collection[int]) -> None:
        """All up to ``last`` is in its queues; ``refused`` are the tags of what is not."""
        waiting = tuple(stored)
        burst = _Burst(self._last + 1, last, refused, len(waiting))
        self._last = last
        self._bursts.append(burst)

        def synced(failure: Exception | None) -> None:
            burst.missing -= 1
            burst.failed = burst.failed or failure is not None
            self._release()

        for each in waiting:
            each.when_durable(synced)
        self._release()

    def _release(self) -> None:
        acknowledged = 0
        while self._bursts and not self._bursts[0].missing:
            burst = self._bursts.popleft()
            if burst.failed or burst.refused:
                if acknowledged:
                    self._ack(acknowledged, True)
                    acknowledged = 0
                self._one_by_one(burst)
            else:
                acknowledged = burst.last
        if acknowledged:
            self._ack(acknowledged, True)

    def _one_by_one(self, burst: _Burst) -> None:
        """Nobody can tell which of a burst a failing disk has: the publisher sends them again."""
        for tag in range(burst.first, burst.last + 1):
            if burst.failed or tag in burst.refused:
                self._nack(tag, False)
            else:
                self._ack(tag, False)
