"""What was measured, kept as JSON; single rows can be measured again and put in their place."""

from __future__ import annotations

import datetime as dt
import os
import platform
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from hubbub.bench.rows import FIGURES

if TYPE_CHECKING:
    from hubbub.bench.rows import Goal


class Spread(msgspec.Struct, frozen=True):
    """The rounds' median, and how far they went."""

    median: float
    least: float
    most: float


class RowResult(msgspec.Struct, kw_only=True):
    """A row's figures of every round, by contender; or why there are none."""

    day: str
    seconds: float
    figures: dict[str, dict[str, list[float]]] = msgspec.field(default_factory=dict)
    missing: dict[str, str] = msgspec.field(default_factory=dict)


class Results(msgspec.Struct, kw_only=True):
    """All rows measured so far, on which machine, and against what."""

    machine: dict[str, str] = msgspec.field(default_factory=dict)
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    rows: dict[str, RowResult] = msgspec.field(default_factory=dict)


class Verdict(msgspec.Struct, frozen=True):
    """How far a goal was reached; without a spread it could not be measured."""

    spread: Spread | None
    met: bool


def load(path: Path) -> Results:
    """What a file holds; nothing, if it is not there.

    Raises:
        ValueError: it holds something else.
    """
    if not path.exists():
        return Results()
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(results: Results, path: Path) -> None:
    """Write a file that ``load`` reads. Raises OSError."""
    text = msgspec.json.format(msgspec.json.encode(results), indent=1)
    path.write_bytes(text + b"\n")


def spread(values: list[float]) -> Spread | None:
    """The spread of the rounds, if there were any."""
    return Spread(median(values), min(values), max(values)) if values else None


def values(result: RowResult, contender: str, figure: str) -> list[float]:
    """A contender's figure, round by round; empty where it was not measured."""
    return result.figures.get(contender, {}).get(figure, [])


def judge(goal: Goal, result: RowResult) -> Verdict:
    """Whether the median reached it: of the ratios round by round, if it is over a peer."""
    ours = values(result, goal.by, goal.figure)
    if goal.over:
        theirs = values(result, goal.over, goal.figure)
        ours = [own / other for own, other in zip(ours, theirs, strict=False) if other]
    found = spread(ours)
    if found is None:
        return Verdict(None, met=False)
    more = FIGURES[goal.figure].more
    return Verdict(found, found.median >= goal.bound if more else found.median <= goal.bound)


def today() -> str:
    """The date, as reports give it."""
    return dt.datetime.now(tz=dt.UTC).date().isoformat()


def machine() -> dict[str, str]:
    """What the figures depend on."""
    return {
        "cores": str(os.cpu_count()),
        "processor": _from_proc("cpuinfo", "model name") or platform.machine(),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
    }


def _memory() -> str:
    kib = _from_proc("meminfo", "MemTotal").split()
    return f"{int(kib[0]) / 1024**2:.0f} GiB" if kib else "unknown"


def _from_proc(name: str, key: str) -> str:
    try:
        lines = Path("/proc", name).read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")
