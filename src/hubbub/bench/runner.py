"""Rows, round after round, every contender in its turn."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hubbub.bench import results
from hubbub.bench.measure import MeasuringError, measure, measure_disk
from hubbub.bench.peers import PEERS, UnavailableError, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubbub.bench.measure import Figures
    from hubbub.bench.results import RowResult
    from hubbub.bench.rows import Row

DISK = "disk"


class Runner:
    """Measures rows: ``rounds`` of ``seconds`` each, with data below ``directory``.

    ``tell`` is called with a sentence whenever something begins.
    """

    def __init__(
        self, directory: Path, rounds: int, seconds: float, tell: Callable[[str], None]
    ) -> None:
        self._directory = directory
        self._rounds = rounds
        self._seconds = seconds
        self._tell = tell

    def run(self, row: Row) -> RowResult:
        """Measure a row. What cannot be measured is noted, with the reason."""
        result = results.RowResult(day=results.today(), seconds=self._seconds)
        with ExitStack() as stack:
            runs = {}
            for name in row.contenders:
                try:
                    runs[name] = stack.enter_context(self._contender(row, name))
                except UnavailableError as error:
                    result.missing[name] = str(error)
            for number in range(self._rounds):
                for name in list(runs):
                    self._tell(f"{row.name}: {name}, round {number + 1} of {self._rounds}")
                    try:
                        _note(result, name, runs[name]())
                    except (MeasuringError, UnavailableError) as error:
                        result.missing[name] = str(error)
                        result.figures.pop(name, None)
                        del runs[name]
        return result

    @contextmanager
    def _contender(self, row: Row, name: str) -> Iterator[Callable[[], Figures]]:
        """What measures it once."""
        with tempfile.TemporaryDirectory(prefix="hubbub-bench-", dir=self._directory) as made:
            directory = Path(made)
            if name == DISK:
                yield lambda: measure_disk(directory, self._seconds)
            elif row.fresh:
                rounds = iter(range(self._rounds))
                yield lambda: self._measure_fresh(row, name, directory / str(next(rounds)))
            else:
                with running(PEERS[name], row.protocol, directory / name) as broker:
                    yield lambda: measure(row, broker, self._seconds)

    def _measure_fresh(self, row: Row, name: str, directory: Path) -> Figures:
        with running(PEERS[name], row.protocol, directory) as broker:
            return measure(row, broker, self._seconds)


def _note(result: RowResult, name: str, figures: Figures) -> None:
    rounds = result.figures.setdefault(name, {})
    for figure, value in figures.items():
        rounds.setdefault(figure, []).append(value)
