"""The `hubbub` command: what there is, and how errors become exit codes."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from hubbub.cli import color, exits
from hubbub.cli.command import Group
from hubbub.cli.exits import FailedError
from hubbub.model.errors import HubbubError

# Modules are imported when their command is asked for: `hubbub pub` pays for no other.
_COMMANDS = {
    "serve": ("hubbub.cli.serve", "serve"),
    "up": ("hubbub.cli.serve", "up"),
    "demo": ("hubbub.cli.demo", "demo"),
    "pub": ("hubbub.cli.pub", "pub"),
    "sub": ("hubbub.cli.sub", "sub"),
    "topics": ("hubbub.cli.topics", "topics"),
    "subscriptions": ("hubbub.cli.subscriptions", "subscriptions"),
    "env": ("hubbub.cli.env", "env"),
    "config": ("hubbub.cli.config", "config"),
    "bench": ("hubbub.cli.bench", "bench"),
    "completion": ("hubbub.cli.completion", "completion"),
    "version": ("hubbub.cli.version", "version"),
}


class LazyGroup(Group):
    """Knows its commands by name; listed in the order in which a newcomer meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names."""
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command


@click.group(
    cls=LazyGroup,
    examples=(
        "hubbub up                            start one here, for development",
        "hubbub sub 'orders.>'                in a second terminal: see what comes by",
        """hubbub pub orders.new '{"id": 1}'    in a third: publish""",
        'eval "$(hubbub env)"                 addresses for your own programs',
        "hubbub demo                          the whole pattern at work",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=exits.EPILOG,
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """One small publish-subscribe broker.

    Kafka, Redis, NATS and Python clients connect to it as they are; what any of them publishes reaches
    the subscribers of all the others.
    """
    ctx.color = color.wish()


def main() -> NoReturn:
    """Run the command line and exit."""
    try:
        code = cli.main(prog_name="hubbub", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except HubbubError as error:
        failed = FailedError(str(error))
        failed.show()
        code = failed.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = exits.INTERRUPTED
    sys.exit(code)
