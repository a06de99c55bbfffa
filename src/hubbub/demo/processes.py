"""Child processes that end when the demo ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Self

from hubbub.model.errors import HubbubError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# What a program may take to end by itself before it is killed.
STOP_SECONDS = 5.0
# As much of what a failed program said as helps.
_ERROR_BYTES = 2000


class ProgramFailedError(HubbubError):
    """A program of the demo ended, or did not get ready, on its own account."""


class Child:
    """A Python program that tells what it does on stdout, a line at a time."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, errors: Path) -> None:
        self.name = name
        self.process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    async def line(self) -> str:
        """The next line. Raises ProgramFailedError at the end."""
        assert self.process.stdout is not None  # noqa: S101 - start() made it a pipe
        line = await self.process.stdout.readline()
        if not line:
            said = self._errors.read_text(errors="replace")[-_ERROR_BYTES:].strip()
            raise ProgramFailedError(f"{self.name} ended: {said or 'it said nothing'}")
        return line.decode().rstrip()

    async def lines(self) -> AsyncIterator[str]:
        """All further lines."""
        with contextlib.suppress(ProgramFailedError):
            while True:
                yield await self.line()

    async def stop(self) -> None:
        """SIGTERM, and where that does not help SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


class Children:
    """All of them; they are stopped when the block ends."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # What the user's own servers are told is not meant for the one of the demo.
        ours = {k: v for k, v in os.environ.items() if not k.startswith("HUBBUB_")}
        self._environment = {**ours, "PYTHONUNBUFFERED": "1"}
        self._children: list[Child] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(child.stop() for child in self._children))

    def export(self, **variables: str) -> None:
        """Set environment variables for the children to come."""
        self._environment.update(variables)

    async def start(self, name: str, *arguments: str) -> Child:
        """Run Python with the arguments."""
        errors = self._directory / f"{name}.log"
        with errors.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                env=self._environment,
                # Ctrl-C is for the demo, which then stops the others in good order.
                start_new_session=True,
            )
        child = Child(name, process, errors)
        self._children.append(child)
        return child
