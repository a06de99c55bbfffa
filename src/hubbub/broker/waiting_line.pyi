class WaitingLine:
    """What waits in a queue, by level and then in the order in which it came."""

    def __init__(self, highest: int = 0) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def bytes(self) -> int:
        """Of the values of all that waits."""
