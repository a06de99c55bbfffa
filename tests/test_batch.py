"""RecordBatch v2: round trips, another implementation as the judge, and hostile bytes."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_murmur2

from hubbub.log import batch
from hubbub.log.hashing import crc32c, crc32c_by_table, murmur2
from hubbub.model.errors import CorruptBatchError, UnsupportedCompressionError

CODECS = range(5)
TIMES = st.integers(-(2**63), 2**63 - 1)
BYTES = st.none() | st.binary(max_size=40)
HEADERS = st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=8), BYTES), max_size=3)
RECORDS = st.lists(st.tuples(TIMES, BYTES, BYTES, HEADERS.map(tuple)), min_size=1, max_size=8)

SAMPLE = [
    (1_000, b"key", b"value", (("name", b"content"), ("empty", None))),
    (1_005, None, b"x" * 300, ()),
    (990, b"gone", None, ()),
]


def parts(records):
    return [(r.timestamp_ms, r.key, r.value, r.headers) for r in records]


@given(RECORDS, st.sampled_from(CODECS), st.integers(0, 2**62))
@settings(max_examples=200)
def test_what_was_encoded_comes_back(records, codec, base_offset):
    encoded = batch.stamp(batch.encode(records, attributes=codec), base_offset)
    decoded = batch.decode(encoded)
    assert parts(decoded) == records
    assert [r.offset for r in decoded] == list(range(base_offset, base_offset + len(records)))
    (info,) = batch.scan(encoded)
    assert info.size == len(encoded)
    assert (info.base_offset, info.record_count) == (base_offset, len(records))
    assert info.next_offset == base_offset + len(records)
    assert info.max_timestamp == max(record[0] for record in records)
    assert batch.check_records(encoded, info) == any(record[1] is None for record in records)


@pytest.mark.parametrize("codec", CODECS)
def test_another_implementation_reads_what_we_write(codec):
    records = MemoryRecords(batch.encode(SAMPLE, attributes=codec))
    theirs = records.next_batch()
    assert theirs.validate_crc()
    found = [
        (r.timestamp, r.key, r.value, tuple((name, content) for name, content in r.headers))
        for r in theirs
    ]
    assert found == SAMPLE


@pytest.mark.parametrize("codec", CODECS)
def test_we_read_what_another_implementation_writes(codec):
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=7,
        producer_epoch=1,
        base_sequence=3,
        batch_size=1_000_000,
    )
    for index, (timestamp, key, value, headers) in enumerate(SAMPLE):
        builder.append(index, timestamp, key, value, list(headers))
    encoded = bytes(builder.build())
    (info,) = batch.scan(encoded)
    assert (info.producer_id, info.producer_epoch, info.base_sequence) == (7, 1, 3)
    assert batch.check_records(encoded, info)
    assert parts(batch.decode(encoded)) == SAMPLE


@pytest.mark.parametrize("codec", CODECS)
def test_every_truncation_is_detected(codec):
    encoded = batch.encode(SAMPLE, attributes=codec)
    for size in range(1, len(encoded)):
        with pytest.raises(CorruptBatchError):
            batch.scan(encoded[:size])
        with pytest.raises(CorruptBatchError):
            batch.decode(encoded + encoded[:size])


def test_every_flipped_byte_that_the_checksum_covers_is_detected():
    encoded = batch.encode(SAMPLE)
    for at in [*range(8, 12), *range(16, len(encoded))]:
        for flip in (0x01, 0x80):
            broken = bytearray(encoded)
            broken[at] ^= flip
            with pytest.raises(CorruptBatchError):
                batch.scan(broken)


def with_checksum(encoded: bytes) -> bytes:
    return encoded[:17] + crc32c(encoded[21:]).to_bytes(4, "big") + encoded[21:]


@given(st.integers(0, 400), st.integers(0, 255), st.sampled_from(CODECS))
@settings(max_examples=200)
def test_a_hostile_batch_with_a_good_checksum_is_read_or_refused(at, byte, codec):
    broken = bytearray(batch.encode(SAMPLE, attributes=codec))
    broken[21 + at % (len(broken) - 21)] = byte
    refused = 0
    hostile = with_checksum(bytes(broken))
    for read in (batch.decode, lambda data: batch.check_records(data, batch.scan(data)[0])):
        try:
            read(hostile)
        except CorruptBatchError:
            refused += 1
    assert refused <= 2


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_never_crash(data):
    framed = struct.pack(">qiib", 0, len(data) + 9, 0, 2) + bytes(4) + data
    for hostile in (data, framed, with_checksum(framed)):
        batch.header(hostile, 0)
        batch.find_batch(hostile, 0, 0)
        batch.scan_whole(hostile)
        batch.span(hostile, 0, 100, 1000, at_least_one=True)
        for read in (batch.scan, batch.decode, lambda data: batch.keep(data, [True] * 9)):
            with suppress(CorruptBatchError):
                read(hostile)


def raw_batch(section: bytes, count: int, last_delta: int | None = None) -> bytes:
    body = struct.pack(
        ">hiqqqhii", 0, count - 1 if last_delta is None else last_delta, 0, 0, -1, -1, -1, count
    )
    return with_checksum(
        struct.pack(">qiib", 0, 9 + len(body + section), 0, 2) + bytes(4) + body + section
    )


GOOD_RECORD = bytes([12, 0, 0, 0, 1, 1, 0])  # 6 bytes: no key, no value, no headers


@pytest.mark.parametrize(
    ("section", "count"),
    [
        (b"\xff" * 12, 1),  # a length varint that never ends
        (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + bytes(9), 1),  # a length of 2^63 - 1
        (bytes([12, 0, 0, 0, 0xFE, 0x7F, 0]), 1),  # a key beyond the record
        (bytes([12, 0, 0, 0, 3, 1, 0]), 1),  # a key of length -2
        (bytes([12, 0, 0, 0, 1, 1, 200]), 1),  # more headers than bytes
        (bytes([14, 0, 0, 0, 1, 1, 0, 0]), 1),  # a byte behind the fields
        (GOOD_RECORD + b"\0", 1),  # a byte behind the records
        (GOOD_RECORD * 2, 2),  # the same offset twice
        (GOOD_RECORD, 2),  # fewer records than said
        (bytes([0]), 1),  # a record of no bytes
    ],
)
def test_malformed_records_are_refused(section, count):
    hostile = raw_batch(section, count)
    with pytest.raises(CorruptBatchError):
        batch.check_records(hostile, batch.scan(hostile)[0])
    with pytest.raises(CorruptBatchError):
        batch.decode(hostile)


@pytest.mark.parametrize(("count", "last_delta"), [(0, 0), (1, 1), (-1, 0), (2**31 - 1, 2**31 - 1)])
def test_a_record_count_that_does_not_fit_is_refused(count, last_delta):
    hostile = raw_batch(GOOD_RECORD, count, last_delta)
    with pytest.raises(CorruptBatchError):
        batch.check_records(hostile, batch.scan(hostile)[0])


def test_a_codec_that_does_not_exist_is_said_so():
    hostile = bytearray(batch.encode(SAMPLE))
    hostile[22] = 5
    hostile = with_checksum(bytes(hostile))
    with pytest.raises(UnsupportedCompressionError):
        batch.check_records(hostile, batch.scan(hostile)[0])


@pytest.mark.parametrize("codec", CODECS)
def test_records_are_taken_out_and_the_offsets_of_the_rest_stay(codec):
    encoded = batch.stamp(
        batch.encode(SAMPLE, attributes=codec, producer_id=4, producer_epoch=0, base_sequence=9), 50
    )
    kept = batch.keep(encoded, [True, False, True])
    assert [(r.offset, r.key) for r in batch.decode(kept)] == [(50, b"key"), (52, b"gone")]
    (info,) = batch.scan(kept)
    assert (info.next_offset, info.base_sequence, info.max_timestamp) == (53, 9, 1_000)
    (empty,) = batch.scan(batch.keep(encoded, [False] * 3))
    assert (empty.record_count, empty.next_offset) == (0, 53)


def test_sparse_offsets_are_kept():
    encoded = batch.encode(SAMPLE, base_offset=10, offset_deltas=[0, 4, 9])
    assert [r.offset for r in batch.decode(encoded)] == [10, 14, 19]
    with pytest.raises(CorruptBatchError):
        batch.check_records(encoded, batch.scan(encoded)[0])


def test_an_append_time_replaces_the_publishers_times():
    stamped = batch.stamp(batch.encode(SAMPLE), 5, append_time_ms=77)
    assert batch.scan(stamped)[0].log_append_time
    assert {r.timestamp_ms for r in batch.decode(stamped)} == {77}


def test_control_batches_hold_no_messages():
    marker = batch.encode([(0, b"\0\0\0\1", b"", ())], attributes=batch.CONTROL)
    assert batch.decode(marker + batch.encode(SAMPLE[:1])) == batch.decode(batch.encode(SAMPLE[:1]))


def test_a_header_name_that_is_no_text_is_still_read():
    encoded = batch.encode([(0, None, None, ((b"\xff", b"v"),))])
    assert batch.decode(encoded)[0].headers == (("\ufffd", b"v"),)


def test_a_span_begins_with_the_batch_that_holds_the_offset_and_ends_with_a_whole_one():
    stored = b"".join(batch.stamp(batch.encode(SAMPLE), base) for base in (0, 3, 6))
    size = len(stored) // 3
    assert batch.span(stored, 4, 9, 10**6, at_least_one=True) == (size, 3 * size, None)
    assert batch.span(stored, 4, 6, 10**6, at_least_one=True) == (size, 2 * size, None)
    assert batch.span(stored, 4, 9, 1, at_least_one=True) == (size, 2 * size, None)
    assert batch.span(stored, 4, 9, 1, at_least_one=False) == (size, size, None)
    assert batch.span(stored, 9, 9, 10**6, at_least_one=True) == (3 * size, 3 * size, None)


@given(st.binary(max_size=70))
def test_hashes_agree_with_their_references(data):
    assert crc32c(data) == crc32c_by_table(data)
    assert crc32c(data[5:], crc32c(data[:5])) == crc32c(data)
    assert murmur2(data) & 0xFFFFFFFF == kafka_murmur2(data) & 0xFFFFFFFF


def test_crc32c_has_the_check_value_of_its_specification():
    assert crc32c(b"123456789") == 0xE3069283
