"""Group commit: everything appended since the last sync becomes durable together."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hubbub.model.faults import contain

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.log.directory import PartitionDirectory
    from hubbub.log.segment import Segment


class PartitionSync:
    """What one partition needs synced. ``run`` may go on while the partition is appended to."""

    def __init__(
        self,
        directory: PartitionDirectory,
        segments: list[Segment],
        reached: int,
        *,
        names: int | None,
        start: int | None,
        indexes: dict[int, bytes],
    ) -> None:
        self.reached = reached  # the end of what this makes durable
        self.start = start  # to store, None if it is stored
        # Whatever ends ``run`` early, nothing counts as durable before its last line.
        self.failure: OSError | None = OSError("not synced")
        self.start_failure: OSError | None = None
        self._directory = directory
        self._segments = segments
        self._handles = [segment.begin_sync() for segment in segments]
        self._names = names  # the directory's handle, if a name in it is new
        self._indexes = indexes

    def run(self) -> None:
        """Sync, in any thread."""
        directory = self._directory
        try:
            for handle in self._handles:
                directory.filesystem.sync(handle)
            if self._names is not None:
                directory.filesystem.sync_names(self._names)
        except OSError as error:
            self.failure = error
            return
        self._store_start()
        self._store_indexes()
        self.failure = None

    def finish(self) -> None:
        """Let go of the files, in the partition's own thread."""
        for segment in self._segments:
            contain(segment.end_sync)
        if self._names is not None:
            self._directory.filesystem.close(self._names)

    def _store_start(self) -> None:
        if self.start is not None:
            try:
                self._directory.write_start(self.start)
            except OSError as error:
                self.start_failure = error

    def _store_indexes(self) -> None:
        """Write those of segments that have just been rolled: compaction relies on them."""
        with suppress(OSError):  # a start without them is slower
            for base_offset, index in self._indexes.items():
                self._directory.write_index(base_offset, index)

    def note(self) -> None:
        """Write what makes recovery surer, and what it can do without."""
        if self.failure is not None:
            return
        with suppress(OSError):
            self._directory.write_synced(self.reached)


class DiskSync:
    """One group commit over all partitions that were appended to."""

    def __init__(self, parts: list[tuple[PartitionSync, Callable[[PartitionSync], None]]]) -> None:
        self._parts = parts

    def run(self) -> None:
        """See ``Sync.run``."""
        for sync, _ in self._parts:
            contain(sync.run)  # what it raised, it has failed with

    def note(self) -> None:
        """See ``Sync.note``."""
        for sync, _ in self._parts:
            contain(sync.note)

    def finish(self) -> None:
        """See ``Sync.finish``."""
        for sync, done in self._parts:
            contain(sync.finish)
            contain(done, sync)
