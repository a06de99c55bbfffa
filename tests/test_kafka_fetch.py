"""Fetch, ListOffsets and OffsetForLeaderEpoch: what readers see, how much of it, and when."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from kio.schema.errors import ErrorCode

from held_log import HeldLog
from hubbub.log.batch import decode, scan
from hubbub.model.address import parse_address
from hubbub.model.errors import CorruptLogError
from hubbub.protocols.kafka.fetch import MAX_RESPONSE_BYTES
from hubbub.protocols.kafka.list_offsets import latest_time
from hubbub.protocols.kafka.versions import FETCH, LIST_OFFSETS, OFFSET_FOR_LEADER_EPOCH
from kafka_admin import part
from kafka_wire import NOW_MS, Wire, batch, milliseconds, versions

ANY = 1 << 20


def append(wire: Wire, *values: bytes, name="t", index=0, **more) -> bytes:
    """Append one batch; the bytes that are stored."""
    partition = wire.broker.topics.get(parse_address(name)).partitions[index]
    end = partition.log.end_offset
    wire.broker.append(partition, batch(*values, **more))
    if isinstance(wire.broker.log, HeldLog):
        partition.log.sync()
    return partition.log.read(end, ANY)


def wanted(offset=0, *, index=0, max_bytes=ANY, **more):
    return part(
        "FetchPartition",
        partition=index,
        fetch_offset=offset,
        partition_max_bytes=max_bytes,
        **more,
    )


def fields(wire: Wire, *partitions, name="t", max_wait=0, min_bytes=1, max_bytes=ANY, **more):
    topic = wire.broker.topics.get(parse_address(name))
    return {
        "max_wait": milliseconds(max_wait),
        "min_bytes": min_bytes,
        "max_bytes": max_bytes,
        "isolation_level": 0,
        "topics": [
            part(
                "FetchTopic",
                topic=name,
                topic_id=topic.id if topic else None,
                partitions=list(partitions),
            )
        ],
        "forgotten_topics_data": (),
        **more,
    }


def fetch(wire: Wire, *partitions, version=12, **more):
    """The partitions of the response."""
    response = wire.ask(FETCH, version, **fields(wire, *partitions, **more))
    return [one for topic in response.responses for one in topic.partitions]


@pytest.fixture
def wire():
    wire = Wire()
    wire.topic("t", 3)
    return wire


# What comes back


@pytest.mark.parametrize("version", versions(FETCH))
def test_stored_batches_come_back_as_they_are_in_every_version(wire, version):
    stored = append(wire, b"a", b"b") + append(wire, b"c")
    request = fields(wire, wanted(), wanted(index=1))
    response = wire.ask(FETCH, version, **request)
    assert getattr(response, "error_code", ErrorCode.none) is ErrorCode.none
    assert getattr(response, "session_id", 0) == 0
    (topic,) = response.responses
    if version >= 13:
        assert topic.topic_id == wire.broker.topics.get("t").id
    else:
        assert topic.topic == "t"
    full, empty = topic.partitions
    assert (full.partition_index, full.error_code) == (0, ErrorCode.none)
    assert (full.high_watermark, full.last_stable_offset) == (3, 3)
    assert getattr(full, "log_start_offset", 0) == 0
    assert getattr(full, "preferred_read_replica", -1) == -1
    assert full.aborted_transactions is None
    assert full.records == stored
    assert (empty.partition_index, empty.high_watermark, empty.records) == (1, 0, b"")


@pytest.mark.parametrize("version", versions(FETCH))
def test_an_error_has_no_offsets_and_no_records_in_every_version(wire, version):
    (partition,) = fetch(wire, wanted(index=9), version=version)
    assert partition.error_code is ErrorCode.unknown_topic_or_partition
    assert (partition.high_watermark, partition.last_stable_offset) == (-1, -1)
    assert getattr(partition, "log_start_offset", -1) == -1
    assert partition.records == b""


def test_who_reads_committed_is_told_that_nothing_was_aborted(wire):
    append(wire, b"a")
    (partition,) = fetch(wire, wanted(), isolation_level=1)
    assert partition.aborted_transactions == ()
    assert partition.last_stable_offset == 1


def test_an_offset_inside_a_batch_gets_the_whole_batch(wire):
    append(wire, b"a")
    stored = append(wire, b"b", b"c", b"d")
    (partition,) = fetch(wire, wanted(2))
    assert partition.records == stored


def test_large_batches_leave_without_being_copied(wire):
    stored = append(wire, bytes(100_000))
    wire.send(FETCH, 12, **fields(wire, wanted()))
    assert stored in wire.outbox.take()


# How much


def test_each_partition_and_the_whole_response_have_a_limit(wire):
    size = len(append(wire, b"one"))
    append(wire, b"two")
    for index in (1, 2):
        append(wire, b"xyz", index=index)
    several = [wanted(max_bytes=size), wanted(index=1), wanted(index=2)]
    assert [len(one.records) for one in fetch(wire, *several)] == [size, size, size]
    limited = fetch(wire, *several, max_bytes=2 * size)
    assert [len(one.records) for one in limited] == [size, size, 0]


def test_the_first_batch_comes_whatever_the_limits(wire):
    stored = append(wire, bytes(5000))
    append(wire, bytes(5000), index=1)
    first, second = fetch(wire, wanted(max_bytes=10), wanted(index=1, max_bytes=10), max_bytes=10)
    assert (first.records, second.records) == (stored, b"")
    empty, full = fetch(wire, wanted(index=2), wanted(index=1, max_bytes=0), max_bytes=-1)
    assert (empty.records, len(full.records) > 5000) == (b"", True)


def test_a_client_cannot_ask_for_more_than_a_response_may_hold(wire):
    for _ in range(18):
        append(wire, bytes(1_000_000))
    (partition,) = fetch(wire, wanted(max_bytes=2**31 - 1), max_bytes=2**31 - 1)
    assert 15_000_000 < len(partition.records) <= MAX_RESPONSE_BYTES


# When


@pytest.fixture
def held():
    log = HeldLog()
    wire = Wire(log=log)
    wire.topic("t", 2)
    log.sync()
    return wire


def waiting(wire: Wire, *partitions, max_wait=500, **more) -> None:
    wire.send(FETCH, 12, **fields(wire, *partitions, max_wait=max_wait, **more))
    assert wire.responses() == []


def watchers(wire: Wire) -> int:
    return sum(
        len(partition._watchers) for topic in wire.broker.topics for partition in topic.partitions
    )


def records_of(wire: Wire) -> list[bytes]:
    ((_, response),) = wire.responses()
    return [one.records for topic in response.responses for one in topic.partitions]


def test_a_fetch_waits_for_bytes_that_are_durable(held):
    waiting(held, wanted(), wanted(index=1))
    partition = held.broker.topics.get("t").partitions[1]
    held.broker.append(partition, batch(b"a"))
    assert held.responses() == []
    partition.log.sync()
    empty, full = records_of(held)
    assert empty == b""
    assert [record.value for record in decode(full)] == [b"a"]
    assert watchers(held) == 0


def test_a_fetch_that_waits_in_vain_comes_back_empty_in_time(held):
    waiting(held, wanted())
    held.advance(0.499)
    assert held.responses() == []
    held.advance(0.002)
    assert records_of(held) == [b""]
    assert watchers(held) == 0


def test_a_fetch_answers_once(held):
    waiting(held, wanted())
    append(held, b"a")
    assert len(held.responses()) == 1
    append(held, b"b")
    held.advance(10)
    assert held.responses() == []


def test_a_partition_asked_for_twice_is_answered_once(held):
    waiting(held, wanted(), wanted())
    append(held, b"a")
    assert [len(records) > 0 for records in records_of(held)] == [True, False]
    assert held.session._unsent == 0


def test_a_fetch_waits_for_as_many_bytes_as_it_wants_and_gets_all_since(held):
    size = len(append(held, b"a"))
    waiting(held, wanted(), wanted(index=1), min_bytes=3 * size)
    append(held, b"b", index=1)
    assert held.responses() == []
    append(held, b"c")
    first, second = records_of(held)
    assert [record.value for record in decode(first)] == [b"a", b"c"]
    assert [record.value for record in decode(second)] == [b"b"]


def test_a_fetch_that_waits_measures_what_comes_and_holds_none_of_it(held, monkeypatch):
    log = held.broker.topics.get("t").partitions[0].log
    read_from = []
    read = log.read

    def spy(offset, *limits, **more):
        read_from.append(offset)
        return read(offset, *limits, **more)

    append_only(held, b"a" * 100_000)
    monkeypatch.setattr(log, "read", spy)
    waiting(held, wanted(), min_bytes=1_000_000)
    tracemalloc.start()
    try:
        for value in (b"b", b"c"):
            append_only(held, value * 100_000)
        assert tracemalloc.get_traced_memory()[0] < 300_000  # the log's copies, and no others
    finally:
        tracemalloc.stop()
    assert held.responses() == []
    held.advance(1)
    assert [record.value[:1] for record in decode(records_of(held)[0])] == [b"a", b"b", b"c"]
    assert read_from == [0, 1, 2, 0]


def append_only(wire: Wire, value: bytes) -> None:
    partition = wire.broker.topics.get("t").partitions[0]
    wire.broker.append(partition, batch(value))
    partition.log.sync()


def test_a_fetch_does_not_wait_for_what_its_limits_keep_out(held):
    size = len(append(held, b"a"))
    append(held, b"b")
    request = fields(held, wanted(max_bytes=size), max_wait=500, min_bytes=2 * size)
    assert len(held.ask(FETCH, 12, **request).responses[0].partitions[0].records) == size


def test_an_error_is_answered_at_once(held):
    (partition,) = fetch(held, wanted(index=7), max_wait=500)
    assert partition.error_code is ErrorCode.unknown_topic_or_partition


def test_a_fetch_of_nothing_does_not_wait(held):
    assert held.ask(FETCH, 12, **{**fields(held, max_wait=500), "topics": ()}).responses == ()


@pytest.mark.parametrize(
    ("version", "error"),
    [(12, ErrorCode.unknown_topic_or_partition), (13, ErrorCode.unknown_topic_id)],
)
def test_a_topic_that_goes_while_a_fetch_waits_is_unknown(held, version, error):
    held.send(FETCH, version, **fields(held, wanted(), max_wait=500))
    held.broker.delete_topic(held.broker.topics.get("t"))
    ((_, response),) = held.responses()
    assert response.responses[0].partitions[0].error_code is error


def test_a_client_that_goes_leaves_nobody_waiting(held):
    waiting(held, wanted(), wanted(index=1))
    assert watchers(held) == 2
    held.session.disconnected()
    assert watchers(held) == 0
    append(held, b"a")
    held.advance(1)
    assert held.responses() == []


def test_a_right_that_goes_while_a_fetch_waits_is_missed():
    class Access:
        denied = False

        def may(self, principal, action, target):
            return not (self.denied and action == "receive")

    log, access = HeldLog(), Access()
    wire = Wire(log=log, access=access)
    wire.topic("t")
    log.sync()
    waiting(wire, wanted())
    access.denied = True
    append_only(wire, b"secret")
    ((_, response),) = wire.responses()
    (partition,) = response.responses[0].partitions
    assert partition.error_code is ErrorCode.topic_authorization_failed
    assert partition.records == b""


# What is refused


def test_offsets_outside_the_log_are_out_of_range(wire):
    append(wire, b"a")
    append(wire, b"b")
    log = wire.broker.topics.get("t").partitions[0].log
    log.truncate_before(1)
    for offset in (-1, 0, 3):
        (partition,) = fetch(wire, wanted(offset), max_wait=500)
        assert partition.error_code is ErrorCode.offset_out_of_range
    (end,) = fetch(wire, wanted(2))
    assert (end.error_code, end.log_start_offset, end.records) == (ErrorCode.none, 1, b"")


def test_records_that_fall_to_retention_while_a_fetch_waits_are_out_of_range(held):
    append(held, b"a")
    waiting(held, wanted(), min_bytes=100_000)
    append_only(held, b"b")
    held.broker.topics.get("t").partitions[0].log.truncate_before(1)
    held.advance(1)
    ((_, response),) = held.responses()
    (partition,) = response.responses[0].partitions
    assert (partition.error_code, partition.records) == (ErrorCode.offset_out_of_range, b"")


def test_corrupt_bytes_are_reported_and_not_served(wire, monkeypatch):
    def corrupt(*where, **limits):
        raise CorruptLogError("bad bytes", 0, 5)

    append(wire, b"a")
    monkeypatch.setattr(wire.broker.topics.get("t").partitions[0].log, "read", corrupt)
    (partition,) = fetch(wire, wanted())
    assert (partition.error_code, partition.records) == (ErrorCode.corrupt_message, b"")


@pytest.mark.parametrize(
    ("epoch", "error"),
    [
        (-1, ErrorCode.none),
        (0, ErrorCode.none),
        (1, ErrorCode.unknown_leader_epoch),
        (-2, ErrorCode.fenced_leader_epoch),
    ],
)
def test_there_is_one_leader_epoch(wire, epoch, error):
    append(wire, b"a")
    (partition,) = fetch(wire, wanted(current_leader_epoch=epoch))
    assert partition.error_code is error
    listed = list_offsets(wire, -1, current_leader_epoch=epoch)
    assert listed.error_code is error


def test_there_are_no_fetch_sessions(wire):
    request = fields(wire, wanted(), session_id=5, session_epoch=1)
    response = wire.ask(FETCH, 7, **request)
    assert response.error_code is ErrorCode.fetch_session_id_not_found
    assert response.responses == ()
    append(wire, b"a")
    for epoch in (0, -1):
        full = wire.ask(FETCH, 7, **{**request, "session_epoch": epoch})
        assert (full.error_code, full.session_id) == (ErrorCode.none, 0)
        assert full.responses[0].partitions[0].records


def test_topics_are_found_by_the_name_or_id_that_the_version_has(wire):
    (by_name,) = fetch(wire, wanted(), name="nope", version=12)
    assert by_name.error_code is ErrorCode.unknown_topic_or_partition
    (by_id,) = fetch(wire, wanted(), name="nope", version=13)
    assert by_id.error_code is ErrorCode.unknown_topic_id


def test_the_brokers_own_state_is_not_for_clients(wire):
    (partition,) = fetch(wire, wanted(), name="__hubbub_state")
    assert partition.error_code is ErrorCode.unknown_topic_or_partition


# ListOffsets


def list_offsets(wire: Wire, timestamp, *, version=11, name="t", twice=False, **more):
    one = part("ListOffsetsPartition", partition_index=0, timestamp=timestamp, **more)
    partitions = [one, one] if twice else [one]
    response = wire.ask(
        LIST_OFFSETS,
        version,
        replica_id=-1,
        isolation_level=0,
        topics=[part("ListOffsetsTopic", name=name, partitions=partitions)],
        timeout=milliseconds(1000),
    )
    return response.topics[0].partitions[0]


def found(partition) -> tuple[int, int, int]:
    assert partition.error_code is ErrorCode.none
    epoch = getattr(partition, "leader_epoch", 0 if partition.offset >= 0 else -1)
    return partition.offset, partition.timestamp, epoch


@pytest.fixture
def timed(wire):
    for timestamp_ms in (100, 300, 300, 200):
        append(wire, b"v", timestamp_ms=timestamp_ms)
    wire.broker.topics.get("t").partitions[0].log.truncate_before(0)
    return wire


@pytest.mark.parametrize("version", versions(LIST_OFFSETS))
def test_the_ends_and_times_are_found_in_every_version(timed, version):
    assert found(list_offsets(timed, -1, version=version)) == (4, -1, 0)
    assert found(list_offsets(timed, -2, version=version)) == (0, -1, 0)
    assert found(list_offsets(timed, 0, version=version)) == (0, 100, 0)
    assert found(list_offsets(timed, 101, version=version)) == (1, 300, 0)
    assert found(list_offsets(timed, 301, version=version)) == (-1, -1, -1)


@pytest.mark.parametrize("version", versions(LIST_OFFSETS))
@pytest.mark.parametrize(
    ("timestamp", "since", "expected"),
    [
        (-3, 7, (1, 300, 0)),
        (-4, 8, (0, -1, 0)),
        (-5, 9, (-1, -1, -1)),
        (-6, 11, (-1, -1, -1)),
    ],
)
def test_special_times_are_known_from_their_version_on(timed, version, timestamp, since, expected):
    partition = list_offsets(timed, timestamp, version=version)
    if version < since:
        assert partition.error_code is ErrorCode.unsupported_version
    else:
        assert found(partition) == expected


def test_times_that_mean_nothing_are_refused(timed):
    assert list_offsets(timed, -7).error_code is ErrorCode.unsupported_version
    assert list_offsets(timed, -(2**63)).error_code is ErrorCode.unsupported_version


def test_an_empty_partition_has_no_latest_time(wire):
    assert found(list_offsets(wire, -3)) == (-1, -1, -1)
    assert found(list_offsets(wire, -1)) == (0, -1, 0)


def test_what_is_not_durable_is_not_listed():
    log = HeldLog()
    wire = Wire(log=log)
    topic = wire.topic("t")
    wire.broker.append(topic.partitions[0], batch(b"a"))
    assert found(list_offsets(wire, -1)) == (0, -1, 0)
    log.sync()
    assert found(list_offsets(wire, -1)) == (1, -1, 0)


def test_a_partition_asked_for_twice_is_an_invalid_request(timed):
    assert list_offsets(timed, -1, twice=True).error_code is ErrorCode.invalid_request


def test_offsets_of_an_unknown_topic_are_refused(timed):
    unknown = list_offsets(timed, -1, name="nope")
    assert unknown.error_code is ErrorCode.unknown_topic_or_partition


def test_the_latest_time_is_found_wherever_it_lies(wire):
    random.seed(5)
    for name in ("small", "large"):
        wire.topic(name)
        times = [random.randrange(10**3 if name == "small" else 2**62) for _ in range(40)]
        for timestamp_ms in [*times, max(times)]:
            append(wire, b"v", name=name, timestamp_ms=timestamp_ms)
        log = wire.broker.topics.get(parse_address(name)).partitions[0].log
        assert latest_time(log) == (times.index(max(times)), max(times))


def test_the_latest_time_may_be_the_last_moment_there_is(wire):
    append(wire, b"v", timestamp_ms=2**63 - 1)
    log = wire.broker.topics.get("t").partitions[0].log
    assert latest_time(log) == (0, 2**63 - 1)


# OffsetForLeaderEpoch


@pytest.mark.parametrize("version", versions(OFFSET_FOR_LEADER_EPOCH))
@pytest.mark.parametrize(("epoch", "expected"), [(0, (0, 2)), (1, (-1, -1)), (-1, (-1, -1))])
def test_the_one_epoch_ends_where_the_log_does(wire, version, epoch, expected):
    append(wire, b"a", b"b")
    asked = part(
        "OffsetForLeaderPartition", partition=0, current_leader_epoch=-1, leader_epoch=epoch
    )
    topics = [part("OffsetForLeaderTopic", topic="t", partitions=[asked])]
    response = wire.ask(OFFSET_FOR_LEADER_EPOCH, version, replica_id=-2, topics=topics)
    (partition,) = response.topics[0].partitions
    assert partition.error_code is ErrorCode.none
    assert (partition.leader_epoch, partition.end_offset) == expected


def test_an_epoch_of_an_unknown_partition_is_refused(wire):
    asked = part("OffsetForLeaderPartition", partition=9, current_leader_epoch=-1, leader_epoch=0)
    topics = [part("OffsetForLeaderTopic", topic="t", partitions=[asked])]
    response = wire.ask(OFFSET_FOR_LEADER_EPOCH, 4, replica_id=-2, topics=topics)
    (partition,) = response.topics[0].partitions
    assert partition.error_code is ErrorCode.unknown_topic_or_partition


def test_every_stored_batch_carries_the_epoch(wire):
    assert scan(append(wire, b"a", timestamp_ms=NOW_MS))[0].leader_epoch == 0


# Bounds


def test_a_fetch_names_a_bounded_number_of_partitions(wire, monkeypatch):
    monkeypatch.setattr("hubbub.protocols.kafka.fetch.MAX_PARTITIONS_PER_REQUEST", 2)
    assert len(fetch(wire, wanted(), wanted(), version=4)) == 2
    wire.send(FETCH, 4, **fields(wire, wanted(), wanted(), wanted()))
    assert wire.closed
    assert wire.responses() == []


def test_what_a_connection_waits_for_is_bounded_and_beyond_it_is_answered_at_once(
    wire, monkeypatch
):
    monkeypatch.setattr("hubbub.protocols.kafka.fetch.MAX_PARKED_PARTITIONS", 4)
    request = fields(wire, wanted(), wanted(index=1), max_wait=500)
    for _ in range(2):
        for _ in range(2):
            wire.send(FETCH, 12, **request)
        assert wire.session._connection.parked_partitions == 4
        wire.send(FETCH, 12, **request)
        assert wire.session._connection.parked_partitions == 4
        assert wire.responses() == []  # it is answered, behind the two
        wire.advance(1)
        assert len(wire.responses()) == 3
        assert wire.session._connection.parked_partitions == 0
