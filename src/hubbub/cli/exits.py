"""Exit codes: what a script may rely on. Those above 2 are the numbers of sysexits.h."""

from __future__ import annotations

from typing import IO, Any

import click

from hubbub.cli import color

OK = 0
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it

EPILOG = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage; 69 no server to talk to; "
    "78 the server cannot start as it is configured; 130 interrupted."
)


class FailedError(click.ClickException):
    """Ends the command with a sentence for the user, and exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence, by default to stderr."""
        click.secho(f"hubbub: {self.message}", file=file, err=True, fg="red", color=color.wish())


class UnavailableError(FailedError):
    """There is no server to talk to (EX_UNAVAILABLE)."""

    exit_code = 69


class MisconfiguredError(FailedError):
    """The server cannot start as it is configured (EX_CONFIG)."""

    exit_code = 78
