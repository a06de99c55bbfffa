"""`hubbub pub`: publish from a shell."""

from __future__ import annotations

import json
import sys
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import click

from hubbub.cli.client import connected, url_option
from hubbub.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hubbub.bus.pending import Pending
    from hubbub.bus.published import Published

# Publishes that wait for the disk together: many share one sync, and memory stays small.
_MAX_IN_FLIGHT = 1000


@click.command(
    cls=Command,
    examples=(
        """hubbub pub orders.new '{"id": 1}'""",
        "hubbub pub orders.new --key ada --header source=web < order.json",
        "tail -f access.log | hubbub pub web.access --lines",
    ),
)
@click.argument("address")
@click.argument("value", required=False)
@url_option
@click.option("--key", "-k", help="Messages with one key keep their order.")
@click.option(
    "--header", "-H", "headers", multiple=True, metavar="K=V", help="A header; repeatable."
)
@click.option("--lines", "-l", is_flag=True, help="Publish each line of standard input.")
@click.option("--count", type=click.IntRange(min=1), default=1, help="Publish it so many times.")
@click.option(
    "--json", "check_json", is_flag=True, help="Refuse what is not JSON, and mark it as JSON."
)
def pub(
    address: str,
    value: str | None,
    url: str | None,
    key: str | None,
    headers: tuple[str, ...],
    count: int,
    *,
    lines: bool,
    check_json: bool,
) -> None:
    """Publish messages.

    VALUE, or what comes on standard input, goes to ADDRESS. Returns once the message is durable
    wherever a topic stores it.
    """
    if value is not None and lines:
        raise click.UsageError("--lines reads standard input: give no VALUE")
    pairs = [_header(header) for header in headers]
    payloads = _payloads(value, lines=lines)
    if check_json:
        payloads = map(_checked_json, payloads)
    with connected(url) as broker:
        publish = partial(
            broker.publish_soon,
            address,
            key=key,
            headers=pairs,
            content_type="application/json" if check_json else None,
        )
        kept = _publish_all(publish, (payload for payload in payloads for _ in range(count)))
    if not kept and sys.stderr.isatty():
        click.echo(f"Nobody listens, and no topic keeps {address}: it is gone.", err=True)


def _publish_all(publish: Callable[[bytes], Pending[Published]], payloads: Iterable[bytes]) -> bool:
    """Publish each, and wait for all of them; whether anybody has any of it."""
    kept = False
    in_flight: deque[Pending[Published]] = deque()
    for payload in payloads:
        in_flight.append(publish(payload))
        if len(in_flight) >= _MAX_IN_FLIGHT:
            kept |= _is_kept(in_flight.popleft().result())
    for pending in in_flight:
        kept |= _is_kept(pending.result())
    return kept


def _is_kept(published: Published) -> bool:
    return bool(published.observers or published.stored)


def _payloads(value: str | None, *, lines: bool) -> Iterable[bytes]:
    if value is not None:
        # What the shell passed, byte for byte, be it text or not.
        return [value.encode("utf-8", "surrogateescape")]
    stdin = sys.stdin.buffer
    return (line.rstrip(b"\r\n") for line in stdin) if lines else [stdin.read()]


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--header")
    return name, value


def _checked_json(payload: bytes) -> bytes:
    try:
        json.loads(payload)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="VALUE") from error
    return payload
