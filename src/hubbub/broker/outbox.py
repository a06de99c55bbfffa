"""What a session wants sent: chunks of bytes that the server writes at the end of the loop turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# What a consumer that stops reading may hold of the broker's memory before it is cut off: what
# Redis allows a Pub/Sub client (client-output-buffer-limit pubsub 32mb).
OUTBOX_LIMIT_BYTES = 32 * 1024 * 1024


class Outbox:
    """Chunks to send, in order.

    ``on_ready`` is called when the first chunk comes in, or a close is asked for. ``backlog`` counts
    the bytes that the server has taken but the socket has not; the server keeps it up to date.
    """

    __slots__ = (
        "_chunks",
        "_on_ready",
        "aborted",
        "backlog",
        "closing",
        "limit",
        "overflowed",
        "size",
    )

    def __init__(
        self, on_ready: Callable[[], None] = lambda: None, limit: int = OUTBOX_LIMIT_BYTES
    ) -> None:
        self._chunks: list[bytes] = []
        self._on_ready = on_ready
        self.limit = limit
        self.size = 0
        self.backlog = 0
        self.closing = False  # close the connection once everything is sent
        self.aborted = False  # close at once
        self.overflowed = False  # aborted because the peer is a slow consumer

    def write(self, chunk: bytes) -> None:
        """Send ``chunk`` after all before it; ignored once closing or aborted."""
        if self.closing or self.aborted:
            return
        if not self._chunks:
            self._on_ready()
        self._chunks.append(chunk)
        self.size += len(chunk)

    def push(self, chunk: bytes) -> bool:
        """Send what nobody asked for just now (a delivery); False if it overflows the limit.

        An answer to a request goes through ``write`` instead: the server stops reading from a
        connection whose answers pile up, while deliveries come whether it reads or not.
        """
        if self.size + self.backlog + len(chunk) > self.limit:
            self.overflow()
            return False
        self.write(chunk)
        return True

    def wake(self) -> None:
        """Have the server look at the session again, although there may be nothing to send."""
        self._on_ready()

    def overflow(self) -> None:
        """Give the connection up: its peer does not read what it asked for."""
        self.overflowed = True
        self.abort()

    def abort(self) -> None:
        """Close the connection at once; what is not sent yet is dropped."""
        if not self.aborted:
            self.aborted = True
            self._chunks.clear()
            self.size = 0
            self._on_ready()

    def close(self) -> None:
        """Close the connection once everything written so far is sent."""
        if not self.closing:
            self.closing = True
            if not self._chunks:
                self._on_ready()

    def take(self) -> list[bytes]:
        """All chunks, which are the caller's from now on."""
        chunks, self._chunks = self._chunks, []
        self.size = 0
        return chunks
