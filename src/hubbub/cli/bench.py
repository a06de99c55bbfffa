"""`hubbub bench`: how fast, beside the real systems on the same machine."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubbub.cli import color
from hubbub.cli.command import Command
from hubbub.cli.exits import FailedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.bench.results import RowResult
    from hubbub.bench.rows import Row
    from hubbub.bench.shape import Shape

# A full report takes half an hour like this; the quick set two minutes.
_ROUNDS = 5
_SECONDS = 1.0
_QUICK_ROUNDS = 3
_FREE_SECONDS = 2.0

_SHAPE_OPTIONS = (
    click.option(
        "--protocol",
        type=click.Choice(["redis", "nats", "mqtt", "amqp"]),
        help="Measure a shape of yours.",
    ),
    click.option("--groups", type=click.IntRange(min=1), default=1, help="Subjects apart."),
    click.option("--publishers", type=click.IntRange(min=1), default=1, help="Of each subject."),
    click.option("--subscribers", type=click.IntRange(min=0), default=1, help="Of each subject."),
    click.option(
        "--topics", type=click.IntRange(1, 1000), default=1, help="Interleaved, taken by wildcard."
    ),
    click.option("--size", type=click.IntRange(min=8), default=128, help="Bytes of payload."),
    click.option("--window", type=click.IntRange(min=0), default=0, help="Messages in flight."),
    click.option("--write", type=click.IntRange(min=0), default=0, help="Messages in one send."),
    click.option("--qos", type=click.IntRange(0, 1), default=0, help="MQTT, AMQP: at least once."),
    click.option(
        "--acks",
        type=click.IntRange(0, 10_000),
        default=1,
        help="AMQP: deliveries that are acknowledged at once.",
    ),
    click.option(
        "--latency", "rate", type=click.IntRange(min=0), default=0, help="Messages a second."
    ),
    click.option("--url", metavar="HOST:PORT", help="A broker that runs already."),
)


def _shape_options(command: Any) -> Any:
    for option in reversed(_SHAPE_OPTIONS):
        command = option(command)
    return command


@click.command(
    cls=Command,
    examples=(
        "hubbub bench                          the quick set",
        "hubbub bench --list                   what rows there are",
        "hubbub bench redis-1-10-128 'nats-*'  some of them",
        "hubbub bench --protocol redis --subscribers 10 --size 16",
        "hubbub bench --protocol nats --latency 10000 --url 127.0.0.1:4222",
        "hubbub bench --report docs/BENCHMARKS.md --json bench.json",
    ),
)
@click.argument("rows", nargs=-1, metavar="[ROW]...")
@click.option("--list", "listed", is_flag=True, help="Name the rows and their goals.")
@click.option(
    "--rounds", type=click.IntRange(min=1), help="Times that each contender's turn comes."
)
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Of each measurement.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a document; without rows, of all of them.",
)
@click.option(
    "--json",
    "kept",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep results in a file; rows measured again are replaced in it.",
)
@_shape_options
def bench(
    rows: tuple[str, ...],
    rounds: int | None,
    seconds: float | None,
    report: Path | None,
    kept: Path | None,
    *,
    listed: bool,
    **shape: Any,
) -> None:
    """Measure brokers.

    Starts hubbub and what it is compared with (redis-server, nats-server, mosquitto, rabbitmq-server,
    Apache Kafka: those that are installed) on free ports, measures them in turn, and stops them. A row may be a pattern.
    Free-form shapes are chosen with --protocol.
    """
    # Ended from outside, it still stops the brokers that it started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    if listed:
        _list()
    elif shape["protocol"]:
        _measure_shape(shape, rounds or 1, seconds or _FREE_SECONDS)
    else:
        chosen = _choose(rows, every=report is not None)
        usual = _ROUNDS if rows or report else _QUICK_ROUNDS
        _measure_rows(chosen, rounds or usual, seconds or _SECONDS, report, kept)


def _list() -> None:
    from hubbub.bench.report import goal_wanted
    from hubbub.bench.rows import ROWS

    width = max(map(len, ROWS))
    for row in ROWS.values():
        goals = "; ".join(map(goal_wanted, row.goals))
        click.echo(f"{row.name:{width}}  {row.title}{f' ({goals})' if goals else ''}")


def _choose(patterns: tuple[str, ...], *, every: bool) -> list[Row]:
    from fnmatch import fnmatchcase

    from hubbub.bench.rows import ROWS

    if not patterns:
        return [row for row in ROWS.values() if every or row.quick]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in ROWS):
            raise click.BadParameter(f"there is no row {pattern!r} (see --list)")
    return [
        row for row in ROWS.values() if any(fnmatchcase(row.name, pattern) for pattern in patterns)
    ]


def _measure_rows(
    rows: Iterable[Row], rounds: int, seconds: float, report: Path | None, kept: Path | None
) -> None:
    from rich.console import Console

    from hubbub.bench import results as store
    from hubbub.bench.peers import versions
    from hubbub.bench.report import render
    from hubbub.bench.runner import Runner

    try:
        results = store.load(kept) if kept else store.Results()
    except ValueError as error:
        raise FailedError(f"{kept} holds no results: {error}") from error
    results.machine, results.versions = store.machine(), versions()
    with (
        tempfile.TemporaryDirectory(prefix="hubbub-bench-") as directory,
        Console(stderr=True).status("") as status,
    ):
        runner = Runner(Path(directory), rounds, seconds, status.update)
        for row in rows:
            results.rows[row.name] = runner.run(row)
            _print(row, results.rows[row.name])
            if kept:
                store.save(results, kept)
    if report:
        report.write_text(render(results), encoding="utf-8")


def _print(row: Row, result: RowResult) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from hubbub.bench.report import lines, title

    table = Table(box=box.SIMPLE_HEAD)
    for head in ("figure", *map(title, row.contenders)):
        table.add_column(head)
    verdicts = []
    for unit, cells, goals in lines(row, result):
        table.add_row(unit, *(cells.get(name, "-") for name in row.contenders))
        verdicts += [f"{unit}: {goal}" for goal in goals]
    console = Console(no_color=color.wish() is False, force_terminal=color.wish())
    console.print(f"{row.name}: {row.title}", style="bold", highlight=False)
    console.print(table)
    reasons = [f"{title(name)}: {reason}" for name, reason in result.missing.items()]
    for line in (*verdicts, *reasons):
        console.print(f"  {line}", markup=False, highlight=False)


def _measure_shape(options: dict[str, Any], rounds: int, seconds: float) -> None:
    from hubbub.bench.dialects import dialect_of
    from hubbub.bench.shape import Shape

    url = options.pop("url")
    shape = Shape(**options, seconds=seconds)
    try:
        replies = dialect_of(shape).replies
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not shape.subscribers and not replies:
        raise click.UsageError(
            "without subscribers, only Redis, and MQTT and AMQP at --qos 1, tell what arrived"
        )
    with tempfile.TemporaryDirectory(prefix="hubbub-bench-") as directory:
        for number in range(rounds):
            if url:
                _measure_running(shape, url)
            else:
                _measure_started(shape, Path(directory, str(number)))


def _measure_running(shape: Shape, url: str) -> None:
    from hubbub.bench.measure import MeasuringError, generate

    host, _, port = url.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        raise click.BadParameter("HOST:PORT is wanted", param_hint="--url")
    try:
        outcome = generate(host or "127.0.0.1", int(port), shape)
    except MeasuringError as error:
        raise UnavailableError(f"{url}: {error}") from error
    _tell(url, outcome)


def _measure_started(shape: Shape, directory: Path) -> None:
    from hubbub.bench.measure import MeasuringError, generate
    from hubbub.bench.peers import HOST, PEERS, UnavailableError, running

    for peer in PEERS.values():
        if shape.protocol not in peer.protocols or peer.name.startswith("hubbub-"):
            continue
        if not shape.subscribers and peer.relay:
            continue
        try:
            with running(peer, shape.protocol, directory / peer.name) as broker:
                port = broker.ports[shape.protocol]
                _tell(peer.title, generate(HOST, port, shape, relay=peer.relay))
        except (MeasuringError, UnavailableError) as error:
            click.echo(f"{peer.title}: {error}")


def _tell(title: str, outcome: Any) -> None:
    from hubbub.bench.report import number

    parts = [f"{number(outcome.published)} published/s", f"{number(outcome.delivered)} delivered/s"]
    if outcome.acknowledged:
        parts.append(f"{number(outcome.acknowledged)} acknowledged/s")
    for name, latency in (("receive", outcome.delivery), ("ack", outcome.acknowledgement)):
        if latency is not None:
            figures = (latency.p50, latency.p99, latency.p999, latency.max)
            spelled = " / ".join(map(number, figures))
            parts.append(f"us to {name} p50 / p99 / p99.9 / max {spelled}")
    parts.append(f"generator {outcome.processor:.0%} of a core")
    click.echo(f"{title}: {', '.join(parts)}")
