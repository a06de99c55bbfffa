"""Where a shared subscription stands in one partition: what is settled, and what is out on lease."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import msgspec


class CursorState(msgspec.Struct, frozen=True, array_like=True):
    """A cursor as it is stored. ``settled`` are ranges ``[first, after)`` above ``floor``."""

    floor: int
    settled: tuple[tuple[int, int], ...] = ()
    attempts: tuple[tuple[int, int], ...] = ()  # (offset, deliveries so far) of what is unsettled

    def before(self, end_offset: int) -> CursorState:
        """The part below ``end_offset``: power loss may take back what was settled and not synced."""
        return CursorState(
            min(self.floor, end_offset),
            tuple(
                (first, min(after, end_offset))
                for first, after in self.settled
                if first < end_offset
            ),
            tuple((offset, n) for offset, n in self.attempts if offset < end_offset),
        )


class Cursor:
    """Settled offsets as a floor and ranges above it, and the attempts made at the others.

    However many offsets a range has, it costs as much as one: what a queue does not want is settled
    with what it does.
    """

    __slots__ = ("_afters", "_attempts", "_firsts", "floor")

    def __init__(self, state: CursorState) -> None:
        self.floor = state.floor  # every offset before it is settled
        # The ranges [first, after) above the floor, apart from each other and in order.
        self._firsts: list[int] = []
        self._afters: list[int] = []
        self._attempts = dict(state.attempts)
        for first, after in state.settled:
            self.settle(first, after)

    def settle(self, first: int, after: int | None = None) -> None:
        """Messages are done with: acknowledged, dead-lettered or gone; one, or all before ``after``."""
        if after is None:
            after = first + 1
            self._attempts.pop(first, None)
        if after <= max(first, self.floor):
            return
        firsts, afters = self._firsts, self._afters
        # All ranges that this one meets, be it end to end, become one with it.
        begin = bisect_left(afters, first)
        end = bisect_right(firsts, after, begin)
        if begin < end:
            first = min(first, firsts[begin])
            after = max(after, afters[end - 1])
        if first <= self.floor:
            self.floor = after
            del firsts[:end], afters[:end]
        else:
            firsts[begin:end] = (first,)
            afters[begin:end] = (after,)

    def skip_to(self, offset: int) -> None:
        """Everything before ``offset`` is settled: retention took it, or compaction left a gap."""
        if offset > self.floor:
            self.settle(self.floor, offset)
            self._forget_attempts()

    def is_settled(self, offset: int) -> bool:
        """Whether the offset needs no delivery any more."""
        if offset < self.floor:
            return True
        at = bisect_right(self._firsts, offset) - 1
        return at >= 0 and offset < self._afters[at]

    def attempt(self, offset: int) -> int:
        """Count one more delivery; which one it is, from 1."""
        self._attempts[offset] = self._attempts.get(offset, 0) + 1
        return self._attempts[offset]

    def attempts(self, offset: int) -> int:
        """How many deliveries were made so far."""
        return 0 if self.is_settled(offset) else self._attempts.get(offset, 0)

    def lag(self, end_offset: int) -> int:
        """How many offsets below ``end_offset`` are not settled."""
        return max(0, end_offset - self.floor - sum(self._afters) + sum(self._firsts))

    @property
    def state(self) -> CursorState:
        """What to store."""
        self._forget_attempts()
        again = tuple((offset, n) for offset, n in self._attempts.items() if n > 1)
        return CursorState(self.floor, tuple(zip(self._firsts, self._afters, strict=True)), again)

    def _forget_attempts(self) -> None:
        """Drop those at what was settled in passing, as part of a range."""
        if self._attempts:
            self._attempts = {
                offset: n for offset, n in self._attempts.items() if not self.is_settled(offset)
            }
