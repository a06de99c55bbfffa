"""Where a shared subscription stands in one partition: what is settled, and what is out on lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    """Settled offsets as a floor and a set above it, and the attempts made at the others."""

    def __init__(self, state: CursorState) -> None:
        self.floor = state.floor  # every offset before it is settled
        self._settled = {offset for first, after in state.settled for offset in range(first, after)}
        self._attempts = dict(state.attempts)

    def settle(self, offset: int) -> None:
        """The message is done with: acknowledged, dead-lettered or gone."""
        self._attempts.pop(offset, None)
        if offset < self.floor:
            return
        self._settled.add(offset)
        while self.floor in self._settled:
            self._settled.remove(self.floor)
            self.floor += 1

    def skip_to(self, offset: int) -> None:
        """Everything before ``offset`` is settled: retention took it, or compaction left a gap."""
        if offset <= self.floor:
            return
        self.floor = offset
        self._settled = {settled for settled in self._settled if settled >= offset}
        self._attempts = {at: n for at, n in self._attempts.items() if at >= offset}
        while self.floor in self._settled:
            self._settled.remove(self.floor)
            self.floor += 1

    def is_settled(self, offset: int) -> bool:
        """Whether the offset needs no delivery any more."""
        return offset < self.floor or offset in self._settled

    def attempt(self, offset: int) -> int:
        """Count one more delivery; which one it is, from 1."""
        self._attempts[offset] = self._attempts.get(offset, 0) + 1
        return self._attempts[offset]

    def attempts(self, offset: int) -> int:
        """How many deliveries were made so far."""
        return self._attempts.get(offset, 0)

    def lag(self, end_offset: int) -> int:
        """How many offsets below ``end_offset`` are not settled."""
        return max(0, end_offset - self.floor - len(self._settled))

    @property
    def state(self) -> CursorState:
        """What to store."""
        again = tuple((offset, n) for offset, n in self._attempts.items() if n > 1)
        return CursorState(self.floor, tuple(_ranges(self._settled)), again)


def _ranges(offsets: set[int]) -> Iterator[tuple[int, int]]:
    first = after = -1
    for offset in sorted(offsets):
        if offset != after:
            if after >= 0:
                yield first, after
            first = offset
        after = offset + 1
    if after >= 0:
        yield first, after
