"""`hubbub subscriptions`: who has read how far."""

from __future__ import annotations

import click

from hubbub.cli import table
from hubbub.cli.client import connected, url_option
from hubbub.cli.command import Command


@click.command(
    cls=Command,
    examples=(
        "hubbub subscriptions",
        "hubbub subscriptions --json | jq 'select(.lag > 1000)'",
    ),
)
@url_option
@click.option("--topic", help="Of this topic only.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def subscriptions(url: str | None, topic: str | None, *, as_json: bool) -> None:
    """List subscriptions and their lag.

    Kafka consumer groups are partitioned, groups of the Python API and of `sub --group` are shared. A
    queue has the patterns that it is bound to where the others have their topic.
    LAG counts messages that are stored and not yet committed or acknowledged.
    """
    with connected(url) as broker:
        found = broker.subscriptions()
    rows = [
        {
            "name": info.name,
            "topic": info.topic,
            "kind": info.kind,
            "members": list(info.members),
            "lag": info.lag,
        }
        for info in found
        if topic in {None, info.topic}
    ]
    table.show(rows, as_json=as_json)
