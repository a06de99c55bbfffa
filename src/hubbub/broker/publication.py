"""What became of a publish."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hubbub.log.seam import PartitionLog


class Durable(Protocol):
    """What can say when it survives power loss: an append, a work queue."""

    def when_durable(self, done: Callable[[Exception | None], None], /) -> None:
        """Call ``done`` once all that it holds now is durable, or with the failure."""


class Stored(NamedTuple):
    """One partition that a publish was appended to; ``next_offset`` follows its last record."""

    log: PartitionLog
    topic: str
    partition: int
    base_offset: int
    next_offset: int

    def when_durable(self, done: Callable[[Exception | None], None], /) -> None:
        """See ``Durable``."""
        self.log.when_durable(self.next_offset, done)


class Lost(NamedTuple):
    """What an observer was to store and could not: who waits for it hears why."""

    failure: Exception

    def when_durable(self, done: Callable[[Exception | None], None], /) -> None:
        """See ``Durable``."""
        done(self.failure)


class Publication(NamedTuple):
    """Live deliveries made, and what now holds the message: partitions, and what observers store in."""

    observers: int
    stored: tuple[Durable, ...] = ()
    failure: Exception | None = None  # of a further topic that captures the address

    @property
    def places(self) -> tuple[Stored, ...]:
        """Where topics have it."""
        return tuple(each for each in self.stored if isinstance(each, Stored))

    def when_durable(self, done: Callable[[Exception | None], None], /) -> None:
        """Call ``done`` once all of it survives power loss (at once if nothing is stored), or with a failure."""
        if self.failure is not None:
            done(self.failure)
        else:
            when_all(self.stored, done)


def when_all(durables: Collection[Durable], done: Callable[[Exception | None], None]) -> None:
    """Call ``done`` once all are durable, or have failed: then with the first failure."""
    if len(durables) == 1:
        for each in durables:
            each.when_durable(done)
        return
    missing = len(durables)
    failed: Exception | None = None

    def one(failure: Exception | None) -> None:
        nonlocal missing, failed
        missing -= 1
        failed = failed or failure
        if not missing:
            done(failed)

    if not durables:
        done(None)
    for each in durables:
        each.when_durable(one)
