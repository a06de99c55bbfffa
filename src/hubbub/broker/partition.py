"""A partition of a topic: its log, and who waits for it to grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.model.faults import contain

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.topics import Topic
    from hubbub.log.seam import PartitionLog


class Partition:
    """One partition; ``watch`` tells when readers can see more than before."""

    __slots__ = ("_armed", "_watchers", "closed", "index", "log", "topic")

    def __init__(self, topic: Topic, index: int, log: PartitionLog) -> None:
        self.topic = topic
        self.index = index
        self.log = log
        self.closed = False  # the topic was deleted
        self._watchers: dict[Callable[[], None], None] = {}
        self._armed = False

    def watch(self, call: Callable[[], None]) -> None:
        """Call ``call`` each time ``durable_offset`` moved, and when the partition failed or went."""
        self._watchers[call] = None
        if not self._armed and not self.closed:
            self._armed = True
            self.log.when_durable(self.log.durable_offset + 1, self._moved)

    def unwatch(self, call: Callable[[], None]) -> None:
        """Undo ``watch``."""
        self._watchers.pop(call, None)

    def close(self) -> None:
        """Tell everyone who waits that nothing more will come."""
        self.closed = True
        self._call_watchers()
        self._watchers.clear()

    def _moved(self, failure: Exception | None) -> None:
        self._armed = False
        self._call_watchers()
        if failure is None and self._watchers and not self._armed and not self.closed:
            self._armed = True
            self.log.when_durable(self.log.durable_offset + 1, self._moved)

    def _call_watchers(self) -> None:
        for call in tuple(self._watchers):
            contain(call)
