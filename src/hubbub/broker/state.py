"""State as a log: keys and their last values in one partition of an internal compacted topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.broker.publication import Stored
from hubbub.log import batch
from hubbub.log.reader import read_all
from hubbub.model.settings import FOREVER, TopicSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.timers import Timers
    from hubbub.log.seam import PartitionLog

# The last word on each key is kept for good; small segments, so that compaction comes round often.
STATE_SETTINGS = TopicSettings(
    retention_ms=FOREVER, delete_old=False, compact=True, segment_bytes=8 * 1024 * 1024
)


# A fraction of the largest batch that the topic takes, however much is stored at once.
BATCH_BYTES = 256 * 1024


class StateLog:
    """A partition read as a table, or as several whose keys begin with their names.

    A change is durable with the next sync.
    """

    def __init__(self, log: PartitionLog, timers: Timers, table: bytes = b"") -> None:
        self._log = log
        self._timers = timers
        self._prefix = table + b":" if table else b""

    def load(self) -> dict[bytes, bytes]:
        """Every key of the table that has a value."""
        table: dict[bytes, bytes] = {}
        for record in read_all(self._log):
            key = record.key or b""
            if not key.startswith(self._prefix):
                continue
            key = key.removeprefix(self._prefix)
            if record.value is None:
                table.pop(key, None)
            else:
                table[key] = record.value
        return table

    def put(self, *pairs: tuple[bytes, bytes | None]) -> None:
        """Set keys, or forget those whose value is None; together up to ``BATCH_BYTES``.

        Raises: StorageError.
        """
        now = self._timers.wall_ms
        records: list[batch.RecordParts] = []
        size = 0
        for key, value in pairs:
            records.append((now, self._prefix + key, value, ()))
            size += len(key) + len(value or b"")
            if size >= BATCH_BYTES:
                self._log.append(batch.encode(records), now)
                records, size = [], 0
        if records:
            self._log.append(batch.encode(records), now)

    @property
    def stored(self) -> Stored:
        """Every change made so far, for those who wait for it together with something else."""
        end = self._log.end_offset
        return Stored(self._log, "", 0, end - 1, end)

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once every change made so far survives power loss, or with the failure."""
        self._log.when_durable(self._log.end_offset, done)
