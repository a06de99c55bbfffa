"""What the messages of work queues may take of the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hubbub.model.faults import contain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hubbub.broker.work_queue import WorkQueue
    from hubbub.broker.work_round import Round


class MemoryMarks(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of messages in memory at which something happens.

    ``high``: publishers are held back. RabbitMQ does so by default when 60 % of the memory is used,
    and on a machine of 2 GiB this is about as much. ``low``: they go on, far enough below that one
    settled message does not open the gates. ``page``: before that what is stored leaves memory.
    ``page_each``: what each queue still holds of it, to read ahead of its takers.
    """

    high: int = 1024 * 1024 * 1024
    low: int = 896 * 1024 * 1024
    page: int = 512 * 1024 * 1024
    page_each: int = 512 * 1024


class WorkMemory:
    """Looks after each flush at what is in memory; ``queues`` can let go of some of it."""

    def __init__(self, work_round: Round, queues: Iterable[WorkQueue]) -> None:
        self.on_pressure: Callable[[bool], None] | None = None
        self.under_pressure = False
        self._round = work_round
        self._queues = queues
        self.marks = MemoryMarks()

    @property
    def marks(self) -> MemoryMarks:
        """When what happens; what is set is in effect with the next flush."""
        return self._marks

    @marks.setter
    def marks(self, marks: MemoryMarks) -> None:
        self._marks = marks
        self._page_at = marks.page
        self._attend()

    def look(self) -> None:
        """Act on what is in memory now."""
        held, marks = self._round.held.bytes, self._marks
        if held > self._page_at:
            self._page_out()
        elif held < marks.page:
            self._page_at = marks.page
        if held > marks.high and not self.under_pressure:
            self._press(on=True)
        elif held < marks.low and self.under_pressure:
            self._press(on=False)
        self._attend()

    def _page_out(self) -> None:
        """Let what is stored leave memory; again when there is noticeably more than now."""
        for queue in self._queues:
            queue.page_out(self._marks.page_each)
        self._page_at = max(self._marks.page, self._round.held.bytes * 9 // 8)

    def _press(self, *, on: bool) -> None:
        self.under_pressure = on
        if self.on_pressure is not None:
            contain(self.on_pressure, on)

    def _attend(self) -> None:
        """Say when a look is worth while: most flushes are small and many."""
        marks = self._marks
        high = self._page_at if self.under_pressure else min(self._page_at, marks.high)
        paged = marks.page if self._page_at > marks.page else 0
        low = marks.low if self.under_pressure else 0
        self._round.attend(max(low, paged), high)
