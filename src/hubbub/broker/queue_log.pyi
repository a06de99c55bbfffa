from hubbub.broker.offset_set import OffsetSet
from hubbub.log.seam import PartitionLog

class QueueLog:
    """The partition in which a work queue keeps what is persistent."""

    def __init__(self, partition: PartitionLog) -> None: ...
    @property
    def partition(self) -> PartitionLog: ...
    @property
    def live(self) -> OffsetSet:
        """The offsets of the messages that are still needed."""
    @property
    def live_bytes(self) -> int:
        """Of the values of these messages."""
    @property
    def needed_bytes(self) -> int:
        """About what they take of the log: what those did that were stored anew, once some were."""
    def begin_moving(self) -> None:
        """Messages are stored anew now; count what they take."""
    def trim(self) -> None:
        """Forget what lies before the first message that is needed."""
