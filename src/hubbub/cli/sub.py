"""`hubbub sub`: see what is published, now or from the log."""

from __future__ import annotations

import sys
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import click

from hubbub.cli import message_format
from hubbub.cli.client import connected, url_option
from hubbub.cli.command import Command
from hubbub.cli.exits import FailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.bus.message import Message
    from hubbub.bus.subscription import Subscription

_DEFAULT_FORMAT = r"%t %v\n"


@click.command(
    cls=Command,
    examples=(
        "hubbub sub 'orders.>'",
        "hubbub sub orders.new --from-beginning -n 10 --json | jq '.value | fromjson'",
        r"hubbub sub orders.new --since 1h --wait 2 -f '%T %k %v\n'",
        "hubbub sub orders.new --group billing",
    ),
)
@click.argument("pattern")
@url_option
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest stored message.")
@click.option(
    "--since", metavar="TIME", help="Begin with what was stored so long ago: 90s, 15m, 1h, 7d."
)
@click.option(
    "--group", help="Share the messages with the others of this group, and keep its place."
)
@click.option("-n", "--count", type=click.IntRange(min=1), help="End after so many messages.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="End when nothing came for so long; with -n, that is a failure.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "-f",
    "--format",
    "text",
    default=_DEFAULT_FORMAT,
    show_default=True,
    help=r"How to print a message: %t address, %k key, %v or %s value, %h headers, %p partition, "
    r"%o offset, %T time in ms, %S size, %% a percent sign; \n and \t as in C.",
)
def sub(
    pattern: str,
    url: str | None,
    since: str | None,
    group: str | None,
    count: int | None,
    wait: float | None,
    text: str,
    *,
    from_beginning: bool,
    as_json: bool,
) -> None:
    """Print what is published.

    PATTERN says to which addresses: `*` stands for one level, `>` at the end for one or more, `#`
    for any number. Without --from-beginning or --since only new messages are shown.
    """
    if from_beginning and since:
        raise click.UsageError("--from-beginning and --since exclude each other")
    render = message_format.as_json if as_json else message_format.compile_format(text)
    start = "beginning" if from_beginning else since
    out = sys.stdout.buffer
    seen = 0
    with connected(url) as broker:
        subscription = broker.subscribe(pattern, group=group, start=start)
        for message in islice(_messages(subscription, wait), count):
            out.write(render(message))
            out.flush()
            seen += 1
            if group is not None:
                message.ack()
    if count is not None and seen < count:
        raise FailedError(f"{seen} of {count} messages came")


def _messages(subscription: Subscription, wait: float | None) -> Iterator[Message]:
    """What comes, until nothing comes for ``wait`` seconds."""
    with suppress(TimeoutError):
        while True:
            yield subscription.get(timeout=wait)
