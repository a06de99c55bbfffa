"""`hubbub topics`: what is remembered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hubbub.cli import table
from hubbub.cli.client import connected, url_option
from hubbub.cli.command import Group

if TYPE_CHECKING:
    from hubbub.broker.listing import TopicInfo


@click.group(
    cls=Group,
    invoke_without_command=True,
    examples=(
        "hubbub topics",
        "hubbub topics create orders --partitions 6 --set retention_ms=-1",
        "hubbub topics create sensors --capture 'sensors.>'",
        "hubbub topics describe orders",
    ),
)
@url_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def topics(ctx: click.Context, url: str | None, *, as_json: bool) -> None:
    """List topics, or change them.

    A topic remembers what is published to its name and to the patterns that it captures.
    """
    ctx.obj = url
    if ctx.invoked_subcommand is None:
        with connected(url) as broker:
            rows = [_row(info) for info in broker.topics()]
        table.show(rows, as_json=as_json)


@topics.command(
    examples=(
        "hubbub topics create orders --partitions 6",
        "hubbub topics create audit --capture 'orders.>' --capture 'users.*.deleted'",
    ),
)
@click.argument("name")
@click.option("--partitions", type=click.IntRange(min=1), help="How many (default: the server's).")
@click.option(
    "--capture", "captures", multiple=True, help="A pattern to remember, too; repeatable."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting, as `describe` names them; repeatable.",
)
@click.option("--if-not-exists", is_flag=True, help="Be content where it is there already.")
@click.pass_obj
def create(
    url: str | None,
    name: str,
    partitions: int | None,
    captures: tuple[str, ...],
    assignments: tuple[str, ...],
    *,
    if_not_exists: bool,
) -> None:
    """Create a topic."""
    import msgspec

    from hubbub.model.errors import TopicExistsError
    from hubbub.model.settings import TopicSettings

    pairs = dict(assignment.partition("=")[::2] for assignment in assignments)
    chosen: dict[str, Any] = {**pairs, **({"captures": captures} if captures else {})}
    try:
        settings = msgspec.convert(chosen, TopicSettings, strict=False)
    except msgspec.ValidationError as error:
        raise click.BadParameter(str(error), param_hint="--set") from error
    with connected(url) as broker:
        try:
            broker.create_topic(name, partitions=partitions, settings=settings)
        except TopicExistsError:
            if not if_not_exists:
                raise


@topics.command(
    examples=("hubbub topics describe orders",),
)
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def describe(url: str | None, name: str, *, as_json: bool) -> None:
    """Show a topic's settings and partitions."""
    import msgspec

    with connected(url) as broker:
        info = _find(broker.topics(), name)
    settings = msgspec.to_builtins(info.settings)
    partitions = [msgspec.structs.asdict(partition) for partition in info.partitions]
    if as_json:
        click.echo(json.dumps({"name": name, "settings": settings, "partitions": partitions}))
        return
    for key, value in settings.items():
        click.echo(f"{key} = {json.dumps(value)}")
    table.show(partitions, as_json=False)


@topics.command(
    examples=("hubbub topics delete orders --yes",),
)
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(url: str | None, name: str, *, yes: bool) -> None:
    """Delete a topic, its messages, and where everyone stood in it."""
    with connected(url) as broker:
        info = _find(broker.topics(), name)
        if not yes:
            click.confirm(f"Delete {name} and its {info.messages} messages?", abort=True, err=True)
        broker.delete_topic(name)


def _find(infos: list[TopicInfo], name: str) -> TopicInfo:
    from hubbub.model.errors import UnknownTopicError

    for info in infos:
        if info.name == name:
            return info
    raise UnknownTopicError(f"there is no topic {name}")


def _row(info: TopicInfo) -> dict[str, Any]:
    return {
        "topic": info.name,
        "partitions": len(info.partitions),
        "messages": info.messages,
        "bytes": info.bytes,
        "captures": list(info.settings.captures),
    }
