"""The `hubbub` command as a shell runs it."""

from __future__ import annotations

import os
import subprocess
import sys

COMMAND = (sys.executable, "-m", "hubbub")
SECONDS = 30


def environment(home, **more: str) -> dict[str, str]:
    """An environment in which no server of somebody else's is found, nor a terminal's wishes."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("HUBBUB_", "FORCE_", "NO_"))}
    return {**ours, "HOME": str(home), "XDG_STATE_HOME": str(home), **more}


def hubbub(*arguments: str, home, stdin: str = "", **variables: str):
    """Run it to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env=environment(home, **variables),
    )


def start(*arguments: str, home, **variables: str) -> subprocess.Popen[str]:
    """Start it, and leave it running."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(home, **variables),
    )
