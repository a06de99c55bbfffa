"""State as a log: keys and their last values in one partition of an internal compacted topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


class StateLog:
    """A partition read as a table. A change is durable with the next sync."""

    def __init__(self, log: PartitionLog, timers: Timers) -> None:
        self._log = log
        self._timers = timers

    def load(self) -> dict[bytes, bytes]:
        """Every key with a value."""
        table: dict[bytes, bytes] = {}
        for record in read_all(self._log):
            key = record.key or b""
            if record.value is None:
                table.pop(key, None)
            else:
                table[key] = record.value
        return table

    def put(self, *pairs: tuple[bytes, bytes | None]) -> None:
        """Set keys together, or forget those whose value is None. Raises StorageError."""
        now = self._timers.wall_ms
        self._log.append(batch.encode([(now, key, value, ()) for key, value in pairs]), now)

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once every change made so far survives power loss, or with the failure."""
        self._log.when_durable(self._log.end_offset, done)
