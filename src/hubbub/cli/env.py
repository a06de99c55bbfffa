"""`hubbub env`: addresses, in the variables that other systems' clients read."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import click

from hubbub.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable

_SHELLS: dict[str, Callable[[str, str], str]] = {
    "sh": lambda name, value: f"export {name}={shlex.quote(value)}",
    "fish": lambda name, value: f"set -gx {name} {shlex.quote(value)};",
    "dotenv": lambda name, value: f"{name}={value}",
}
# A server bound to every address is reached on this machine by loopback.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing is bound here


@click.command(
    cls=Command,
    examples=(
        'eval "$(hubbub env)"',
        "hubbub env --fish | source",
        "hubbub env --dotenv > .env",
    ),
)
@click.option("--fish", "style", flag_value="fish", help="For the fish shell.")
@click.option("--dotenv", "style", flag_value="dotenv", help="For a .env file.")
@click.option("--json", "style", flag_value="json", help="One JSON object.")
def env(style: str | None) -> None:
    """Print addresses for your shell.

    They are in the environment variables that clients read. The addresses are those of the server
    that runs on this machine as you, whatever ports it took; if none runs, the standard ones.
    """
    found = variables(_listeners())
    if style == "json":
        click.echo(json.dumps(found))
        return
    spell = _SHELLS[style or "sh"]
    for name, value in found.items():
        click.echo(spell(name, value))


def variables(bound: dict[str, str]) -> dict[str, str]:
    """What clients read, from what each listener is bound to."""
    found = {}
    for listener, address in bound.items():
        host, _, port = address.rpartition(":")
        here = f"{_EVERYWHERE.get(host, host)}:{port}"
        if listener == "kafka":
            # Redpanda Console reads the first; the second is how Kafka's own setting is spelled.
            found["KAFKA_BROKERS"] = found["KAFKA_BOOTSTRAP_SERVERS"] = here
        elif listener == "redis":
            found["REDIS_URL"] = f"redis://{here}"
        elif listener == "nats":
            found["NATS_URL"] = f"nats://{here}"
        elif listener == "mqtt":
            found["MQTT_SERVER"] = f"mqtt://{here}"
        elif listener == "amqp":
            # The user is the one that every client has in its defaults, and this server in its own.
            found["AMQP_URL"] = f"amqp://guest:guest@{here}/"
        elif listener == "bus":
            found["HUBBUB_URL"] = f"hubbub://{here}"
    return found


def _listeners() -> dict[str, str]:
    from hubbub.server import running
    from hubbub.server.listeners import LISTENERS

    return running.running() or {
        name: f"127.0.0.1:{listener.default_port}" for name, listener in LISTENERS.items()
    }
