class OffsetSet:
    """Offsets that come in rising order and go in any; it costs a bit for each from the first on."""

    @property
    def count(self) -> int: ...
    def add(self, offset: int) -> int:
        """Add one that is not below all there are."""
    def remove(self, offset: int) -> bool:
        """Take one out; whether it was there."""
    def remove_range(self, first: int, count: int) -> int:
        """Take out all of ``count`` from ``first`` on."""
    def has(self, offset: int) -> bool: ...
    def first(self) -> int:
        """The lowest; -1 where there is none."""
