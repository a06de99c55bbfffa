"""Commands whose help ends with examples to copy."""

from __future__ import annotations

from typing import Any

import click


class _WithExamples(click.Command):
    """``examples`` are shown as they are written, one to a line."""

    def __init__(self, *arguments: Any, examples: tuple[str, ...] = (), **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the epilog."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        super().format_epilog(ctx, formatter)


class Command(_WithExamples):
    """A command with examples."""


class Group(_WithExamples, click.Group):
    """A command with commands of its own."""

    command_class = Command
