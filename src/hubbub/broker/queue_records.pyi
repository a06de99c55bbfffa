class Records:
    """The records in whole batches of a work queue's log. Raises CorruptBatchError."""

    def __init__(self, data: bytes) -> None: ...
    @property
    def data(self) -> bytes: ...
    @property
    def count(self) -> int: ...
    @property
    def after(self) -> int:
        """The offset that follows the last of them."""

class RecordWriter:
    """Adds messages to the batches of a work queue's log."""
