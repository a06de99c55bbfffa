from typing import Generic, TypeVar

from hubbub.model.address import Address
from hubbub.model.pattern import Wildcard

_V = TypeVar("_V")

class Trie(Generic[_V]):
    """Values by wildcard pattern. Patterns are at most ``MAX_LEVELS`` deep, and nothing recurses."""

    def __init__(self) -> None: ...
    def add(self, pattern: Wildcard, value: _V, order: int) -> None:
        """Find ``value`` for what matches ``pattern``, once however often it is added."""
    def remove(self, pattern: Wildcard, value: _V) -> None:
        """Undo ``add``; levels that hold nothing any more go."""
    def match(self, address: Address) -> list[tuple[int, _V]]:
        """``(order, value)`` for each pattern that matches; a value once for each of them."""
    @property
    def empty(self) -> bool:
        """Whether it holds nothing."""
