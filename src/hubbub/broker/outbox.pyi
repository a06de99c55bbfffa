from collections.abc import Callable

OUTBOX_LIMIT_BYTES: int

class Outbox:
    """Chunks to send, in order.

    ``on_ready`` is called when there is something to send for the first time since the server
    looked, or a close is asked for. ``size`` counts what the socket has not taken yet.
    """

    limit: int
    farewell: bytes
    """The protocol's own word for why a slow consumer is cut off, which it finds when it comes to read."""

    @property
    def size(self) -> int: ...
    @property
    def closing(self) -> bool:
        """Close the connection once everything is sent."""
    @property
    def aborted(self) -> bool:
        """Close the connection at once."""
    @property
    def overflowed(self) -> bool:
        """The peer is a slow consumer, which is why the connection is being closed."""
    def __init__(self, on_ready: Callable[[], None] = ..., limit: int = ...) -> None: ...
    def write(self, chunk: bytes) -> None:
        """Send ``chunk`` after all before it; ignored once closing or aborted."""
    def push(self, chunk: bytes) -> bool:
        """Send what nobody asked for just now (a delivery); False if it overflows the limit.

        An answer to a request goes through ``write`` instead: the server stops reading from a
        connection whose answers pile up, while deliveries come whether it reads or not.
        """
    def wake(self) -> None:
        """Have the server look at the session again, although there may be nothing to send."""
    def when_below(self, size: int, on_low: Callable[[], None]) -> None:
        """Call ``on_low`` once, when the socket has taken all but ``size`` bytes; the last call counts.

        It is called while the socket is written to, so it leaves what follows to another turn.
        """
    def overflow(self) -> None:
        """Give the connection up: its peer does not read what it asked for.

        What waits is dropped, but for a chunk that is partly sent if there is a ``farewell``.
        """
    def abort(self) -> None:
        """Close the connection at once; what is not sent yet is dropped."""
    def close(self) -> None:
        """Close the connection once everything written so far is sent."""
    def take(self) -> list[bytes]:
        """All chunks, which are the caller's from now on."""
