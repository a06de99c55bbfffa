"""Publisher confirms: what was taken is acknowledged once it is durable, in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hubbub.broker.publication import when_all

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hubbub.broker.publication import Durable


class _Burst:
    """What was published up to ``last``, since the burst before."""

    __slots__ = ("failed", "first", "is_settled", "last", "refused")

    def __init__(self, first: int, last: int, refused: Collection[int]) -> None:
        self.first = first
        self.last = last
        self.refused = refused
        self.is_settled = False  # all its logs have synced, or one has failed
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

    def published(self, last: int, stored: Collection[Durable], refused: Collection[int]) -> None:
        """All up to ``last`` is in its queues; ``refused`` are the tags of what is not."""
        burst = _Burst(self._last + 1, last, refused)
        self._last = last
        self._bursts.append(burst)

        def synced(failure: Exception | None) -> None:
            burst.is_settled = True
            burst.failed = failure is not None
            self._release()

        when_all(stored, synced)

    def _release(self) -> None:
        acknowledged = 0
        while self._bursts and self._bursts[0].is_settled:
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
