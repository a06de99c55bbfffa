"""Committed offsets and the records they are kept in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.broker import offset_records
from hubbub.broker.offset_records import NEVER_MS, Committed
from hubbub.broker.offsets import CommittedOffsets, java_hash
from hubbub.broker.timers import Timers
from hubbub.model.errors import MessageTooLargeError, StorageError
from partition_log import HandSyncedLog

names = st.text(st.characters(codec="utf-8"), max_size=20)
positions = st.builds(
    Committed,
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-1, 2**31 - 1),
    names,
    st.integers(0, 2**62),
    st.just(NEVER_MS),
)


@pytest.fixture
def timers():
    return Timers(0.0, 1_000)


@pytest.fixture
def log():
    return HandSyncedLog()


@pytest.fixture
def offsets(log, timers):
    return CommittedOffsets([log], timers)


class Outcomes(list):
    """Collects what ``done`` is called with."""

    def __call__(self, outcome):
        self.append(outcome)


def commit(offsets, group="g", topic="t", partition=0, position=5, **rest):
    outcomes = Outcomes()
    offsets.commit(group, {(topic, partition): Committed(position, **rest)}, outcomes)
    return outcomes


def test_a_commit_is_there_once_it_is_durable_and_not_before(timers):
    log = HandSyncedLog(sync_at_once=False)
    offsets = CommittedOffsets([log], timers)
    outcomes = commit(offsets)
    assert (outcomes, offsets.get("g", "t", 0)) == ([], None)
    log.sync()
    assert outcomes == [None]
    assert offsets.get("g", "t", 0) == Committed(5)


def test_a_commit_whose_sync_fails_is_reported_and_not_shown(timers):
    log = HandSyncedLog(sync_at_once=False)
    offsets = CommittedOffsets([log], timers)
    outcomes = commit(offsets)
    failure = StorageError("disk gone")
    log.fail(failure)
    assert outcomes == [failure]
    assert offsets.get("g", "t", 0) is None
    assert commit(offsets) == [failure]  # refused at once from now on


def test_offsets_survive_a_restart(log, offsets, timers):
    commit(offsets, position=5, leader_epoch=3, metadata="näh", commit_ms=7)
    commit(offsets, position=9, leader_epoch=3, metadata="x", commit_ms=8)
    commit(offsets, group="other", topic="u", partition=4)
    again = CommittedOffsets([log], timers)
    assert again.committed("g") == {("t", 0): Committed(9, 3, "x", 8)}
    assert again.committed("other") == {("u", 4): Committed(5)}
    assert sorted(again.groups()) == ["g", "other"]


def test_deleted_offsets_stay_deleted_after_a_restart(log, offsets, timers):
    for partition in range(3):
        commit(offsets, partition=partition)
    outcomes = Outcomes()
    offsets.delete("g", [("t", 0), ("t", 2), ("t", 99)], outcomes)
    assert outcomes == [None]
    for state in (offsets, CommittedOffsets([log], timers)):
        assert list(state.committed("g")) == [("t", 1)]
    assert [record.value is None for record in log.records()] == [False] * 3 + [True] * 2


def test_deleting_what_is_not_there_writes_nothing(log, offsets):
    outcomes = Outcomes()
    offsets.delete("g", [("t", 0)], outcomes)
    offsets.delete_group("g", outcomes)
    assert outcomes == [None, None]
    assert log.end_offset == 0


def test_a_group_is_deleted_with_the_commits_under_way(timers):
    log = HandSyncedLog(sync_at_once=False)
    offsets = CommittedOffsets([log], timers)
    commit(offsets)
    outcomes = Outcomes()
    offsets.delete_group("g", outcomes)
    log.sync()
    assert outcomes == []
    log.sync()
    assert outcomes == [None]
    assert offsets.groups() == CommittedOffsets([log], timers).groups() == []


def test_a_deleted_topic_takes_its_offsets_along(offsets):
    commit(offsets, topic="gone")
    commit(offsets, topic="kept")
    commit(offsets, group="h", topic="gone")
    offsets.delete_topic("gone")
    assert offsets.groups() == ["g"]
    assert list(offsets.committed("g")) == [("kept", 0)]


def test_many_tombstones_are_split_into_batches_that_any_topic_takes(log, offsets, timers):
    log.limit_batches(10_000_000)
    many = {(f"{'t' * 200}-{number}", 0): Committed(number) for number in range(6_000)}
    offsets.commit("g", many, Outcomes())
    log.limit_batches(1_048_588)
    outcomes = Outcomes()
    offsets.delete_group("g", outcomes)
    assert outcomes == [None]
    assert offsets.groups() == CommittedOffsets([log], timers).groups() == []


def test_a_commit_larger_than_a_batch_is_refused_whole(log, offsets):
    log.limit_batches(100)
    many = {("t", number): Committed(number) for number in range(100)}
    outcomes = Outcomes()
    offsets.commit("g", many, outcomes)
    assert [type(outcome) for outcome in outcomes] == [MessageTooLargeError]
    assert offsets.groups() == []


def test_a_group_is_kept_in_the_partition_that_kafka_would_choose(timers):
    logs = [HandSyncedLog() for _ in range(50)]
    offsets = CommittedOffsets(logs, timers)
    commit(offsets, group="console-consumer-1")
    assert [index for index, log in enumerate(logs) if log.end_offset] == [
        java_hash("console-consumer-1") % 50
    ]
    assert CommittedOffsets(logs, timers).groups() == ["console-consumer-1"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", 0),
        ("a", 97),
        ("hello", 99162322),
        ("polygenelubricants", 0),  # the famous Integer.MIN_VALUE, of which Kafka drops the sign
        ("😀", 55357 * 31 + 56832),  # two UTF-16 units
    ],
)
def test_the_hash_is_java_s_without_its_sign(text, code):
    assert java_hash(text) == code


def test_a_record_has_kafka_s_layout():
    key = offset_records.write_key("g", ("topic", 3))
    value = offset_records.write_value(Committed(42, 7, "m", 1_700_000_000_000))
    assert key == bytes.fromhex("0001 0001 67 0005 746f706963 00000003")
    assert value == struct.pack(">hqihsq", 3, 42, 7, 1, b"m", 1_700_000_000_000)


def test_an_expiry_time_is_kept_in_version_1_which_has_one():
    committed = Committed(42, -1, "m", 10, 99)
    value = offset_records.write_value(committed)
    assert value == struct.pack(">hqhsqq", 1, 42, 1, b"m", 10, 99)
    key = offset_records.write_key("g", ("t", 0))
    assert offset_records.read(key, value).value == committed


@settings(max_examples=50)
@given(names, names, st.integers(0, 2**31 - 1), st.none() | positions)
def test_records_read_back_as_written(group, topic, partition, committed):
    key = offset_records.write_key(group, (topic, partition))
    value = offset_records.write_value(committed)
    assert offset_records.read(key, value) == (group, (topic, partition), committed)
    for end in range(len(key)):
        assert offset_records.read(key[:end], value) is None
    for end in range(len(value or b"")):
        assert offset_records.read(key, value[:end]) is None


def test_older_values_and_keys_are_understood_and_foreign_ones_passed_over():
    key = offset_records.write_key("g", ("t", 0))
    old = struct.pack(">hqhsq", 0, 42, 1, b"m", 10)
    assert offset_records.read(b"\0\0" + key[2:], old).value == Committed(42, -1, "m", 10)
    assert offset_records.read(key, struct.pack(">hqhsq", 2, 42, 1, b"m", 10)).value.offset == 42
    assert offset_records.read(b"\0\2\0\1g", b"group metadata") is None
    assert offset_records.read(key, struct.pack(">hq", 9, 42)) is None
    assert offset_records.read(None, b"") is None


def test_a_name_that_the_format_cannot_hold_is_refused(offsets):
    outcomes = commit(offsets, topic="t" * 32768)
    assert [type(outcome) for outcome in outcomes] == [MessageTooLargeError]


@pytest.mark.parametrize(
    ("committed", "idle_since", "expired"),
    [
        (Committed(1, commit_ms=50), 10, True),
        (Committed(1, commit_ms=51), 10, False),
        (Committed(1, commit_ms=10), 51, False),
        (Committed(1, commit_ms=10, expire_ms=99), 10, True),
        (Committed(1, commit_ms=10, expire_ms=101), 10, False),
        (Committed(1, commit_ms=10, expire_ms=NEVER_MS), 50, True),
    ],
)
def test_an_offset_expires_when_commit_and_group_are_old_or_when_asked_to(
    committed, idle_since, expired
):
    assert committed.expired(100, 50, idle_since) is expired


def test_offsets_survive_the_compaction_of_their_log(log, offsets, timers):
    for position in range(200):
        commit(offsets, position=position)
        commit(offsets, group="other", position=position)
    offsets.delete_group("other", Outcomes())
    before = len(log.records())
    log.clean(timers.wall_ms + log.settings.delete_retention_ms + 1)
    assert len(log.records()) < before
    again = CommittedOffsets([log], timers)
    assert (again.groups(), again.committed("g")) == (["g"], {("t", 0): Committed(199)})
