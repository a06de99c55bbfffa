"""Loads that are played against a function in place of a broker."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

from hubbub.bench.generator import _ring
from hubbub.bench.load import Load

SUBJECT = "bench.00000"
SIZE = 16
MESSAGES = 1000
AT_ONCE = 10
_PAYLOAD = b"\xff" * SIZE


class Double:
    """What plays loads in one dialect."""

    def __init__(self, dialect):
        self.dialect = dialect
        self.frame = dialect.published(SUBJECT, _PAYLOAD)
        self.payload_at = self.frame.index(_PAYLOAD)

    def load_of(self, **settings):
        delivered = self.dialect.delivered(SUBJECT, SUBJECT, _PAYLOAD)
        start_at = self.dialect.start_at
        usual = {
            "ring_messages": MESSAGES,
            "window": MESSAGES - AT_ONCE,
            "write_messages": AT_ONCE,
            "replies": True,
            "confirms": 1,
            "receipt": self.dialect.receipt,
        }
        return Load(
            groups=1,
            published_bytes=len(self.frame),
            published_at=self.payload_at,
            delivered_bytes=len(delivered),
            delivered_at=delivered.index(_PAYLOAD),
            delivered_start=delivered[start_at : start_at + 4],
            delivered_start_at=start_at,
            patience=0.5,
            **{**usual, **settings},
        )

    def played(self, broker, *, subscribers, seconds=0.2, **settings):
        """Run a load against ``broker``, which gets the other ends; the publisher's comes first."""
        load = self.load_of(**settings)
        ring = _ring(self.dialect, [SUBJECT], 0, settings.get("ring_messages", MESSAGES), SIZE)
        with ExitStack() as stack, ThreadPoolExecutor() as pool:
            ends = []
            for number in range(1 + subscribers):
                ours, theirs = socket.socketpair()
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                stack.enter_context(theirs)
                ends.append((stack.enter_context(ours), theirs))
                if number:
                    load.add_subscriber(ours.fileno(), 0)
            load.add_publisher(ends[0][0].fileno(), ring, 0)
            playing = pool.submit(broker, *(theirs for _, theirs in ends))
            try:
                load.run(0, seconds)
            finally:
                for ours, _ in ends:
                    ours.close()
                # A load that has seen enough hangs up.
                with suppress(ConnectionError):
                    playing.result()
        return load

    def frames_of(self, publisher):
        """The frames that are published, as many at a time as are written in one go."""
        size = len(self.frame)
        with publisher.makefile("rb") as stream:
            while chunk := stream.read(size * AT_ONCE):
                yield [chunk[at : at + size] for at in range(0, len(chunk), size)]
