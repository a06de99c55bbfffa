"""`hubbub serve` and `hubbub up`: the same server, for others and for oneself."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hubbub.cli.command import Command
from hubbub.cli.exits import FailedError, MisconfiguredError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from hubbub.server.binding import Endpoint
    from hubbub.server.config import Config

_TITLES = {
    "kafka": "Kafka",
    "redis": "Redis",
    "nats": "NATS",
    "mqtt": "MQTT",
    "mqtt-ws": "MQTT over WebSocket",
    "amqp": "AMQP",
    "bus": "hubbub",
}

_OPTIONS = (
    click.option(
        "--data", metavar="DIR", help="Keep messages in DIR (default: the XDG data directory)."
    ),
    click.option("--memory", is_flag=True, help="Keep nothing on disk."),
    click.option(
        "--config",
        metavar="FILE",
        envvar="HUBBUB_CONFIG",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Read settings from a TOML file.",
    ),
    click.option(
        "--listen",
        metavar="NAME=[HOST]:PORT,...",
        default="",
        help="Open these listeners only, at these addresses; port 0 takes a free one.",
    ),
    click.option("--only", metavar="NAME,...", default="", help="Open these listeners only."),
    click.option(
        "--ready-file",
        metavar="FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        help='When ready, write the addresses to FILE: {"kafka": "127.0.0.1:9092", ...}.',
    ),
    click.option(
        "--insecure",
        is_flag=True,
        help="Listen beyond loopback although anyone may then do anything.",
    ),
)


def _server_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(
    cls=Command,
    examples=(
        "hubbub serve",
        "hubbub serve --data /var/lib/hubbub --config /etc/hubbub.toml",
        "hubbub serve --memory --listen kafka=:19092,redis=:0 --ready-file ready.json",
    ),
)
@_server_options
def serve(**flags: Any) -> None:
    """Run a server.

    Kafka on 9092, Redis on 6379, NATS on 4222, MQTT on 1883 and by WebSocket on 9001, AMQP on 5672,
    and hubbub's own protocol on 8221, all on 127.0.0.1. Prints a line per listener when ready.
    SIGTERM and Ctrl-C finish what was begun and exit 0. A taken port, a locked data directory or a
    setting that means nothing exits 78.
    """
    from hubbub.server import binding

    def announce(bound: dict[str, str]) -> None:
        for name, address in bound.items():
            click.echo(f"{name} {address}")

    with _configuration_errors():
        config, endpoints = _configure(flags)
        sockets = binding.bind_all(endpoints)
        _run(config, endpoints, sockets, flags["ready_file"], announce)


@click.command(
    cls=Command,
    examples=(
        "hubbub up",
        "hubbub up --memory",
    ),
)
@_server_options
def up(**flags: Any) -> None:
    """Run a server for development.

    As `serve`, but a taken port gives way to a free one, and it says so.
    """
    from hubbub.server import binding

    began = time.monotonic()

    def announce(bound: dict[str, str]) -> None:
        _welcome(config, endpoints, bound, time.monotonic() - began)

    with _configuration_errors():
        config, endpoints = _configure(flags)
        sockets = binding.bind_shifting(endpoints)
        _run(config, endpoints, sockets, flags["ready_file"], announce)


@contextlib.contextmanager
def _configuration_errors() -> Iterator[None]:
    """What keeps a server from starting is told in a sentence, with its exit code."""
    from hubbub.model.errors import (
        DataDirectoryLockedError,
        HubbubError,
        InvalidAddressError,
        InvalidSettingsError,
    )
    from hubbub.server.binding import BindingError
    from hubbub.server.layers import ConfigError

    try:
        yield
    except (
        BindingError,
        ConfigError,
        DataDirectoryLockedError,
        InvalidAddressError,
        InvalidSettingsError,
    ) as error:
        raise MisconfiguredError(str(error)) from error
    except (HubbubError, OSError) as error:
        raise FailedError(str(error)) from error


def _configure(flags: dict[str, Any]) -> tuple[Config, list[Endpoint]]:
    """The effective configuration and where to bind. Raises ConfigError, BindingError."""
    from hubbub.server import binding, server
    from hubbub.server import config as settings
    from hubbub.server.layers import ConfigError
    from hubbub.server.listeners import LISTENERS

    layers = settings.read(flags["config"], os.environ)
    if flags["data"] and flags["memory"]:
        raise click.UsageError("--data and --memory exclude each other")
    for flag in ("data", "memory", "insecure"):
        if flags[flag]:
            layers.set(f"server.{flag}", flags[flag], f"--{flag}")
    if flags["data"]:
        layers.set("server.memory", False, "--data")
    listened = binding.parse_endpoints(flags["listen"])
    for endpoint in listened:
        layers.set(f"listeners.{endpoint.listener}.address", str(endpoint), "--listen")
    only = {name.strip() for name in flags["only"].split(",") if name.strip()}
    unknown = only - LISTENERS.keys()
    if unknown:
        raise ConfigError(f"--only: there is no listener {min(unknown)!r}: {', '.join(LISTENERS)}")
    config = settings.convert(layers)
    wanted = only or {endpoint.listener for endpoint in listened} or None
    endpoints = server.endpoints(config, wanted)
    if not config.server.insecure:
        binding.refuse_exposure(endpoints)
    return config, endpoints


def _run(
    config: Config,
    endpoints: list[Endpoint],
    sockets: list[socket.socket],
    ready_file: Path | None,
    announce: Callable[[dict[str, str]], None],
) -> None:
    from hubbub.server import running
    from hubbub.server.run import run

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)

    def ready(bound: dict[str, str]) -> None:
        if ready_file is not None:
            running.write_ready_file(ready_file, bound)
        running.take_note(bound)
        announce(bound)

    if ready_file is not None:
        ready_file.unlink(missing_ok=True)  # of a run before: nobody may take it for this one's
    listeners = [endpoint.listener for endpoint in endpoints]
    try:
        run(config, dict(zip(listeners, sockets, strict=True)), ready)
    finally:
        running.remove_note()
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def _welcome(
    config: Config, endpoints: list[Endpoint], bound: dict[str, str], seconds: float
) -> None:
    from hubbub.cli.version import installed_version

    kept = "nothing on disk" if config.server.memory else f"data {config.data_directory()}"
    click.secho(f"hubbub {installed_version()}", bold=True, nl=False)
    click.echo(f"  ready in {seconds:.2f} s  {kept}  (Ctrl-C stops)")
    titles = {name: _TITLES.get(name, name) for name in bound}
    width = max(map(len, titles.values())) + 1
    for name, address in bound.items():
        click.echo(f"  {titles[name]:{width}}{address}")
    for wanted in endpoints:
        port = int(bound[wanted.listener].rpartition(":")[2])
        if wanted.port not in {0, port}:
            click.secho(
                f"! {wanted.listener}: {wanted} is taken, moved to {bound[wanted.listener]}"
                f" (choose one: --listen {wanted.listener}=:PORT)",
                fg="yellow",
            )
    click.echo("""  Your shell:  eval "$(hubbub env)"    See it work:  hubbub demo""")
