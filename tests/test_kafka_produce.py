"""Produce and InitProducerId: what is appended, when it is said, and what is refused how."""

from __future__ import annotations

import struct

import pytest
from kio.schema.errors import ErrorCode

from held_log import HeldLog
from hubbub.broker.observer import Subscriber
from hubbub.log.batch import CONTROL, TRANSACTIONAL, decode
from hubbub.log.hashing import crc32c
from hubbub.model.address import parse_address
from hubbub.model.errors import StorageError
from hubbub.model.pattern import Exact
from hubbub.model.settings import TopicSettings
from hubbub.protocols.kafka.versions import INIT_PRODUCER_ID, PRODUCE
from kafka_admin import part
from kafka_wire import NOW_MS, Wire, batch, frame, milliseconds, versions

ZSTD = 4
BATCH_LENGTH = struct.Struct(">i")


class Recorder:
    subscriber = Subscriber("test", "recorder")

    def __init__(self):
        self.got = []

    def observe(self, message):
        self.got.append(message)


def fields(wire: Wire, records: bytes | None, name="t", index=0, acks=-1, **more):
    topic = wire.broker.topics.get(parse_address(name))
    return {
        "transactional_id": None,
        "acks": acks,
        "timeout": milliseconds(1000),
        "topic_data": [
            part(
                "TopicProduceData",
                name=name,
                topic_id=topic.id if topic else None,
                partition_data=[part("PartitionProduceData", index=index, records=records)],
            )
        ],
        **more,
    }


def produce(wire: Wire, records: bytes | None, *, version=9, **where):
    """The partition's part of the response."""
    response = wire.ask(PRODUCE, version, **fields(wire, records, **where))
    ((partition,),) = (topic.partition_responses for topic in response.responses)
    return partition


@pytest.fixture
def wire():
    wire = Wire()
    wire.topic("t")
    return wire


def stored(wire: Wire, name="t", index=0) -> list[bytes | None]:
    log = wire.broker.topics.get(parse_address(name)).partitions[index].log
    return [record.value for record in decode(log.read(0, 1 << 20))]


@pytest.mark.parametrize("version", versions(PRODUCE))
def test_a_batch_is_appended_and_its_offset_answered_in_every_version(wire, version):
    produce(wire, batch(b"before"), version=version)
    response = wire.ask(PRODUCE, version, **fields(wire, batch(b"a", b"b")))
    (topic,) = response.responses
    if version >= 13:
        assert topic.topic_id == wire.broker.topics.get("t").id
    else:
        assert topic.name == "t"
    (partition,) = topic.partition_responses
    assert partition.error_code is ErrorCode.none
    assert (partition.index, partition.base_offset) == (0, 1)
    assert getattr(partition, "log_start_offset", 0) == 0
    assert getattr(partition, "error_message", None) is None
    assert stored(wire) == [b"before", b"a", b"b"]


@pytest.mark.parametrize("version", versions(PRODUCE))
def test_an_error_leaves_no_offset_in_every_version(wire, version):
    partition = produce(wire, batch(b"a"), version=version, index=1)
    assert partition.error_code is ErrorCode.unknown_topic_or_partition
    assert partition.base_offset == -1
    assert getattr(partition, "log_start_offset", -1) == -1
    if version >= 8:
        assert partition.error_message == "No such partition as t-1"


def test_live_observers_get_what_is_produced(wire):
    recorder = Recorder()
    wire.broker.subscribe(Exact(parse_address("t")), recorder)
    produce(wire, batch(b"a", b"b"))
    assert [message.value for message in recorder.got] == [b"a", b"b"]


@pytest.mark.parametrize("acks", [1, -1])
def test_an_acknowledgement_waits_until_every_partition_is_durable(acks):
    log = HeldLog()
    wire = Wire(log=log)
    topic = wire.topic("t", 2)
    log.sync()
    both = [part("PartitionProduceData", index=index, records=batch(b"v")) for index in (0, 1)]
    request = fields(wire, None, acks=acks)
    request["topic_data"] = [part("TopicProduceData", name="t", partition_data=both)]
    wire.send(PRODUCE, 9, **request)
    topic.partitions[0].log.sync()
    assert wire.responses() == []
    topic.partitions[1].log.sync()
    ((_, response),) = wire.responses()
    assert [one.error_code for one in response.responses[0].partition_responses] == [0, 0]


def test_a_disk_that_fails_is_a_storage_error_of_that_partition_only():
    log = HeldLog()
    wire = Wire(log=log)
    topic = wire.topic("t", 2)
    log.sync()
    both = [part("PartitionProduceData", index=index, records=batch(b"v")) for index in (0, 1)]
    request = fields(wire, None)
    request["topic_data"] = [part("TopicProduceData", name="t", partition_data=both)]
    wire.send(PRODUCE, 9, **request)
    topic.partitions[0].log.fail(StorageError("no more"))
    topic.partitions[1].log.sync()
    ((_, response),) = wire.responses()
    failed, fine = response.responses[0].partition_responses
    assert (failed.error_code, failed.base_offset) == (ErrorCode.kafka_storage_error, -1)
    assert (fine.error_code, fine.base_offset) == (ErrorCode.none, 0)


def test_without_acks_there_is_no_response(wire):
    wire.send(PRODUCE, 9, **fields(wire, batch(b"a"), acks=0))
    assert wire.responses() == []
    assert not wire.closed
    assert stored(wire) == [b"a"]


def test_without_acks_an_error_closes_the_connection(wire):
    wire.send(PRODUCE, 9, **fields(wire, batch(b"a"), acks=0, index=7))
    assert wire.responses() == []
    assert wire.closed


@pytest.mark.parametrize("acks", [2, -2, 32767])
def test_other_acks_are_invalid(wire, acks):
    assert produce(wire, batch(b"a"), acks=acks).error_code is ErrorCode.invalid_required_acks
    assert stored(wire) == []


def flipped(records: bytes, at: int) -> bytes:
    return records[:at] + bytes([records[at] ^ 1]) + records[at + 1 :]


def with_magic(records: bytes, magic: int) -> bytes:
    return records[:16] + bytes([magic]) + records[17:]


def with_length(records: bytes, length: int) -> bytes:
    return records[:8] + BATCH_LENGTH.pack(length) + records[12:]


def with_codec(records: bytes, codec: int) -> bytes:
    covered = bytes([0, codec]) + records[23:]
    return records[:17] + struct.pack(">I", crc32c(covered)) + covered


ONE = batch(b"a")


@pytest.mark.parametrize(
    ("records", "error"),
    [
        (None, ErrorCode.invalid_record),
        (b"", ErrorCode.invalid_record),
        (ONE[:-1], ErrorCode.invalid_record),
        (ONE + ONE, ErrorCode.invalid_record),
        (with_magic(ONE, 1), ErrorCode.invalid_record),
        (with_magic(ONE, 0), ErrorCode.invalid_record),
        (with_length(ONE, -1), ErrorCode.corrupt_message),
        (with_length(ONE, 0), ErrorCode.corrupt_message),
        (with_length(ONE, 48), ErrorCode.corrupt_message),
        (flipped(ONE, len(ONE) - 2), ErrorCode.corrupt_message),
        (flipped(ONE, 60), ErrorCode.corrupt_message),
        (batch(b"a", attributes=CONTROL), ErrorCode.invalid_record),
        (batch(b"a", attributes=TRANSACTIONAL), ErrorCode.invalid_txn_state),
        (with_codec(ONE, 6), ErrorCode.unsupported_compression_type),
        (batch(bytes(2_000_000)), ErrorCode.message_too_large),
    ],
)
def test_records_that_are_not_one_good_batch_are_refused(wire, records, error):
    assert produce(wire, records).error_code is error
    assert stored(wire) == []


def test_bytes_that_make_no_batch_are_trimmed(wire):
    assert produce(wire, ONE + ONE[:-1]).error_code is ErrorCode.none
    assert stored(wire) == [b"a"]


def test_zstandard_needs_a_version_that_has_it(wire):
    records = batch(b"a" * 100, attributes=ZSTD)
    old = produce(wire, records, version=6)
    assert old.error_code is ErrorCode.unsupported_compression_type
    assert produce(wire, records, version=7).error_code is ErrorCode.none
    assert stored(wire) == [b"a" * 100]


def test_topics_that_are_not_there_or_not_for_clients_are_refused(wire):
    assert produce(wire, ONE, name="x").error_code is ErrorCode.unknown_topic_or_partition
    assert produce(wire, ONE, name="a/b").error_code is ErrorCode.unknown_topic_or_partition
    unknown = produce(wire, ONE, name="x", version=13)
    assert unknown.error_code is ErrorCode.unknown_topic_id
    internal = produce(wire, ONE, name="__consumer_offsets")
    assert internal.error_code is ErrorCode.invalid_topic_exception
    private = produce(wire, ONE, name="__hubbub_state")
    assert private.error_code is ErrorCode.unknown_topic_or_partition


def test_who_may_not_publish_is_told_so():
    class Deny:
        def may(self, principal, action, target):
            return action != "publish"

    wire = Wire(access=Deny())
    wire.topic("t")
    assert produce(wire, ONE).error_code is ErrorCode.topic_authorization_failed
    assert stored(wire) == []


def test_the_broker_stamps_the_time_where_the_topic_says_so():
    wire = Wire()
    wire.topic("t", settings=TopicSettings(timestamp_kind="append"))
    partition = produce(wire, batch(b"a", timestamp_ms=5))
    assert partition.log_append_time.timestamp() * 1000 == NOW_MS


def test_an_idempotent_producers_batches_are_appended_once_and_in_order(wire):
    def send(sequence, epoch=0):
        identity = {"producer_id": 7, "producer_epoch": epoch, "base_sequence": sequence}
        return produce(wire, batch(b"%d" % sequence, **identity))

    assert send(0, epoch=1).base_offset == 0
    assert send(1, epoch=1).base_offset == 1
    again = send(0, epoch=1)
    assert (again.error_code, again.base_offset) == (ErrorCode.none, 0)
    assert send(5, epoch=1).error_code is ErrorCode.out_of_order_sequence_number
    assert send(2, epoch=0).error_code is ErrorCode.invalid_producer_epoch
    assert stored(wire) == [b"0", b"1"]


# InitProducerId


def identify(wire: Wire, version=4, **more):
    request = {"transactional_id": None, "transaction_timeout": milliseconds(60_000), **more}
    return wire.ask(INIT_PRODUCER_ID, version, **request)


@pytest.mark.parametrize("version", versions(INIT_PRODUCER_ID))
def test_every_idempotent_producer_gets_an_id_of_its_own(wire, version):
    first, second = identify(wire, version), identify(wire, version)
    assert first.error_code == second.error_code == ErrorCode.none
    assert first.producer_id != second.producer_id
    assert first.producer_epoch == second.producer_epoch == 0


def test_an_idempotent_producer_with_an_id_gets_a_new_one(wire):
    first = identify(wire)
    again = identify(wire, producer_id=first.producer_id, producer_epoch=0)
    assert again.error_code is ErrorCode.none
    assert (again.producer_id > first.producer_id, again.producer_epoch) == (True, 0)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"transactional_id": "tx"}, ErrorCode.transactional_id_authorization_failed),
        ({"transactional_id": ""}, ErrorCode.invalid_request),
        ({"producer_id": 5}, ErrorCode.invalid_request),
        ({"producer_epoch": 5}, ErrorCode.invalid_request),
    ],
)
def test_identities_that_cannot_be_given_are_refused(wire, more, error):
    response = identify(wire, **more)
    assert response.error_code is error
    assert (response.producer_id, response.producer_epoch) == (-1, -1)


def test_a_large_request_in_small_pieces_is_taken(wire):
    value = bytes(range(256)) * 3000
    whole = frame(PRODUCE, 9, **fields(wire, batch(value)))
    for at in range(0, len(whole), 1000):
        wire.session.receive(whole[at : at + 1000])
    assert stored(wire) == [value]
