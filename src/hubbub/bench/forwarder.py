"""The relay as a process: `python -m hubbub.bench.forwarder` prints its port and forwards."""

from __future__ import annotations

import contextlib
import socket

from hubbub.bench.generator import raise_descriptor_limit
from hubbub.bench.relay import Relay

# A generator may open all its connections before one of them is accepted.
_BACKLOG = 1024


def main() -> None:
    """Serve on a free port of loopback until a signal ends it."""
    raise_descriptor_limit()
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - its parent reads it
        with contextlib.suppress(KeyboardInterrupt):
            Relay(listener).serve()


if __name__ == "__main__":
    main()
