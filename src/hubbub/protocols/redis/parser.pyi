MAX_LINE_BYTES: int
MAX_ARGUMENTS: int
MAX_UNTRUSTED_ARGUMENTS: int
MAX_UNTRUSTED_BULK_BYTES: int
MAX_BULK_BYTES: int
MAX_REQUEST_BYTES: int

class RequestParser:
    """Collects bytes and hands out whole requests.

    While ``trusted`` is false (authentication is wanted and has not happened) requests are held to
    ``MAX_UNTRUSTED_ARGUMENTS`` and ``MAX_UNTRUSTED_BULK_BYTES``. Once ``failure`` is set nothing more
    comes out: it is the protocol error to answer before the connection is closed, empty where the
    close has to be silent.
    """

    trusted: bool
    max_bulk_bytes: int
    max_request_bytes: int
    @property
    def failure(self) -> str | None:
        """What was wrong with the bytes, without Redis's ``Protocol error: `` before it."""

    @property
    def buffered(self) -> int:
        """How many bytes wait for the rest of their request."""

    def feed(self, data: bytes) -> None:
        """Take in bytes, cut anywhere."""

    def take(self, limit: int = 0) -> list[list[bytes]]:
        """The next whole requests, at most ``limit`` of them unless it is 0."""
