"""Results as a document: what was measured, the goal, and whether it was reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.bench.peers import PEERS
from hubbub.bench.results import judge, spread, values
from hubbub.bench.rows import FIGURES, ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.bench.results import Results, RowResult, Spread, Verdict
    from hubbub.bench.rows import Goal, Row

_INTRODUCTION = """\
# Benchmarks

`make bench` writes this document. `hubbub bench ROW` repeats a row, `hubbub bench --list` names them.

Every contender of a row is measured in turn, round after round, on one machine; a cell is the median of the rounds, with the least and the
most in parentheses. A ratio is the median of the ratios round by round. The load generator is native, checks that each subscriber received
every message once and in order, and runs on the same processor: what it and the kernel take is missing to all contenders alike. The *relay*
forwards the same bytes and parses nothing: it is what loopback can do here. Read ratios rather than absolute figures.
[Where the time goes](performance.md) says what the figures mean, and why a goal that is not met is not.
"""


def title(contender: str) -> str:
    """What a report calls a contender."""
    return PEERS[contender].title if contender in PEERS else f"the {contender}"


def number(value: float) -> str:
    """A figure to three digits, as people read it."""
    for size, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            return f"{_three_digits(value / size)}{suffix}"
    return _three_digits(value)


def _three_digits(value: float) -> str:
    decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{decimals}f}"


def cell(found: Spread | None, unit: str = "") -> str:
    """The median with its least and most; a dash where there is none."""
    if found is None:
        return "-"
    middle = f"{number(found.median)}{unit}"
    if found.least == found.most:
        return middle
    return f"{middle} ({number(found.least)}-{number(found.most)})"


def goal_wanted(goal: Goal) -> str:
    """What is wanted."""
    wanted = f"{'at least' if FIGURES[goal.figure].more else 'at most'} {number(goal.bound)}"
    return f"{wanted}x {title(goal.over)}" if goal.over else f"{wanted} {FIGURES[goal.figure].unit}"


def goal_text(goal: Goal, verdict: Verdict) -> str:
    """What was wanted, what was found, and whether that is enough, in one line."""
    wanted = goal_wanted(goal)
    if verdict.spread is None:
        return f"{wanted}: not measured"
    found = cell(verdict.spread, "x" if goal.over else "")
    return f"{wanted}: {found}, {'met' if verdict.met else 'NOT met'}"


def lines(row: Row, result: RowResult) -> Iterator[tuple[str, dict[str, str], list[str]]]:
    """For each of a row's figures: its unit, a cell for each contender, and the goals' lines."""
    for figure in row.figures:
        cells = {
            name: cell(spread(values(result, name, figure)))
            for name in row.contenders
            if name not in result.missing
        }
        goals = [
            goal_text(goal, judge(goal, result)) for goal in row.goals if goal.figure == figure
        ]
        yield FIGURES[figure].unit, cells, goals


def render(results: Results) -> str:
    """The document, in Markdown; rows stand in the order of `rows.ROWS`."""
    measured = [row for row in ROWS.values() if row.name in results.rows]
    parts = [_INTRODUCTION, _summary(measured, results), _setting(results)]
    for section in dict.fromkeys(row.section for row in measured):
        rows = [row for row in measured if row.section == section]
        parts.append(_section(section, rows, results))
    return "\n".join(parts)


def _summary(rows: list[Row], results: Results) -> str:
    goals = [(row, goal) for row in rows for goal in row.goals]
    missed = [
        f"- `{row.name}`: {goal_text(goal, verdict)}"
        for row, goal in goals
        if not (verdict := judge(goal, results.rows[row.name])).met
    ]
    text = f"**{len(goals) - len(missed)} of {len(goals)} goals are met.**"
    return "\n".join([f"{text} Not met:\n", *missed, ""] if missed else [text, ""])


def _setting(results: Results) -> str:
    machine = ", ".join(f"{name}: {value}" for name, value in results.machine.items())
    versions = ", ".join(f"{name}: {value}" for name, value in results.versions.items())
    return f"Machine: {machine}.\n\nVersions: {versions}.\n"


def _section(section: str, rows: list[Row], results: Results) -> str:
    contenders = list(dict.fromkeys(name for row in rows for name in row.contenders))
    head = ["row", "work", "figure", *map(title, contenders), "goal", "measured"]
    text = [f"## {section}\n", _markdown(head), _markdown(["---"] * len(head))]
    for row in rows:
        result = results.rows[row.name]
        for unit, cells, goals in lines(row, result):
            text.append(
                _markdown(
                    [
                        f"`{row.name}`",
                        row.title,
                        unit,
                        *(cells.get(name, "-") for name in contenders),
                        "<br>".join(goals),
                        result.day,
                    ]
                )
            )
    missing = [
        f"- `{row.name}`: {title(name)} was not measured: {reason}"
        for row in rows
        for name, reason in results.rows[row.name].missing.items()
    ]
    return "\n".join([*text, "", *missing, *([""] if missing else [])])


def _markdown(cells: list[str]) -> str:
    return f"| {' | '.join(text.replace('|', '/') for text in cells)} |"
