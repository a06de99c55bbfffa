from collections.abc import Iterator

class Creditor:
    """Somebody who says how many more messages they take right now."""

class Takers:
    """Whose turn it is: equals take turns one by one, and higher priorities come first.

    With ``single`` the first who came is the only one until they leave.
    """

    def __init__(self, single: bool = False) -> None: ...
    def __iter__(self) -> Iterator[Creditor]: ...
    @property
    def active(self) -> Creditor | None:
        """Who is the only one to get anything, where that is so."""
    @property
    def count(self) -> int: ...
