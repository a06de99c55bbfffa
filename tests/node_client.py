"""nats.js, the NATS client of Node: clients_js/nats_client.mjs as tests run it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parent / "clients_js"
WAIT_SECONDS = 30
INSTALL_SECONDS = 100


@dataclass(frozen=True)
class Received:
    """One message as Node got it."""

    subject: str
    payload: bytes
    headers: dict[str, list[str]]
    reply: str | None


class ClientError(Exception):
    """What the client said went wrong: its error code."""


class Running:
    """A started client; ``messages`` waits for its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def messages(self) -> list[Received]:
        lines, errors = self._process.communicate(timeout=WAIT_SECONDS)
        said = [json.loads(line) for line in lines.splitlines() if line != "ready"]
        for line in said:
            if "error" in line:
                raise ClientError(line["error"])
        assert self._process.returncode == 0, errors
        return [Received(**line | {"payload": base64.b64decode(line["payload"])}) for line in said]


class NodeClient:
    """Runs the program's commands, from a directory that has its packages."""

    def __init__(self, directory: Path) -> None:
        self._script = directory / "nats_client.mjs"

    @contextlib.contextmanager
    def started(self, url: str, *command: str, **variables: str) -> Iterator[Running]:
        """A client that is connected and subscribed; its credentials are ``NATS_USER`` and so on."""
        process = subprocess.Popen(
            ["node", str(self._script), url, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
        try:
            line = process.stdout.readline().strip()
            if line.startswith("{"):
                raise ClientError(json.loads(line)["error"])
            assert line == "ready", process.stderr.read()
            yield Running(process)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()

    def run(self, url: str, *command: str, **variables: str) -> list[Received]:
        """Run a command to its end."""
        with self.started(url, *command, **variables) as client:
            return client.messages()


def install(cache: Path) -> NodeClient:
    """The client with its packages in ``cache``, installed by the first who asks."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: no NATS client of Node")
    wanted = (SOURCE / "package.json").read_text()
    directory = cache / "nats"
    installed = directory / "package.json"
    if not installed.exists() or installed.read_text() != wanted:
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            fresh = Path(scratch) / "nats"
            fresh.mkdir()
            shutil.copy(SOURCE / "package.json", fresh)
            _npm_install(fresh)
            shutil.rmtree(directory, ignore_errors=True)
            with contextlib.suppress(OSError):  # another worker was quicker
                fresh.rename(directory)
    script = directory / "nats_client.mjs"
    if not script.exists() or script.read_text() != (SOURCE / script.name).read_text():
        shutil.copy(SOURCE / script.name, directory)
    return NodeClient(directory)


def _npm_install(directory: Path) -> None:
    flags = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
    try:
        done = subprocess.run(
            ["npm", "install", *flags],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm took too long to install the NATS client of Node")
    if done.returncode:
        pytest.skip(f"npm could not install the NATS client of Node: {done.stderr.strip()}")
