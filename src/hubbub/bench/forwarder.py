"""The relay as a process: `python -m hubbub.bench.forwarder PORT`."""

from __future__ import annotations

import contextlib
import socket
import sys

from hubbub.bench.descriptors import raise_descriptor_limit
from hubbub.bench.relay import Relay

# A generator may open all its connections before one of them is accepted.
_BACKLOG = 1024


def main() -> None:
    """Serve on a port of loopback until a signal ends it."""
    raise_descriptor_limit()
    address = ("127.0.0.1", int(sys.argv[1]))
    with (
        socket.create_server(address, backlog=_BACKLOG) as listener,
        contextlib.suppress(KeyboardInterrupt),
    ):
        Relay(listener).serve()


if __name__ == "__main__":
    main()
