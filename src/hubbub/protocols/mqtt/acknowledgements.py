"""PUBACK, PUBREC and PUBCOMP that wait for the disk, in the order in which they are owed."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.outbox import Outbox
    from hubbub.broker.publication import Publication


class _Owed:
    __slots__ = ("answers", "count", "ready")

    def __init__(self, answers: bytes, count: int) -> None:
        self.answers = answers
        self.count = count
        self.ready = False


class Acknowledgements:
    """What one client is owed for its publishes."""

    __slots__ = ("_outbox", "_owed", "waiting")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._owed: deque[_Owed] | None = None
        self.waiting = 0  # packets

    def now(self, answers: bytes) -> None:
        """Send as soon as what is owed before is sent."""
        if not self._owed:
            self._outbox.write(answers)
            return
        owed = _Owed(answers, 1)
        owed.ready = True
        self._owed.append(owed)
        self.waiting += 1

    def later(
        self,
        answers: bytes,
        count: int,
        publication: Publication,
        lost: Callable[[Exception], None],
    ) -> None:
        """Send ``count`` packets once the publication is durable; ``lost`` is told where it fails."""
        owed = _Owed(answers, count)
        if self._owed is None:
            self._owed = deque()
        self._owed.append(owed)
        self.waiting += count

        def done(failure: Exception | None) -> None:
            if failure is not None:
                lost(failure)
                return
            owed.ready = True
            self._send()

        publication.when_durable(done)

    def _send(self) -> None:
        owed = self._owed
        while owed and owed[0].ready:
            first = owed.popleft()
            self.waiting -= first.count
            self._outbox.write(first.answers)
