MAX_LINE_BYTES: int
MAX_ARGUMENTS: int
MAX_UNTRUSTED_ARGUMENTS: int
MAX_UNTRUSTED_BULK_BYTES: int
MAX_BULK_BYTES: int
MAX_REQUEST_BYTES: int

class RequestParser:
    """Finds whole requests where they were received.

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

    def requests(self, data: bytes, limit: int = 0) -> tuple[list[list[bytes]], int]:
        """The whole requests from the start of ``data``, at most ``limit`` unless that is 0.

        And how many bytes they took; what follows has to come again, with more of it.
        """
