"""Who received what: kept by what arrived at the sinks, not by what the senders say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.demo.programs import Program


@dataclass
class Row:
    """A subscriber and what came out of it."""

    program: Program
    status: str = "starting"
    joined_after: int = 0  # events published before it listened
    events: list[int] = field(default_factory=list)
    last: str = ""

    def missing(self, published: int) -> set[int]:
        """Events that it should have by now and has not.

        What was on its way when somebody joined late may be on either side of that.
        """
        late = self.joined_after > 0 and bool(self.events)
        first = min(self.events) if late else self.joined_after + 1
        return set(range(first, published + 1)) - set(self.events)

    def twice(self) -> int:
        """How many more arrived than there are different ones."""
        return len(self.events) - len(set(self.events))


class View(Protocol):
    """Shows a board."""

    def news(self, text: str) -> None:
        """Something happened that is worth a line."""

    def changed(self, board: Board) -> None:
        """A number is another."""


class Board:
    """All rows, and the publisher's count."""

    def __init__(self, view: View) -> None:
        self.rows: dict[str, Row] = {}
        self.published = 0
        self._view = view
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    def add(self, program: Program) -> Row:
        """A new subscriber."""
        row = self.rows[program.sink] = Row(program)
        return row

    def is_complete(self) -> bool:
        """Whether those who stayed have every event since they joined, each once."""
        return not any(
            row.missing(self.published) for row in self.rows.values() if row.status != "left"
        )

    def news(self, text: str) -> None:
        """Tell the view of something."""
        self._view.news(text)
        self.changed()

    def arrived(self, sink: str, event: int, to: str, text: str) -> None:
        """An event came out of the subscriber of that sink."""
        row = self.rows[sink]
        row.events.append(event)
        row.last = f"#{event} {to}: {text}"
        self._view.news(f"{row.program.title}: {row.last}")
        self.changed()

    def changed(self) -> None:
        """Show the numbers and wake who waits for them."""
        self._view.changed(self)
        for condition, waiter in self._waiting:
            if not waiter.done() and condition():
                waiter.set_result(None)
        self._waiting = [pair for pair in self._waiting if not pair[1].done()]

    async def until(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait for the condition to hold; False if it did not within ``seconds``."""
        if condition():
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((condition, waiter))
        await asyncio.wait([waiter], timeout=seconds)
        return waiter.done()
