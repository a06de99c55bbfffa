"""`hubbub config`: what a server would be told, and by whom."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from hubbub.cli.command import Group
from hubbub.cli.exits import MisconfiguredError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.server.config import Config
    from hubbub.server.layers import Layers


class Setting(NamedTuple):
    """A setting as it is in effect; ``origin`` is a variable, a file or ``default``."""

    key: str
    value: Any
    origin: str


@click.group(cls=Group)
def config() -> None:
    """Look at the configuration.

    What `serve` and `up` would use, without their flags.
    """


@config.command(
    examples=(
        "hubbub config show",
        "hubbub config show --config hubbub.toml",
    ),
)
@click.option(
    "--config",
    "path",
    metavar="FILE",
    envvar="HUBBUB_CONFIG",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The TOML file to read.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def show(path: Path | None, *, as_json: bool) -> None:
    """Print every setting, its value, and where that came from.

    Flags of `serve` have the last word, then the environment (HUBBUB_SERVER_DATA,
    HUBBUB_BROKER_DEFAULT_PARTITIONS, HUBBUB_LISTENERS_KAFKA_ADDRESS, ...), then the file.
    """
    from hubbub.server import config as settings
    from hubbub.server.layers import ConfigError

    try:
        layers = settings.read(path, os.environ)
        effective = list(_settings(settings.convert(layers), layers))
    except ConfigError as error:
        raise MisconfiguredError(str(error)) from error
    width = max(len(setting.key) + len(json.dumps(setting.value)) for setting in effective) + 3
    for setting in effective:
        if as_json:
            click.echo(json.dumps(setting._asdict()))
        else:
            line = f"{setting.key} = {json.dumps(setting.value)}"
            click.echo(f"{line:{width}}  # {setting.origin}")


def _settings(config: Config, layers: Layers) -> Iterator[Setting]:
    import msgspec

    from hubbub.server import server

    tables: dict[str, Any] = msgspec.to_builtins(config)
    tables["server"]["data"] = str(config.data_directory())
    for endpoint in server.endpoints(config):
        listener = tables["listeners"].setdefault(endpoint.listener, {"advertised": ""})
        listener["address"] = str(endpoint)
    for key, value in _flat("", tables):
        yield Setting(key, value, layers.origins.get(key, "default"))


def _flat(prefix: str, table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in sorted(table.items()):
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value
