"""What every engine does, whatever it keeps its batches in."""

from __future__ import annotations

import pytest

from hubbub.log import batch
from hubbub.log.disk import DiskLog
from hubbub.log.memory import MemoryLog
from hubbub.log.reader import read_all
from hubbub.model.errors import (
    CorruptBatchError,
    MessageTooLargeError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceError,
)
from hubbub.model.settings import FOREVER, TopicSettings

DAY = 24 * 3600 * 1000
# A segment per batch, so that both engines forget and compact batch by batch.
EACH = TopicSettings(segment_bytes=1)


@pytest.fixture(params=["memory", "disk"])
def log(request, tmp_path):
    engine = MemoryLog() if request.param == "memory" else DiskLog(tmp_path)
    yield engine
    engine.close()


def one(value=b"v", key=b"k", time=0, **fields):
    return batch.encode([(time, key, value, ())], **fields)


def many(count, size=10, time=0):
    return batch.encode([(time, b"k", b"v" * size, ())] * count)


def commit(log):
    sync = log.begin_sync()
    if sync is not None:
        sync.run()
        sync.note()
        sync.finish()


def clean(partition, now_ms):
    while partition.clean(now_ms):
        pass


def filled(log, count=5, settings=EACH, **fields):
    partition = log.open(1, 0, settings)
    for index in range(count):
        partition.append(one(b"%d" % index, time=index, **fields), index)
    commit(log)
    return partition


def offsets(data):
    return [record.offset for record in batch.decode(data)]


def test_appends_stand_one_after_another(log):
    partition = log.open(1, 0, TopicSettings())
    assert partition.append(many(3), 0)[:2] == (0, 3)
    assert partition.append(many(2), 0)[:2] == (3, 5)
    commit(log)
    assert (partition.start_offset, partition.end_offset, partition.durable_offset) == (0, 5, 5)
    assert offsets(partition.read(0, 10**6)) == [0, 1, 2, 3, 4]


def test_a_read_begins_with_the_batch_that_holds_the_offset(log):
    partition = log.open(1, 0, TopicSettings())
    partition.append(many(3), 0)
    partition.append(many(3), 0)
    commit(log)
    assert offsets(partition.read(4, 10**6)) == [3, 4, 5]
    assert partition.read(6, 10**6) == b""


def test_a_read_returns_whole_batches_within_its_limit_but_at_least_one(log):
    partition = log.open(1, 0, TopicSettings())
    for _ in range(4):
        partition.append(many(1), 0)
    commit(log)
    size = len(many(1))
    assert offsets(partition.read(1, 2 * size + 1)) == [1, 2]
    assert offsets(partition.read(1, 1)) == [1]
    assert partition.read(1, 1, at_least_one=False) == b""


def test_a_batch_larger_than_any_read_ahead_is_read_whole(log):
    partition = log.open(1, 0, TopicSettings())
    partition.append(many(1, size=500_000), 0)
    partition.append(many(1), 0)
    commit(log)
    assert offsets(partition.read(0, 100)) == [0]
    assert partition.read(0, 100, at_least_one=False) == b""
    assert offsets(partition.read(0, 10**6)) == [0, 1]


def test_every_offset_of_a_long_log_is_found(log):
    partition = log.open(1, 0, TopicSettings(segment_bytes=50_000))
    for _ in range(300):
        partition.append(many(3, size=300), 0)
    commit(log)
    for offset in range(0, 900, 7):
        assert offsets(partition.read(offset, 1))[0] == offset - offset % 3
    assert [record.offset for record in read_all(partition)] == list(range(900))


@pytest.mark.parametrize("offset", [-1, 6])
def test_an_offset_outside_is_refused(log, offset):
    partition = filled(log)
    with pytest.raises(OffsetOutOfRangeError) as error:
        partition.read(offset, 100)
    assert (error.value.start, error.value.end) == (0, 5)


def test_a_refused_batch_leaves_no_trace(log):
    partition = log.open(1, 0, TopicSettings(max_message_bytes=200))
    broken = bytearray(one())
    broken[-1] ^= 1
    for refused, error in [
        (bytes(broken), CorruptBatchError),
        (one() + one(), CorruptBatchError),
        (b"", CorruptBatchError),
        (many(1, size=500), MessageTooLargeError),
        (batch.encode([(0, b"k", b"v", ())] * 2, offset_deltas=[0, 5]), CorruptBatchError),
    ]:
        with pytest.raises(error):
            partition.append(refused, 0)
    assert partition.end_offset == 0
    assert partition.append(one(), 0).base_offset == 0


def test_a_compacted_topic_refuses_records_without_a_key(log):
    partition = log.open(1, 0, TopicSettings(compact=True))
    with pytest.raises(CorruptBatchError):
        partition.append(one(key=None), 0)


def test_append_time_replaces_the_publishers(log):
    partition = log.open(1, 0, TopicSettings(timestamp_kind="append"))
    assert partition.append(one(time=5), 77).append_time_ms == 77
    commit(log)
    assert batch.decode(partition.read(0, 1000))[0].timestamp_ms == 77


def test_a_batch_sent_twice_by_an_idempotent_producer_is_stored_once(log):
    partition = log.open(1, 0, TopicSettings())
    sent = one(producer_id=9, producer_epoch=0, base_sequence=0)
    assert not partition.append(sent, 0).duplicate
    assert partition.append(sent, 0) == (0, 1, -1, True)
    assert partition.end_offset == 1
    with pytest.raises(OutOfOrderSequenceError):
        partition.append(one(producer_id=9, producer_epoch=0, base_sequence=5), 0)


def test_who_waits_is_called_in_offset_order_once_it_is_durable(log):
    partition = log.open(1, 0, TopicSettings())
    called = []
    for offset in (2, 1, 3, 2):
        partition.when_durable(
            offset, lambda failure, offset=offset: called.append((offset, failure))
        )
    partition.append(many(2), 0)
    commit(log)
    assert called == [(1, None), (2, None), (2, None)]
    partition.append(many(1), 0)
    commit(log)
    assert called[3:] == [(3, None)]
    partition.when_durable(3, lambda failure: called.append("now"))
    assert called[4:] == ["now"]


def test_records_are_found_by_time(log):
    partition = log.open(1, 0, TopicSettings(segment_bytes=400))
    for time in (100, 300, 200, 400):
        partition.append(batch.encode([(time, b"k", b"v", ()), (time + 5, b"k", b"w" * 50, ())]), 0)
    commit(log)
    assert partition.find_time(0) == (0, 100)
    assert partition.find_time(101) == (1, 105)
    assert partition.find_time(150) == (2, 300)
    assert partition.find_time(306) == (6, 400)
    assert partition.find_time(406) is None


def test_what_is_truncated_is_gone_and_the_rest_keeps_its_offsets(log):
    partition = filled(log)
    partition.truncate_before(3)
    commit(log)
    assert partition.start_offset == 3
    with pytest.raises(OffsetOutOfRangeError):
        partition.read(2, 100)
    assert offsets(partition.read(3, 1)) == [3]
    partition.truncate_before(5)
    commit(log)
    assert partition.append(one(), 0).base_offset == 5
    for outside in (4, 7):
        with pytest.raises(OffsetOutOfRangeError):
            partition.truncate_before(outside)


def test_old_batches_go_by_time_and_offsets_go_on(log):
    partition = filled(log, settings=TopicSettings(segment_bytes=1, retention_ms=DAY))
    partition.clean(DAY + 2)
    assert partition.start_offset == 2
    partition.clean(DAY + 100)
    assert (partition.start_offset, partition.end_offset) == (5, 5)
    assert partition.append(one(), 0).base_offset == 5


def test_old_batches_go_by_size_down_to_the_limit_and_not_below(log):
    size = len(one(b"0"))
    settings = TopicSettings(segment_bytes=1, retention_bytes=2 * size, retention_ms=FOREVER)
    partition = filled(log, settings=settings)
    partition.clean(0)
    assert partition.start_offset == 3
    assert log.sizes(1) == {0: 2 * size}


def test_nothing_goes_where_nothing_is_to_be_deleted(log):
    partition = filled(
        log, settings=TopicSettings(segment_bytes=1, retention_ms=1, delete_old=False)
    )
    partition.clean(10 * DAY)
    assert partition.start_offset == 0


def test_compaction_keeps_the_last_record_of_each_key_where_it_was(log):
    settings = TopicSettings(
        segment_bytes=1, compact=True, delete_old=False, delete_retention_ms=DAY
    )
    partition = log.open(1, 0, settings)
    for index, (key, value) in enumerate(
        [(b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"c", None), (b"b", b"4"), (b"z", b"end")]
    ):
        partition.append(one(value, key, time=index), index)
    commit(log)
    clean(partition, 10)
    assert [(r.offset, r.key, r.value) for r in read_all(partition)] == [
        (2, b"a", b"3"),
        (3, b"c", None),
        (4, b"b", b"4"),
        (5, b"z", b"end"),
    ]
    assert (partition.start_offset, partition.end_offset) == (0, 6)


def test_a_tombstone_goes_after_its_time(log):
    settings = TopicSettings(
        segment_bytes=1, compact=True, delete_old=False, delete_retention_ms=100
    )
    partition = log.open(1, 0, settings)
    partition.append(one(b"v", b"a", time=0), 0)
    partition.append(one(None, b"a", time=1), 1)
    for index in range(2, 5):
        partition.append(one(b"v", b"b", time=index), index)
    commit(log)
    clean(partition, 200)
    assert [r.key for r in read_all(partition)] == [b"b", b"b"]


def test_transactional_and_control_batches_are_not_compacted(log):
    partition = log.open(1, 0, TopicSettings(segment_bytes=1, compact=True, delete_old=False))
    partition.append(one(b"1", b"a", attributes=batch.TRANSACTIONAL), 0)
    partition.append(one(b"", b"\0\0\0\1", attributes=batch.CONTROL), 0)
    for _ in range(3):
        partition.append(one(b"2", b"a"), 0)
    commit(log)
    clean(partition, 0)
    stored = b"".join(partition.read(offset, 1) for offset in (0, 1))
    assert [info.base_offset for info in batch.scan(stored)] == [0, 1]


def test_settings_may_be_replaced_at_any_time(log):
    partition = filled(log, settings=TopicSettings(segment_bytes=1, retention_ms=FOREVER))
    partition.clean(10 * DAY)
    assert partition.start_offset == 0
    partition.settings = TopicSettings(segment_bytes=1, retention_ms=DAY)
    partition.clean(10 * DAY)
    assert partition.start_offset == 5


@pytest.mark.parametrize("mode", ["interval", "never"])
def test_who_does_not_want_to_wait_for_the_disk_does_not(log, mode):
    partition = log.open(1, 0, TopicSettings(fsync=mode))
    called = []
    partition.when_durable(1, called.append)
    partition.append(one(), 0)
    assert called == [None]
    assert offsets(partition.read(0, 100)) == [0]


def test_a_removed_topic_is_gone_and_others_stay(log):
    filled(log)
    other = log.open(2, 0, EACH)
    other.append(one(), 0)
    log.remove(1)
    commit(log)
    assert log.open(1, 0, EACH).end_offset == 0
    assert other.durable_offset == 1
    assert log.sizes(2) == {0: len(one())}


def test_partitions_of_a_topic_are_apart(log):
    for partition in range(3):
        log.open(1, partition, EACH).append(many(partition + 1), 0)
    assert [log.open(1, index, EACH).end_offset for index in range(3)] == [1, 2, 3]
    assert sorted(log.sizes(1)) == [0, 1, 2]


def test_what_is_open_stays_when_leftovers_are_forgotten(log):
    filled(log)
    log.retain({2})
    assert log.open(1, 0, EACH).end_offset == 5
