"""Every state a power cut may leave opens again, and holds what was acknowledged."""

from __future__ import annotations

import random
from copy import copy
from pathlib import Path

import pytest

from hubbub.log import batch
from hubbub.log.disk import DiskLog
from hubbub.log.reader import read_all
from hubbub.model.errors import HubbubError
from hubbub.model.settings import FOREVER, TopicSettings
from simulated_disk import SimulatedDisk

DIRECTORY = Path("/data")
PLAIN = TopicSettings(segment_bytes=1500, retention_ms=5_000, retention_bytes=6000)
COMPACTED = TopicSettings(
    segment_bytes=900, retention_ms=FOREVER, delete_old=False, compact=True, delete_retention_ms=0
)
SETTINGS = {0: PLAIN, 1: COMPACTED}
SEEDS = range(50)
STATES_PER_SEED = 400
STEPS_PER_LIFE = 100
NOTE_IS_LATE = 0.3


class Model:
    """What a partition must and may hold."""

    def __init__(self) -> None:
        self.written: dict[int, tuple[bytes, bytes | None]] = {}  # offset -> key, value
        self.durable = 0
        self.start = 0  # as the log has it now
        self.durable_start = 0  # as no crash may undo

    def while_deleting(self) -> Model:
        model = copy(self)
        model.start = max(self.written, default=0) + 1
        return model


class Run:
    """A random script against a disk; a crash may come after each step."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disk = SimulatedDisk()
        self.models = {number: Model() for number in SETTINGS}
        self.now = 1_000_000
        self.count = 0
        self.open()

    def open(self) -> None:
        self.log = DiskLog(DIRECTORY, self.disk)
        self.partitions = {
            number: self.log.open(number, 0, settings) for number, settings in SETTINGS.items()
        }
        self.sync = None
        self.late = None

    def step(self) -> None:
        number = self.rng.choice(list(SETTINGS))
        action = self.rng.choices(
            [self.append, self.advance_sync, self.truncate, self.clean], [10, 6, 0.3, 1.5]
        )[0]
        action(number)
        for number, partition in self.partitions.items():
            model = self.models[number]
            model.durable = partition.durable_offset
            model.start = max(model.start, partition.start_offset)

    def append(self, number: int) -> None:
        partition = self.partitions[number]
        records = []
        base = partition.end_offset
        for index in range(self.rng.randint(1, 3)):
            self.count += 1
            key = b"key%d" % self.rng.randrange(4)
            value = b"%d " % self.count + b"x" * self.rng.choice([5, 100, 700])
            if number == 1 and self.rng.random() < 0.1:
                value = None
            records.append((self.now, key, value, ()))
            self.models[number].written[base + index] = (key, value)
        self.now += 10
        partition.append(batch.encode(records), self.now)

    def advance_sync(self, _number: int) -> None:
        """One of the four moments of a sync, so that appends and crashes fall between them."""
        if self.sync is None:
            self.sync = self.log.begin_sync()
            self.starts = {n: p.start_offset for n, p in self.partitions.items()}
            if self.sync is None:
                return
            self.steps = [self.sync.run, self.sync.note]
            # The note may come before the end or after it, or be lost.
            if self.rng.random() < NOTE_IS_LATE:
                self.steps.pop()
                self.late = self.sync.note
        elif self.steps:
            self.steps.pop(0)()
            for number, start in self.starts.items():
                self.models[number].durable_start = start
        else:
            self.sync.finish()
            self.sync = None
            late, self.late = self.late, None
            if late is not None:
                late()

    def truncate(self, number: int) -> None:
        partition = self.partitions[number]
        if number == 0:
            partition.truncate_before(
                self.rng.randint(partition.start_offset, partition.durable_offset)
            )

    def clean(self, number: int) -> None:
        if self.rng.random() < 0.2:
            self.now += 10_000  # everything is old now
        self.partitions[number].clean(self.now)

    def sampled(self) -> list[str]:
        """What is wrong with one state that a power cut may leave at this moment."""
        models = self.models
        if self.disk.watch is not None:  # in the middle of a step, which may be deleting
            models = {number: model.while_deleting() for number, model in models.items()}
        return violations(self.disk.crash(self.rng), models)

    def restart(self, disk: SimulatedDisk) -> None:
        """Go on after a crash; what is there now is what a log may not lose any more."""
        self.disk = disk
        self.open()
        for number, partition in self.partitions.items():
            model = self.models[number]
            model.written = {o: w for o, w in model.written.items() if o < partition.end_offset}
            model.durable = partition.durable_offset
            model.start = model.durable_start = partition.start_offset


def violations(disk: SimulatedDisk, models: dict[int, Model]) -> list[str]:
    """What a recovered disk is missing or making up."""
    found = []
    log = DiskLog(DIRECTORY, disk)
    for number, model in models.items():
        partition = log.open(number, 0, SETTINGS[number])
        read = {r.offset: (r.key, r.value) for r in read_all(partition)}
        read = {
            offset: record for offset, record in read.items() if offset >= partition.start_offset
        }
        if partition.end_offset < model.durable:
            found.append("the end went back")
        if not model.durable_start <= partition.start_offset <= model.start:
            found.append("the start is wrong")
        if any(model.written.get(offset) != record for offset, record in read.items()):
            found.append("an offset holds something else")
        if number == 0 and list(read) != list(range(partition.start_offset, partition.end_offset)):
            found.append("not a prefix")
        if number == 1 and not latest_kept(model, read):
            found.append("the last record of a key is lost")
        appended = partition.append(batch.encode([(0, b"k", b"v", ())]), 0)
        if appended.base_offset != partition.end_offset - 1:
            found.append("cannot go on")
    if log.damages:
        found.append(f"damage where there is none: {log.damages}")
    return found


def latest_kept(model: Model, read: dict[int, tuple[bytes, bytes | None]]) -> bool:
    """Compaction takes a record only if a later one has its key, or it is a tombstone.

    And no older record comes back once a tombstone is durable.
    """
    last: dict[bytes, int] = {}
    for offset in range(model.durable):
        last[model.written[offset][0]] = offset
    newest = {key: offset for offset, (key, _) in read.items()}
    return all(
        newest.get(key, -1) >= offset or (key not in newest and model.written[offset][1] is None)
        for key, offset in last.items()
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_sampled_crash_state_recovers_what_was_acknowledged(seed):
    run = Run(seed)
    choice = random.Random(seed)
    states = steps = 0
    wrong: list[str] = []

    def maybe_crash() -> None:
        nonlocal states
        if choice.random() < 0.4:
            states += 1
            wrong.extend(run.sampled())

    while states < STATES_PER_SEED:
        run.disk.watch = maybe_crash
        run.step()
        run.disk.watch = None
        maybe_crash()
        steps += 1
        assert wrong == [], (seed, steps)
        if steps % STEPS_PER_LIFE == 0:
            run.restart(run.disk.crash(run.rng) if choice.random() < 0.5 else run.disk.kill())


def test_a_disk_whose_sync_lies_is_noticed():
    run = Run(1)
    run.disk.lies = True
    for _ in range(60):
        run.step()
    rng = random.Random(1)
    assert any(_violations_or_failure(run.disk.crash(rng), run.models) for _ in range(50))


def _violations_or_failure(disk, models):
    try:
        return violations(disk, models)
    except (HubbubError, KeyError) as failure:
        return [str(failure)]


@pytest.mark.parametrize("seed", range(5))
def test_a_kill_at_any_point_loses_nothing_that_was_written(seed):
    run = Run(seed)
    for _ in range(150):
        run.step()
        for number, partition in run.partitions.items():
            run.models[number].durable = partition.end_offset
        assert violations(run.disk.kill(), run.models) == []
