"""Dead letters that are settled where they were once they are safe where they went."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.broker.work_queue import WorkQueue

    # A queue, and the offset and size of what it stored.
    Letter = tuple[WorkQueue, int, int]


def watch(buried: Iterable[tuple[WorkQueue, int, int, list[WorkQueue]]]) -> None:
    """Settle each (queue, offset, size, where it was put) when that is durable there.

    What cannot be stored there stays stored here, for the next start to find.
    """
    groups: dict[frozenset[WorkQueue], list[Letter]] = {}
    for queue, offset, size, targets in buried:
        groups.setdefault(frozenset(targets), []).append((queue, offset, size))
    for together, letters in groups.items():
        burial = _Burial(len(together), letters)
        for target in together:
            target.when_durable(partial(burial.one, target))


class _Burial:
    """Letters that went to the same queues in one flush."""

    def __init__(self, missing: int, letters: list[Letter]) -> None:
        self._missing = missing
        self._letters = letters
        self._failed = False

    def one(self, target: WorkQueue, failure: Exception | None) -> None:
        """They are durable in one of the queues, or it is gone together with them."""
        self._failed |= failure is not None and not target.deleted
        self._missing -= 1
        if not self._missing and not self._failed:
            for queue, offset, size in self._letters:
                queue.settle_stored(offset, size)
