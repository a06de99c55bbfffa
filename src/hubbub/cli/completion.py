"""`hubbub completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click

from hubbub.cli.command import Command


@click.command(
    cls=Command,
    examples=(
        "hubbub completion bash > ~/.local/share/bash-completion/completions/hubbub",
        "hubbub completion zsh > ~/.zfunc/_hubbub",
        "hubbub completion fish > ~/.config/fish/completions/hubbub.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a completion script."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click.Choice let only these through
    root = ctx.find_root().command
    click.echo(kind(root, {}, "hubbub", "_HUBBUB_COMPLETE").source())
