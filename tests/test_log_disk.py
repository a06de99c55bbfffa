"""The engine on disk: restarts, damage, full and failing disks."""

from __future__ import annotations

import errno
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from hubbub.log import batch
from hubbub.log.disk import DiskLog
from hubbub.log.partition import RESERVE_BYTES
from hubbub.log.reader import read_all
from hubbub.model.errors import (
    CorruptLogError,
    DataDirectoryLockedError,
    HubbubError,
    StorageError,
    StorageFullError,
)
from hubbub.model.settings import TopicSettings
from simulated_disk import SimulatedDisk

SETTINGS = TopicSettings(segment_bytes=1000)
DIRECTORY = Path("/data")


def one(value=b"v", **fields):
    return batch.encode([(0, b"k", value, ())], **fields)


def commit(log):
    sync = log.begin_sync()
    if sync is not None:
        sync.run()
        sync.note()
        sync.finish()


def fill(log, count, size=200, number=1):
    partition = log.open(number, 0, SETTINGS)
    for index in range(count):
        partition.append(one(b"%d " % index + b"x" * size), index)
    commit(log)
    return partition


def clean(partition, now_ms=0):
    while partition.clean(now_ms):
        pass


def readable(partition):
    return [record.offset for record in read_all(partition)]


def segment_files(directory):
    return sorted((directory / "topics" / "1" / "0").glob("*.log"))


# --- restarts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("clean", [True, False])
def test_everything_is_there_after_a_restart(tmp_path, clean):
    log = DiskLog(tmp_path)
    before = b"".join(r.value for r in read_all(fill(log, 20)))
    assert len(segment_files(tmp_path)) > 3
    if clean:
        log.close()
    else:
        os.close(log._lock)  # as the end of a killed process does
    again = DiskLog(tmp_path)
    partition = again.open(1, 0, SETTINGS)
    assert b"".join(r.value for r in read_all(partition)) == before
    assert partition.append(one(), 0).base_offset == 20
    assert again.damages == []


def test_only_the_newest_segment_is_scanned(tmp_path, monkeypatch):
    log = DiskLog(tmp_path)
    fill(log, 20)
    os.close(log._lock)
    scanned = []
    whole = batch.scan_whole
    monkeypatch.setattr(
        batch,
        "scan_whole",
        lambda data, **options: scanned.append(len(data)) or whole(data, **options),
    )
    DiskLog(tmp_path).open(1, 0, SETTINGS)
    assert scanned == [segment_files(tmp_path)[-1].stat().st_size]


def test_a_missing_or_broken_index_is_made_anew(tmp_path):
    log = DiskLog(tmp_path)
    fill(log, 20)
    log.close()
    indexes = sorted((tmp_path / "topics" / "1" / "0").glob("*.index"))
    indexes[0].unlink()
    indexes[1].write_bytes(indexes[1].read_bytes()[:-1] + b"?")
    again = DiskLog(tmp_path)
    assert readable(again.open(1, 0, SETTINGS)) == list(range(20))
    again.close()
    assert len(list((tmp_path / "topics" / "1" / "0").glob("*.index"))) == len(indexes)


@pytest.mark.parametrize("clean", [True, False])
def test_idempotent_producers_are_known_after_a_restart(tmp_path, clean):
    log = DiskLog(tmp_path)
    partition = log.open(1, 0, SETTINGS)
    sent = [
        one(b"x" * 300, producer_id=5, producer_epoch=0, base_sequence=sequence)
        for sequence in range(9)
    ]
    for each in sent:
        partition.append(each, 0)
    commit(log)
    log.close() if clean else os.close(log._lock)
    partition = DiskLog(tmp_path).open(1, 0, SETTINGS)
    assert partition.append(sent[8], 0) == (8, 9, -1, True)
    assert partition.append(sent[4], 0) == (4, 5, -1, True)


def test_offsets_go_on_where_retention_left_nothing(tmp_path):
    log = DiskLog(tmp_path)
    partition = fill(log, 10)
    partition.clean(10**12)
    assert readable(partition) == []
    log.close()
    partition = DiskLog(tmp_path).open(1, 0, SETTINGS)
    assert (partition.start_offset, partition.end_offset) == (10, 10)


def test_a_truncated_start_stays_where_it_was_put(tmp_path):
    log = DiskLog(tmp_path)
    fill(log, 10).truncate_before(7)
    commit(log)
    assert len(segment_files(tmp_path)) < 4
    os.close(log._lock)
    partition = DiskLog(tmp_path).open(1, 0, SETTINGS)
    assert partition.start_offset == 7
    assert readable(partition) == [7, 8, 9]


def test_compacted_segments_are_merged_and_found_again(tmp_path):
    settings = TopicSettings(segment_bytes=1000, compact=True, delete_old=False)
    log = DiskLog(tmp_path)
    partition = log.open(1, 0, settings)
    for _ in range(2):  # what the first pass made small, the second puts together
        for index in range(40):
            partition.append(batch.encode([(0, b"%d" % (index % 2), b"x" * 200, ())]), 0)
        commit(log)
        clean(partition)
    assert len(segment_files(tmp_path)) < 20
    expected = readable(partition)
    assert len(expected) < 10
    os.close(log._lock)
    again = DiskLog(tmp_path)
    assert readable(again.open(1, 0, settings)) == expected
    assert again.damages == []


def test_a_removed_topic_leaves_no_files(tmp_path):
    log = DiskLog(tmp_path)
    fill(log, 10)
    log.remove(1)
    assert list((tmp_path / "topics").iterdir()) == []


def test_files_belong_to_their_owner_alone(tmp_path):
    log = DiskLog(tmp_path / "a" / "b")
    fill(log, 10)
    log.close()
    found = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert found
    assert {path.stat().st_mode & 0o077 for path in found} == {0}


def test_a_second_engine_is_locked_out(tmp_path):
    log = DiskLog(tmp_path)
    with pytest.raises(DataDirectoryLockedError):
        DiskLog(tmp_path)
    log.close()
    DiskLog(tmp_path).close()


def test_a_newer_format_is_refused_and_the_directory_let_go(tmp_path):
    DiskLog(tmp_path).close()
    (tmp_path / "format").write_bytes(b"hubbub 2\n")
    for _ in range(2):
        with pytest.raises(StorageError, match="hubbub 2"):
            DiskLog(tmp_path)


def test_closing_leaves_no_file_open():
    disk = SimulatedDisk()
    log = DiskLog(DIRECTORY, disk)
    partition = fill(log, 20)
    partition.clean(0)
    sync_under_way = partition.append(one(), 0) and log.begin_sync()
    fill_more = [partition.append(one(b"x" * 900), 0) for _ in range(3)]
    assert fill_more
    sync_under_way.run()
    sync_under_way.finish()
    log.remove(1)
    log.close()
    assert disk.open_handles == 0


# --- damage -----------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    """Twenty batches of one record in some segments, and where each batch stands."""
    log = DiskLog(tmp_path)
    fill(log, 20)
    places = []
    for path in segment_files(tmp_path):
        at = 0
        for info in batch.scan(path.read_bytes()):
            places.append((path, at, info))
            at += info.size
    log.close()
    return tmp_path, places


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)


@pytest.mark.parametrize("with_index", [True, False])
@pytest.mark.parametrize("offset", [0, 1, 5, 18, 19])
@pytest.mark.parametrize("byte", [8, 9, 16, 17, 23, 100])
def test_exactly_the_damaged_batch_is_lost_and_reported(stored, offset, byte, with_index):
    directory, places = stored
    path, at, _ = places[offset]
    flip(path, at + byte)
    if not with_index:
        for index in path.parent.glob("*.index"):
            index.unlink()
    log = DiskLog(directory)
    partition = log.open(1, 0, SETTINGS)
    assert readable(partition) == [number for number in range(20) if number != offset]
    with pytest.raises(CorruptLogError) as error:
        partition.read(offset, 100)
    assert (error.value.first_lost, error.value.next_good) == (offset, offset + 1)
    assert [(d.topic, d.partition, d.first_lost, d.next_good) for d in log.damages] == [
        (1, 0, offset, offset + 1)
    ]
    assert partition.append(one(), 0).base_offset == 20
    assert readable(log.open(1, 0, SETTINGS)) == [n for n in range(20) if n != offset]


@pytest.mark.parametrize("keep", [0, 1, 100, 300])
def test_a_file_that_was_cut_short_is_reported_to_its_end(stored, keep):
    directory, places = stored
    path = places[0][0]
    path.write_bytes(path.read_bytes()[:keep])
    survivors = [
        info.base_offset for where, at, info in places if where != path or at + info.size <= keep
    ]
    log = DiskLog(directory)
    assert readable(log.open(1, 0, SETTINGS)) == survivors
    lost = sorted(set(range(20)) - set(survivors))
    assert [(d.first_lost, d.next_good) for d in log.damages] == [(lost[0], lost[-1] + 1)]


@pytest.mark.parametrize("which", [1, -1])
def test_a_missing_file_is_reported_and_its_offsets_are_not_used_again(stored, which):
    directory, places = stored
    path = segment_files(directory)[which]
    path.unlink()
    lost = [info.base_offset for where, _, info in places if where == path]
    log = DiskLog(directory)
    partition = log.open(1, 0, SETTINGS)
    assert [(d.first_lost, d.next_good) for d in log.damages] == [(lost[0], lost[-1] + 1)]
    assert partition.append(one(), 0).base_offset == 20
    commit(log)
    assert readable(partition) == sorted(set(range(21)) - set(lost))
    with pytest.raises(CorruptLogError):
        partition.read(lost[0], 100)


def test_damage_is_kept_in_place_and_found_by_every_start(stored):
    directory, places = stored
    path, at, _ = places[19]
    flip(path, at + 100)
    bytes_before = path.read_bytes()
    (path.with_suffix(".index")).unlink()
    for start in range(3):
        log = DiskLog(directory)
        partition = log.open(1, 0, SETTINGS)
        assert [(d.first_lost, d.next_good) for d in log.damages] == [(19, 20)]
        assert partition.append(one(), 0).base_offset == 20 + start
        log.close()
    assert path.read_bytes() == bytes_before


def test_a_zeroed_page_is_reported_with_its_offsets(stored):
    directory, places = stored
    path, at, info = places[4]
    data = bytearray(path.read_bytes())
    length = info.size + 50  # this batch and the beginning of the next
    data[at : at + length] = bytes(length)
    path.write_bytes(data)
    lost = [4, 5] if places[5][0] == path else [4]
    log = DiskLog(directory)
    assert readable(log.open(1, 0, SETTINGS)) == sorted(set(range(20)) - set(lost))
    assert [(d.first_lost, d.next_good) for d in log.damages] == [(lost[0], lost[-1] + 1)]


def test_a_torn_tail_is_cut_kept_in_quarantine_and_the_rest_is_served(tmp_path):
    log = DiskLog(tmp_path)
    fill(log, 3)
    os.close(log._lock)
    torn = one(b"never acknowledged" * 10)[:-7]
    with segment_files(tmp_path)[-1].open("ab") as file:
        file.write(torn)
    again = DiskLog(tmp_path)
    partition = again.open(1, 0, SETTINGS)
    assert readable(partition) == [0, 1, 2]
    assert again.damages == []
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert kept.read_bytes() == torn
    assert partition.append(one(), 0).base_offset == 3
    commit(again)
    assert readable(partition) == [0, 1, 2, 3]


def test_damage_in_one_partition_leaves_the_others_alone(stored):
    directory, places = stored
    flip(places[3][0], places[3][1] + 70)
    log = DiskLog(directory)
    fill(log, 5, number=2)
    assert readable(log.open(2, 0, SETTINGS)) == list(range(5))
    assert len(readable(log.open(1, 0, SETTINGS))) == 19


# --- a full disk ------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_refuses_appends_until_there_is_space_again(code):
    disk = SimulatedDisk()
    log = DiskLog(DIRECTORY, disk)
    partition = fill(log, 3)
    disk.fail("append", 1, code)
    with pytest.raises(StorageFullError):
        partition.append(one(), 0)
    disk.free = RESERVE_BYTES - 1
    with pytest.raises(StorageFullError):
        partition.append(one(), 0)
    disk.free = RESERVE_BYTES
    assert partition.append(one(), 0).base_offset == 3
    commit(log)
    assert readable(partition) == [0, 1, 2, 3]
    again = DiskLog(DIRECTORY, disk.kill())
    assert readable(again.open(1, 0, SETTINGS)) == [0, 1, 2, 3]


# --- faults of our own, and what the process runs out of ---------------------------------------


def test_a_sync_that_does_not_end_well_acknowledges_nothing_and_spares_the_others(monkeypatch):
    disk = SimulatedDisk()
    log = DiskLog(DIRECTORY, disk)
    partition, other = fill(log, 3), fill(log, 3, number=2)
    answers = []
    for each in (partition, other):
        each.append(one(), 0)
        each.when_durable(4, answers.append)
    sync_file, faults = disk.sync, [MemoryError()]

    def sync(handle):
        if faults:
            raise faults.pop()
        sync_file(handle)

    monkeypatch.setattr(disk, "sync", sync)
    commit(log)
    assert [type(answer) for answer in answers] == [StorageError, type(None)]
    assert (partition.durable_offset, other.durable_offset) == (3, 4)


def test_a_sync_that_never_ran_acknowledges_nothing():
    log = DiskLog(DIRECTORY, SimulatedDisk())
    partition = fill(log, 3)
    partition.append(one(), 0)
    log.begin_sync().finish()
    assert partition.durable_offset == 3


def test_a_fault_at_the_end_of_one_partitions_sync_spares_the_others(monkeypatch):
    log = DiskLog(DIRECTORY, SimulatedDisk())
    partition, other = fill(log, 3), fill(log, 3, number=2)
    for each in (partition, other):
        each.append(one(), 0)
    monkeypatch.setattr(partition, "finish_sync", lambda _: 1 // 0)
    commit(log)
    assert (partition.durable_offset, other.durable_offset) == (3, 4)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
@pytest.mark.parametrize("kind", ["open", "open_directory"])
def test_a_roll_without_a_descriptor_refuses_one_append_only(kind, code):
    disk = SimulatedDisk()
    log = DiskLog(DIRECTORY, disk)
    partition = fill(log, 1)
    disk.fail(kind, 1, code)
    with pytest.raises(StorageError, match="too many open files"):
        partition.append(one(b"x" * 900), 0)
    assert partition.append(one(b"x" * 900), 0).base_offset == 1
    disk.fail(kind, 1, code, 10**6)  # a sync needs none that it does not have
    commit(log)
    assert readable(partition) == [0, 1]
    disk.heal()
    log.close()
    assert disk.open_handles == 0


def test_a_topic_that_could_not_be_opened_whole_lets_go_of_every_descriptor():
    counting = SimulatedDisk()
    log = DiskLog(DIRECTORY, counting)
    for index in range(5):
        log.open(1, index, SETTINGS)
    for kind in ("open", "overwrite", "sync", "sync_directory"):
        for nth in range(1, counting.calls[kind]):
            disk = SimulatedDisk()
            log = DiskLog(DIRECTORY, disk)
            before = disk.open_handles
            disk.fail(kind, nth, errno.EMFILE)
            with suppress(StorageError):
                for index in range(5):
                    log.open(1, index, SETTINGS)
            log.remove(1)
            assert disk.open_handles == before, (kind, nth)


# --- compaction in steps, and what a crash left ------------------------------------------------

COMPACT = TopicSettings(segment_bytes=1000, compact=True, delete_old=False)


def compactable(disk):
    log = DiskLog(DIRECTORY, disk)
    partition = log.open(1, 0, COMPACT)
    for index in range(40):
        partition.append(batch.encode([(0, b"%d" % (index % 2), b"x" * 200, ())]), 0)
    commit(log)
    return partition


def test_one_call_rewrites_one_group_of_segments():
    disk = SimulatedDisk()
    partition = compactable(disk)
    closed = len(partition.segments) - 1
    renames, calls = [], 0
    while True:
        before = disk.calls["rename"]
        goes_on = partition.clean(0)
        renames.append(disk.calls["rename"] - before)
        calls += 1
        if not goes_on:
            break
    assert calls > closed / 2
    assert max(renames) <= 2  # a segment and its index
    assert len(readable(partition)) < 10
    assert not partition.clean(0)


def test_compaction_goes_on_when_segments_are_dropped_meanwhile():
    partition = compactable(SimulatedDisk())
    assert partition.clean(0)
    partition.settings = TopicSettings(segment_bytes=1000, compact=True, retention_bytes=3000)
    clean(partition)
    found = readable(partition)
    assert found == sorted(found)
    assert found[-1] == 39


def test_a_rewrite_without_space_leaves_no_temporary_file():
    disk = SimulatedDisk()
    partition = compactable(disk)
    before = readable(partition)
    disk.fail("append", 1, errno.ENOSPC, 10**6)
    assert not partition.clean(0)
    assert not [name for name in disk.names(DIRECTORY / "topics/1/0") if name.endswith(".tmp")]
    assert readable(partition) == before


def test_what_no_catalogue_knows_is_deleted_and_what_is_not_ours_is_not(tmp_path):
    log = DiskLog(tmp_path)
    for number in (0, 1, 2, 3, 4):
        fill(log, 1, number=number)
    log.close()
    (tmp_path / "topics" / "notes").mkdir()
    log = DiskLog(tmp_path)
    log.open(0, 0, SETTINGS)  # in use, whoever forgot to name it
    log.retain([])
    log.retain({2, 3})
    left = sorted(path.name for path in (tmp_path / "topics").iterdir())
    assert left == ["0", "2", "3", "4", "notes"]


# --- a failing disk ---------------------------------------------------------------------------


def test_a_failed_sync_fails_the_partition_for_good_and_no_other():
    disk = SimulatedDisk()
    log = DiskLog(DIRECTORY, disk)
    partition, other = fill(log, 3), fill(log, 3, number=2)
    answers = []
    partition.append(one(), 0)
    partition.when_durable(4, answers.append)
    other.append(one(), 0)
    other.when_durable(4, answers.append)
    disk.fail("sync", 1, errno.EIO)
    commit(log)
    assert [type(answer) for answer in answers] == [StorageError, type(None)]
    with pytest.raises(StorageError):
        partition.append(one(), 0)
    partition.when_durable(4, answers.append)
    assert isinstance(answers[-1], StorageError)
    commit(log)
    assert partition.durable_offset == 3
    assert readable(partition) == [0, 1, 2]
    assert other.append(one(), 0).base_offset == 4


def test_a_failed_write_fails_the_partition_and_what_is_durable_is_read_on():
    disk = SimulatedDisk()
    log = DiskLog(DIRECTORY, disk)
    partition = fill(log, 3)
    disk.fail("append", 1, errno.EIO)
    for _ in range(2):
        with pytest.raises(StorageError):
            partition.append(one(), 0)
    assert readable(partition) == [0, 1, 2]
    assert readable(DiskLog(DIRECTORY, disk.kill()).open(1, 0, SETTINGS)) == [0, 1, 2]


def test_what_failed_to_sync_is_never_synced_again():
    disk = SimulatedDisk()
    log = DiskLog(DIRECTORY, disk)
    partition = fill(log, 3)
    partition.append(one(), 0)
    disk.fail("sync", 1, errno.EIO)
    sync = log.begin_sync()
    partition.append(one(), 0)  # nobody knows yet
    sync.run()
    sync.finish()
    before = disk.calls["sync"]
    commit(log)
    log.close()
    assert disk.calls["sync"] == before


KINDS = [
    "open",
    "open_directory",
    "append",
    "sync",
    "sync_directory",
    "overwrite",
    "rename",
    "unlink",
    "truncate",
]


def script(disk, acknowledged):
    """Appends, syncs, truncation, retention; notes which values were acknowledged, and where."""
    log = DiskLog(DIRECTORY, disk)
    partition = log.open(1, 0, TopicSettings(segment_bytes=700, retention_bytes=3000))
    for index in range(25):
        value = b"%d " % index + b"x" * 150
        try:
            placed = partition.append(one(value), index)
        except StorageError:
            continue
        finally:
            if index % 3 == 0:
                commit(log)
        partition.when_durable(
            placed.next_offset,
            lambda failure, at=placed.base_offset, value=value: (
                failure or acknowledged.update({at: value})
            ),
        )
        if index == 12:
            partition.truncate_before(min(2, partition.durable_offset))
        if index == 18:
            partition.clean(index)
    commit(log)
    log.close()


@pytest.mark.parametrize("times", [1, 10**6])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("kind", KINDS)
def test_no_failing_call_makes_a_false_acknowledgement(kind, code, times):
    counting = SimulatedDisk()
    script(counting, {})
    for nth in range(1, counting.calls[kind] + 1):
        disk = SimulatedDisk()
        disk.fail(kind, nth, code, times)
        acknowledged = {}
        with suppress(HubbubError):  # the engine or the partition may not open
            script(disk, acknowledged)
        disk.heal()
        for survivor in (disk.kill(), disk.crash(random.Random(nth))):
            log = DiskLog(DIRECTORY, survivor)
            partition = log.open(1, 0, SETTINGS)
            found = {record.offset: record.value for record in read_all(partition)}
            for offset, value in acknowledged.items():
                if offset >= partition.start_offset:
                    assert found.get(offset) == value, (nth, offset)
            assert partition.start_offset <= max(2, len(acknowledged))
