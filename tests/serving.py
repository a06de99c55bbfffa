"""A real hubbub server process for tests, on free loopback ports."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

START_SECONDS = 30


def free_port() -> int:
    """A port that nobody gets meanwhile: outgoing connections are given those above 32768.

    Else a client that tries to connect while the server is away may take the server's port, or be
    connected to itself.
    """
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class ServerProcess:
    """``hubbub serve`` with its data in ``directory``; the ports stay the same over restarts."""

    def __init__(self, directory: Path, *flags: str) -> None:
        self.directory = directory
        self.flags = flags
        names = ("kafka", "redis", "nats", "mqtt", "mqtt-ws", "amqp", "bus")
        self.ports = {name: free_port() for name in names}
        self.process: subprocess.Popen[str] | None = None

    @property
    def kafka(self) -> str:
        return f"127.0.0.1:{self.ports['kafka']}"

    @property
    def nats(self) -> str:
        return f"nats://127.0.0.1:{self.ports['nats']}"

    @property
    def mqtt(self) -> str:
        return f"mqtt://127.0.0.1:{self.ports['mqtt']}"

    @property
    def mqtt_ws(self) -> str:
        return f"ws://127.0.0.1:{self.ports['mqtt-ws']}/mqtt"

    @property
    def amqp(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.ports['amqp']}/%2F"

    @property
    def url(self) -> str:
        return f"hubbub://127.0.0.1:{self.ports['bus']}"

    def start(self) -> Self:
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        listen = ",".join(f"{name}=127.0.0.1:{port}" for name, port in self.ports.items())
        command = [sys.executable, "-m", "hubbub", "serve", "--data", str(self.directory / "data")]
        with (self.directory / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, "--listen", listen, "--ready-file", str(ready), *self.flags],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()  # the first line comes when it is ready
        assert line, (self.directory / "server.log").read_text()
        assert json.loads(ready.read_text())["kafka"] == self.kafka
        return self

    def kill(self) -> None:
        """kill -9: nothing is flushed, nothing is said."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=START_SECONDS)
        self.process.stdout.close()
        return code

    def memory_kib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()
