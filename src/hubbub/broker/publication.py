"""What became of a publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.log.seam import PartitionLog


class Stored(NamedTuple):
    """One partition that a publish was appended to; ``next_offset`` follows its last record."""

    log: PartitionLog
    topic: str
    partition: int
    base_offset: int
    next_offset: int


class Publication(NamedTuple):
    """Live deliveries made, and the partitions that now hold the message."""

    observers: int
    stored: tuple[Stored, ...] = ()
    failure: Exception | None = None  # of a further topic that captures the address

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once every append survives power loss (at once if none), or with a failure."""
        if self.failure is not None:
            done(self.failure)
        elif len(self.stored) == 1:
            self.stored[0].log.when_durable(self.stored[0].next_offset, done)
        elif not self.stored:
            done(None)
        else:
            _WhenAll(self.stored, done)


class _WhenAll:
    """Waits for several appends and reports the first failure."""

    def __init__(
        self, stored: tuple[Stored, ...], done: Callable[[Exception | None], None]
    ) -> None:
        self._missing = len(stored)
        self._failure: Exception | None = None
        self._done = done
        for place in stored:
            place.log.when_durable(place.next_offset, self._one)

    def _one(self, failure: Exception | None) -> None:
        self._failure = self._failure or failure
        self._missing -= 1
        if not self._missing:
            self._done(self._failure)
