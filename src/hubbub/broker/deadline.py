"""A deadline that is put off far more often than it is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.timers import Timer, Timers


class Deadline:
    """Calls ``missed`` when it passes.

    Putting it off moves no timer: the one that is set looks again when it fires. So a client that
    sends heartbeats without pause costs one timer and not one for each of them.
    """

    __slots__ = ("_due", "_missed", "_timer", "_timers")

    def __init__(self, timers: Timers, missed: Callable[[], None]) -> None:
        self._timers = timers
        self._missed = missed
        self._due = 0.0
        self._timer: Timer | None = None

    def set(self, seconds: float) -> None:
        """Pass ``seconds`` from now, instead of whenever it was to pass."""
        self._due = self._timers.now + seconds
        if self._timer is not None and self._timer.when > self._due:
            self.clear()
        if self._timer is None:
            self._timer = self._timers.after(seconds, self._look)

    def clear(self) -> None:
        """Never pass, unless set again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        left = self._due - self._timers.now
        if left > 0:
            self._timer = self._timers.after(left, self._look)
        else:
            self._missed()
