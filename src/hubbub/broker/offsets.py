"""Committed offsets: how far each consumer group has come in each partition.

They live in the internal compacted topic ``__consumer_offsets``, in the partition that Kafka would
choose and the records that Kafka would write there, so that its tools can read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from hubbub.broker import offset_records
from hubbub.log import batch
from hubbub.log.reader import read_all
from hubbub.model.errors import HubbubError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from hubbub.broker.offset_records import Committed, PartitionKey
    from hubbub.broker.timers import Timers
    from hubbub.log.seam import PartitionLog

    Done: TypeAlias = Callable[[Exception | None], None]

# Tombstones in one batch: a quarter of what a topic takes by default, so any setting in use will do.
_TOMBSTONE_BATCH_BYTES = 256 * 1024


class CommittedOffsets:
    """The table, kept in step with its log.

    A change is visible once it is durable, and then reported to ``done``; a failure is reported
    there too. Changes to one group are made in the order in which they were asked for.
    """

    def __init__(self, logs: Sequence[PartitionLog], timers: Timers) -> None:
        self._logs = logs
        self._timers = timers
        self._groups: dict[str, dict[PartitionKey, Committed]] = {}
        for log in logs:
            self._load(log)

    def groups(self) -> list[str]:
        """Every group that has committed."""
        return list(self._groups)

    def committed(self, group: str) -> dict[PartitionKey, Committed]:
        """Where the group stands, by (topic, partition)."""
        return dict(self._groups.get(group, ()))

    def get(self, group: str, topic: str, partition: int) -> Committed | None:
        """Where the group stands in one partition."""
        return self._groups.get(group, {}).get((topic, partition))

    def commit(self, group: str, offsets: Mapping[PartitionKey, Committed], done: Done) -> None:
        """Keep ``offsets``, all of them or none."""
        self._write(group, offsets, done)

    def delete(self, group: str, keys: Collection[PartitionKey], done: Done) -> None:
        """Forget where the group stands in these partitions."""
        known = [key for key in keys if key in self._groups.get(group, ())]
        *chunks, last = _chunks(group, known)
        for chunk in chunks:
            self._write(group, dict.fromkeys(chunk), lambda _: None)
        # A log that failed takes nothing more, so the last answer is good for all of them.
        self._write(group, dict.fromkeys(last), done)

    def delete_group(self, group: str, done: Done) -> None:
        """Forget where the group stands."""

        def delete(failure: Exception | None) -> None:
            if failure is None:
                self.delete(group, self.committed(group), done)
            else:
                done(failure)

        # Commits under way come first, or they would outlive the group.
        log = self._log_of(group)
        log.when_durable(log.end_offset, delete)

    def delete_topic(self, topic: str) -> None:
        """Forget where all groups stand in a topic that is no more."""

        def forget(_: Exception | None) -> None:
            for group, offsets in list(self._groups.items()):
                self.delete(group, [key for key in offsets if key[0] == topic], lambda _: None)

        forget(None)
        for log in self._logs:  # and what is being committed right now
            if log.durable_offset < log.end_offset:
                log.when_durable(log.end_offset, forget)

    def _write(
        self, group: str, changes: Mapping[PartitionKey, Committed | None], done: Done
    ) -> None:
        if not changes:
            done(None)
            return
        now = self._timers.wall_ms
        log = self._log_of(group)
        try:
            records = [
                (now, offset_records.write_key(group, key), offset_records.write_value(value), ())
                for key, value in changes.items()
            ]
            appended = log.append(batch.encode(records), now)
        except HubbubError as error:
            done(error)
            return

        def durable(failure: Exception | None) -> None:
            if failure is None:
                for key, value in changes.items():
                    self._apply(group, key, value)
            done(failure)

        log.when_durable(appended.next_offset, durable)

    def _apply(self, group: str, key: PartitionKey, value: Committed | None) -> None:
        if value is not None:
            self._groups.setdefault(group, {})[key] = value
        elif group in self._groups:
            self._groups[group].pop(key, None)
            if not self._groups[group]:
                del self._groups[group]

    def _log_of(self, group: str) -> PartitionLog:
        return self._logs[java_hash(group) % len(self._logs)]

    def _load(self, log: PartitionLog) -> None:
        for record in read_all(log):
            change = offset_records.read(record.key, record.value)
            if change is not None:
                self._apply(*change)


def java_hash(text: str) -> int:
    """Java's ``String.hashCode`` without its sign, as Kafka picks a group's partition."""
    code = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for high, low in zip(units[::2], units[1::2], strict=True):
        code = (31 * code + (high << 8 | low)) & 0xFFFFFFFF
    return code & 0x7FFFFFFF


def _chunks(group: str, keys: Collection[PartitionKey]) -> Iterator[list[PartitionKey]]:
    """At least one chunk, the last of which may be empty."""
    chunk: list[PartitionKey] = []
    size = 0
    for key in keys:
        chunk.append(key)
        size += len(offset_records.write_key(group, key))
        if size >= _TOMBSTONE_BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    yield chunk
