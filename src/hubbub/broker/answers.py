"""Answers that wait until the state they tell of is whole."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


class Answers:
    """Answers to give, in order.

    An answer may make its receiver ask again at once, so none is given in the middle of a change;
    and one asked for while another is given waits its turn, so nothing recurses.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._giving = False

    def add(self, reply: Callable[[_T], None], answer: _T) -> None:
        """Call ``reply`` with ``answer`` at the next ``give``. ``reply`` must not raise."""
        self._waiting.append(partial(reply, answer))

    def give(self) -> None:
        """Call every reply that waits."""
        if self._giving:
            return
        self._giving = True
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            self._giving = False
