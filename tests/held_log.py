"""A memory engine whose appends become durable when the test says so."""

from __future__ import annotations

from typing import Any

from hubbub.log.batch import scan
from hubbub.log.memory import MemoryLog, MemoryPartition
from hubbub.log.waiting import Waiting


class HeldPartition(MemoryPartition):
    """Durable when the test says so."""

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._synced = 0
        self._held = Waiting()
        self.on_wait = lambda: None  # called when somebody begins to wait

    @property
    def durable_offset(self) -> int:
        return self._synced

    @property
    def is_awaited(self) -> bool:
        return bool(self._held._heap)

    def when_durable(self, offset: int, done: Any) -> None:
        if offset <= self._synced:
            done(None)
        else:
            self._held.add(offset, done)
            self.on_wait()

    def read(self, offset: int, max_bytes: int, *, at_least_one: bool = True) -> bytes:
        data = super().read(offset, max_bytes, at_least_one=at_least_one)
        visible = [info.size for info in scan(data) if info.next_offset <= self._synced]
        return data[: sum(visible)]

    def sync(self) -> None:
        self._synced = self.end_offset
        self._held.reached(self._synced)

    def fail(self, failure: Exception) -> None:
        self._held.failed(failure)

    def survivor(self, *, power_cut: bool) -> HeldPartition:
        """As the next process finds it: with a power cut only what was synced is there."""
        found = HeldPartition(self.settings)
        found.end_offset = found._synced = self._synced if power_cut else self.end_offset
        found.start_offset = min(self.start_offset, found.end_offset)
        found._entries = [e for e in self._entries if e.info.next_offset <= found.end_offset]
        found._next_offsets = [entry.info.next_offset for entry in found._entries]
        found.size = sum(len(entry.data) for entry in found._entries)
        return found


class HeldLog(MemoryLog):
    """A memory engine that waits for ``sync`` before it calls anything durable."""

    def __init__(self) -> None:
        super().__init__()
        self.partitions: dict[tuple[int, int], HeldPartition] = {}

    def open(self, number: int, partition: int, settings: Any) -> HeldPartition:
        return self.partitions.setdefault((number, partition), HeldPartition(settings))

    def sizes(self, number: int) -> dict[int, int]:
        return {
            index: partition.size
            for (topic, index), partition in self.partitions.items()
            if topic == number
        }

    def sync(self) -> None:
        for partition in list(self.partitions.values()):
            partition.sync()

    def survivor(self, *, power_cut: bool) -> HeldLog:
        """What the next process finds, of which the one before knows nothing any more."""
        found = HeldLog()
        for place, partition in self.partitions.items():
            found.partitions[place] = partition.survivor(power_cut=power_cut)
        return found
