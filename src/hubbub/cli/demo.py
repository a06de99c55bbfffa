"""`hubbub demo`: the pattern at work."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hubbub.cli.command import Command
from hubbub.cli.exits import FailedError

if TYPE_CHECKING:
    from hubbub.demo.board import Board
    from hubbub.demo.play import Play

# Slow enough to be watched.
_INTERVAL_SECONDS = 1.0


@click.command(
    cls=Command,
    examples=(
        "hubbub demo",
        "hubbub demo --events 12 --interval 0.2",
        "hubbub demo --seconds 20",
    ),
)
@click.option("--events", type=click.IntRange(min=3), help="End after this many events.")
@click.option("--seconds", type=click.FloatRange(min=3), help="Publish for this long, then end.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0),
    default=_INTERVAL_SECONDS,
    show_default=True,
    help="Seconds between two events.",
)
@click.option("--plain", is_flag=True, help="Print lines, also on a terminal.")
def demo(events: int | None, seconds: float | None, interval: float, *, plain: bool) -> None:
    """Watch the pattern at work.

    One publisher, and subscribers that send e-mail, SMS and pushes and fill an in-app feed. Each is
    a process of its own, with the client library of its system: confluent-kafka, aiokafka, redis-py
    and hubbub's Python API. Slack joins, SMS leaves, and the publisher is neither changed nor
    restarted. Runs its own server in memory, on free ports where the usual ones are taken, until
    Ctrl-C, and then says who received how many.
    """
    from hubbub.demo import views
    from hubbub.demo.board import Board
    from hubbub.demo.programs import missing_clients

    missing = missing_clients()
    if missing:
        raise FailedError(
            f"the demo's subscribers use {', '.join(missing)}: pip install 'hubbub[demo]'",
        )
    if events is None and seconds is not None:
        events = max(3, int(seconds / (interval or _INTERVAL_SECONDS)))
    live = sys.stdout.isatty() and not plain
    with views.LiveView() if live else views.PlainView(sys.stdout) as view:
        board = Board(view)
        ended = _perform(board, events, interval)
    click.echo(views.summary(board))
    if ended and not board.is_complete():
        raise FailedError("some events did not arrive")


def _perform(board: Board, events: int | None, interval: float) -> bool:
    """Whether the play came to its end; a signal ends it sooner."""
    from hubbub.demo.play import Play

    with tempfile.TemporaryDirectory(prefix="hubbub-demo-") as directory:
        return asyncio.run(_until_signal(Play(board, Path(directory), events, interval)))


async def _until_signal(play: Play) -> bool:
    performing = asyncio.ensure_future(play.perform())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Once: a second Ctrl-C must not keep the programs from being stopped.
        loop.add_signal_handler(number, lambda: performing.cancelling() or performing.cancel())
    with suppress(asyncio.CancelledError):
        await performing
    return not performing.cancelled()
