from collections.abc import Sequence

def record_room(key_size: int, value_size: int) -> int:
    """At most how many bytes a batch of one such record has; a size of -1 stands for none."""

def encode_headers(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    """Headers as they stand in a record, their count first."""

class BatchBuilder:
    """A batch that grows record by record; native code adds what it only borrows.

    ``timestamp_ms`` is what the times of its records are counted from.
    """

    def __init__(self, timestamp_ms: int) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int:
        """In bytes, as it would be stored."""
    def add_parts(
        self,
        timestamp_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes | None]],
    ) -> None:
        """Add one record. Raises MessageTooLargeError beyond what the format can hold."""
    def finish(self) -> bytes:
        """The batch, with base offset 0. Raises MessageTooLargeError."""
