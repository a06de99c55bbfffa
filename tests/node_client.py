"""The clients of Node as tests run them: the programs of clients_js, with their packages."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).parent / "clients_js"
WAIT_SECONDS = 30
INSTALL_SECONDS = 100


@dataclass(frozen=True)
class NatsMessage:
    """One message as nats.js got it."""

    subject: str
    payload: bytes
    headers: dict[str, list[str]]
    reply: str | None


@dataclass(frozen=True)
class MqttMessage:
    """One message as MQTT.js got it; ``properties`` as it names them, bytes as text."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: dict[str, Any]


@dataclass(frozen=True)
class AmqpMessage:
    """One message as amqplib got it; ``properties`` as it names them, those that there were."""

    exchange: str
    key: str
    payload: bytes
    redelivered: bool
    properties: dict[str, Any]


class ClientError(Exception):
    """What the client said went wrong: its error code."""


class Running:
    """A started client; ``messages`` waits for its end."""

    def __init__(
        self, process: subprocess.Popen[str], message: type[NatsMessage | MqttMessage | AmqpMessage]
    ) -> None:
        self._process = process
        self._message = message

    def messages(self) -> list[Any]:
        # Not by communicate(), which forgets what was read together with the line "ready".
        patience = threading.Timer(WAIT_SECONDS, self._process.kill)
        patience.start()
        lines = self._process.stdout.read()
        patience.cancel()
        said = [json.loads(line) for line in lines.splitlines()]
        for line in said:
            if "error" in line:
                raise ClientError(line["error"])
        assert self._process.wait() == 0, self._process.stderr.read()
        return [
            self._message(**line | {"payload": base64.b64decode(line["payload"])}) for line in said
        ]


class NodeClient:
    """Runs one program's commands."""

    def __init__(
        self, script: Path, message: type[NatsMessage | MqttMessage | AmqpMessage]
    ) -> None:
        self._script = script
        self._message = message

    @contextlib.contextmanager
    def started(self, url: str, *command: str, **variables: str) -> Iterator[Running]:
        """A client that is connected and subscribed; ``variables`` are its environment."""
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
            yield Running(process, self._message)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()

    def run(self, url: str, *command: str, **variables: str) -> list[Any]:
        """Run a command to its end."""
        with self.started(url, *command, **variables) as client:
            return client.messages()


def install(cache: Path) -> Path:
    """A directory with the programs and their packages, made by the first who asks."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: no clients of Node")
    directory = cache / "node"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held by one of the workers at a time, until it closes
        installed = directory / "package.json"
        wanted = (SOURCE / "package.json").read_text()
        if not installed.exists() or installed.read_text() != wanted:
            _fresh(directory)
        for script in SOURCE.glob("*.mjs"):
            copy = directory / script.name
            if not copy.exists() or copy.read_text() != script.read_text():
                shutil.copy(script, copy)
    return directory


def _fresh(directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        fresh = Path(scratch) / "node"
        fresh.mkdir()
        shutil.copy(SOURCE / "package.json", fresh)
        _npm_install(fresh)
        shutil.rmtree(directory, ignore_errors=True)
        fresh.rename(directory)


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
        pytest.skip("npm took too long to install the clients of Node")
    if done.returncode:
        pytest.skip(f"npm could not install the clients of Node: {done.stderr.strip()}")
