"""What one sees of the play: a table that lives on a terminal, lines anywhere else."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import RenderableType

    from hubbub.demo.board import Board, Row

_LOG_LINES = 12
_STYLES = {"starting": "yellow", "listening": "green", "left": "dim", "ended": "bold red"}


class PlainView:
    """A line for each thing that happens."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing open."""

    def news(self, text: str) -> None:
        """Print it."""
        print(text, file=self._out, flush=True)

    def changed(self, board: Board) -> None:
        """The lines said it."""


class LiveView:
    """A table of the subscribers over the latest news."""

    def __init__(self) -> None:
        from rich.live import Live

        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._live = Live(refresh_per_second=10)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def news(self, text: str) -> None:
        """Keep it for the next picture."""
        self._log.append(text)

    def changed(self, board: Board) -> None:
        """Draw."""
        self._live.update(self._picture(board))

    def _picture(self, board: Board) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(title=f"notifications: {board.published} published", expand=True)
        table.add_column("subscriber")
        table.add_column("over")
        table.add_column("status")
        table.add_column("received", justify="right")
        table.add_column("last", no_wrap=True, ratio=1)
        for row in board.rows.values():
            table.add_row(*_cells(row), style=_STYLES[row.status])
        hint = Text("Ctrl-C ends it", style="dim")
        return Group(table, *map(Text, self._log), hint)


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    return row.program.title, row.program.over, row.status, str(len(row.events)), row.last


def summary(board: Board) -> str:
    """Who received how many, when all is over."""
    lines = [f"published {board.published} events"]
    for row in board.rows.values():
        since = f", joined after #{row.joined_after}" if row.joined_after else ""
        lines.append(f"{row.program.title:14} received {len(row.events):3}  ({row.status}{since})")
    return "\n".join(lines)
