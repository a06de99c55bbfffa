"""The connection that client commands share."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import click

from hubbub.cli.exits import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubbub import Broker

_DEFAULT_URL = "hubbub://127.0.0.1:8221"


def url_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--url``, for every command that talks to a server."""
    option = click.option(
        "--url",
        metavar="URL",
        help=f"The server (default: $HUBBUB_URL, the one running here, or {_DEFAULT_URL}).",
    )
    return option(command)


@contextlib.contextmanager
def connected(url: str | None) -> Iterator[Broker]:
    """A connection to the server; if there is none the command ends with 69."""
    import hubbub

    try:
        with hubbub.Broker.connect(url or _known_url()) as broker:
            yield broker
    except BrokenPipeError:
        raise  # our own output's reader is gone, not the server
    except (ConnectionError, TimeoutError) as error:
        raise UnavailableError(str(error)) from error


def _known_url() -> str:
    if "HUBBUB_URL" in os.environ:
        return os.environ["HUBBUB_URL"]
    from hubbub.server import running

    bus = running.running().get("bus")
    return f"hubbub://{bus}" if bus else _DEFAULT_URL
