"""RecordBatch v2 as properties: logs of several batches, damage anywhere, and records of any bytes."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.log import batch
from hubbub.log.hashing import crc32c
from hubbub.model.errors import CorruptBatchError

VALUES = st.none() | st.binary(max_size=12)
RECORDS = st.lists(
    st.tuples(st.integers(0, 10_000), VALUES, VALUES, st.just((("h", b"v"), ("n", None)))),
    min_size=1,
    max_size=4,
)
# Batches with the gaps that compaction leaves before them.
LOGS = st.lists(st.tuples(st.integers(0, 3), RECORDS), min_size=1, max_size=5)
AT_LENGTH, AT_CRC, AT_ATTRIBUTES, AT_RECORDS = 8, 17, 21, 61


def log_of(parts) -> tuple[bytes, list[tuple[int, int, int, int]]]:
    """The bytes, and of each batch (begin, end, base offset, next offset)."""
    data, places, offset = b"", [], 0
    for gap, records in parts:
        offset += gap
        begin = len(data)
        data += batch.stamp(batch.encode(records), offset)
        places.append((begin, len(data), offset, offset + len(records)))
        offset += len(records)
    return data, places


def sealed(head: bytes, records: bytes) -> bytes:
    """A batch of these bytes whose length and checksum are right."""
    whole = bytearray(head[:AT_RECORDS] + records)
    struct.pack_into(">i", whole, AT_LENGTH, len(whole) - 12)
    struct.pack_into(">I", whole, AT_CRC, crc32c(bytes(whole[AT_ATTRIBUTES:])))
    return bytes(whole)


@given(LOGS)
def test_a_log_is_scanned_into_its_batches(parts):
    data, places = log_of(parts)
    infos = batch.scan(data)
    assert [(i.base_offset, i.next_offset) for i in infos] == [place[2:] for place in places]
    assert [batch.header(data, at).base_offset for at, *_ in places] == [p[2] for p in places]
    assert batch.scan_whole(data)[1:] == (len(data), None)
    assert len(batch.scan(data, places[-1][0])) == 1


@given(LOGS, st.data())
def test_a_log_cut_anywhere_is_whole_up_to_the_cut(parts, drawn):
    data, places = log_of(parts)
    cut = drawn.draw(st.integers(0, len(data) - 1))
    whole = [place for place in places if place[1] <= cut]
    infos, end, fault = batch.scan_whole(data[:cut])
    assert (len(infos), end) == (len(whole), whole[-1][1] if whole else 0)
    assert (fault is None) == (end == cut)
    if fault is not None:
        with pytest.raises(CorruptBatchError):
            batch.scan(data[:cut])
        if cut - end < AT_RECORDS:
            assert batch.header(data[:cut], end) is None


@given(LOGS, st.data())
def test_a_flipped_byte_is_never_read_over(parts, drawn):
    data, places = log_of(parts)
    at = drawn.draw(st.integers(0, len(data) - 1))
    damaged = bytearray(data)
    damaged[at] ^= drawn.draw(st.integers(1, 255))
    index = next(i for i, place in enumerate(places) if place[0] <= at < place[1])
    infos, end, _ = batch.scan_whole(bytes(damaged))
    assert [i.base_offset for i in infos[:index]] == [place[2] for place in places[:index]]
    if at - places[index][0] >= AT_CRC:  # what stands before is outside the checksum
        assert end == places[index][0]


@given(LOGS, st.integers(1, 50))
def test_offsets_that_do_not_rise_are_a_fault(parts, above):
    data, places = log_of(parts)
    infos, end, fault = batch.scan_whole(data, first_offset=places[0][2] + above)
    assert (infos, end) == ([], 0)
    assert fault


@given(st.binary(max_size=90), LOGS)
def test_the_next_whole_batch_is_found_behind_damage(rubbish, parts):
    data, places = log_of(parts)
    assert batch.find_batch(rubbish + data, 0, 0) == len(rubbish)
    last = places[-1]
    assert batch.find_batch(rubbish + data, 0, last[2]) == len(rubbish) + last[0]
    assert batch.find_batch(rubbish + data, 0, last[3]) == -1
    assert batch.find_batch(rubbish, 0, 0) == -1


@given(LOGS, st.integers(0, 25), st.integers(0, 25), st.integers(0, 600), st.booleans())
def test_a_span_holds_the_whole_batches_that_fit(parts, offset, limit, max_bytes, at_least_one):
    data, places = log_of(parts)
    begin, end, fault = batch.span(data, offset, limit, max_bytes, at_least_one=at_least_one)
    wanted = [place for place in places if place[3] > offset and place[2] < limit]
    taken: list[tuple[int, int, int, int]] = []
    for place in wanted:
        first = taken[0][0] if taken else place[0]
        if place[1] - first > max_bytes and (taken or not at_least_one):
            break
        taken.append(place)
    assert fault is None
    assert data[begin:end] == b"".join(data[place[0] : place[1]] for place in taken)


@given(RECORDS, st.integers(0, 2**40), st.integers(0, 2**40))
def test_an_append_time_is_the_time_of_every_record(records, offset, now):
    stamped = batch.stamp(batch.encode(records), offset, append_time_ms=now)
    (info,) = batch.scan(stamped)
    assert info.log_append_time
    assert info.max_timestamp == now
    assert {record.timestamp_ms for record in batch.decode(stamped)} == {now}


@given(RECORDS, st.data())
def test_what_is_kept_of_a_batch_keeps_its_place(records, drawn):
    flags = drawn.draw(st.lists(st.booleans(), min_size=len(records), max_size=len(records)))
    whole = batch.stamp(batch.encode(records), 100)
    kept = batch.keep(whole, flags)
    expected = [r for r, flag in zip(batch.decode(whole), flags, strict=True) if flag]
    assert batch.decode(kept) == expected
    (info,) = batch.scan(kept)
    assert (info.base_offset, info.next_offset) == (100, 100 + len(records))


@given(
    RECORDS,
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 2), st.binary(max_size=4)), max_size=3),
)
@settings(max_examples=600)
def test_records_of_any_bytes_are_read_whole_or_refused(records, edits):
    """Bytes replaced, inserted and removed inside, under a checksum that is right."""
    plain = batch.encode(records)
    inside = bytearray(plain[AT_RECORDS:])
    for at, removed, inserted in edits:
        inside[at : at + removed] = inserted
    changed = sealed(plain, bytes(inside))
    (info,) = batch.scan(changed)
    with suppress(CorruptBatchError):
        batch.check_records(changed, info)
        assert len(batch.decode(changed)) == len(records)
    with suppress(CorruptBatchError):
        assert len(batch.decode(batch.keep(changed, [True] * len(records)))) == len(records)


@given(RECORDS, st.binary(min_size=1, max_size=8))
def test_bytes_behind_the_last_record_are_refused(records, more):
    plain = batch.encode(records)
    changed = sealed(plain, plain[AT_RECORDS:] + more)
    (info,) = batch.scan(changed)
    with pytest.raises(CorruptBatchError):
        batch.check_records(changed, info)


@given(st.binary(max_size=60), st.integers(-5, -1))
def test_less_than_a_header_is_no_batch(data, before):
    assert batch.header(data) is None
    assert batch.header(data, before) is None
    with pytest.raises(CorruptBatchError):
        batch.stamp(data, 0)
    for look in (batch.scan, batch.scan_whole):
        with pytest.raises(ValueError, match="negative"):
            look(data, before)
    with pytest.raises(ValueError, match="negative"):
        batch.find_batch(data, before, 0)


@given(RECORDS, st.integers(6, 9))
def test_numbers_without_an_end_are_refused(records, size):
    head = batch.encode(records)
    endless = bytes([2 * (size + 1), 0]) + b"\xff" * size  # zigzag length, attributes, a varint
    with pytest.raises(CorruptBatchError):
        batch.decode(sealed(head, endless * len(records)))


@given(RECORDS, RECORDS)
def test_a_header_vouches_for_its_own_batch_only(one, other):
    first, second = batch.encode(one), batch.encode(other)
    (info,) = batch.scan(second)
    if len(first) == len(second):
        return
    with pytest.raises(CorruptBatchError):
        batch.check_records(first, info)


@given(st.integers(0, 2**62))
def test_a_batch_without_records_is_not_made(offset):
    with pytest.raises(ValueError, match="records"):
        batch.encode([], base_offset=offset)


@given(LOGS, st.data())
def test_a_read_stops_before_a_batch_that_fails_its_checksum(parts, drawn):
    data, places = log_of(parts)
    bad = drawn.draw(st.integers(0, len(places) - 1))
    at = drawn.draw(st.integers(places[bad][0] + AT_RECORDS, places[bad][1] - 1))
    damaged = bytearray(data)
    damaged[at] ^= 0xFF
    begin, end, fault = batch.span(bytes(damaged), 0, 2**40, len(data), at_least_one=True)
    assert (begin, end) == (0, places[bad][0])
    assert fault


@given(RECORDS.filter(lambda records: len(records) > 1), st.integers(2, 100))
def test_offsets_with_gaps_are_read_and_only_compaction_may_leave_them(records, step):
    sparse = batch.encode(records, offset_deltas=[step * n for n in range(len(records))])
    assert [r.offset for r in batch.decode(sparse)] == [step * n for n in range(len(records))]
    (info,) = batch.scan(sparse)
    with pytest.raises(CorruptBatchError):
        batch.check_records(sparse, info)


@given(RECORDS.filter(lambda records: len(records) > 1))
def test_offsets_that_stand_still_are_refused(records):
    plain = batch.encode([records[0]] * 2)
    half = (len(plain) - AT_RECORDS) // 2
    twice = sealed(plain, plain[AT_RECORDS : AT_RECORDS + half] * 2)
    (info,) = batch.scan(twice)
    with pytest.raises(CorruptBatchError):
        batch.decode(twice)
    with pytest.raises(CorruptBatchError, match="consecutive"):
        batch.check_records(twice, info)


@given(LOGS.filter(lambda parts: len(parts) > 1))
def test_a_batch_that_fails_its_checksum_is_passed_over_in_the_search(parts):
    data, places = log_of(parts)
    damaged = bytearray(data)
    damaged[places[0][1] - 1] ^= 0xFF
    assert batch.find_batch(bytes(damaged), 0, 0) == places[1][0]
