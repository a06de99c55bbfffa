"""Idempotent producers: once is once, however often it is sent."""

from __future__ import annotations

import pytest

from hubbub.log import batch
from hubbub.log.producers import PRODUCER_EXPIRY_MS, ProducerTable
from hubbub.model.errors import (
    CorruptBatchError,
    DuplicateSequenceError,
    OutOfOrderSequenceError,
    ProducerFencedError,
)

LAST = 2**31 - 1


class Writer:
    def __init__(self) -> None:
        self.table = ProducerTable(max_producers=3)
        self.end = 0

    def send(self, sequence, count=1, *, producer=1, epoch=0, now=0, attributes=0):
        info = batch.scan(
            batch.encode(
                [(0, b"k", b"v", ())] * count,
                producer_id=producer,
                producer_epoch=epoch,
                base_sequence=sequence,
                attributes=attributes,
            )
        )[0]
        placed = self.table.check(info)
        if placed is not None:
            return placed
        self.table.record(info, self.end, -1, now)
        self.end += count
        return None


@pytest.fixture
def writer():
    return Writer()


def test_the_last_five_batches_are_known_by_where_they_stand(writer):
    for sequence in range(0, 14, 2):
        assert writer.send(sequence, 2) is None
    for sequence in range(4, 14, 2):
        placed = writer.send(sequence, 2)
        assert (placed.base_offset, placed.next_offset, placed.duplicate) == (
            sequence,
            sequence + 2,
            True,
        )
    with pytest.raises(DuplicateSequenceError):
        writer.send(2, 2)


def test_a_gap_is_refused(writer):
    writer.send(0)
    with pytest.raises(OutOfOrderSequenceError):
        writer.send(2)


def test_part_of_a_known_batch_is_no_duplicate(writer):
    writer.send(0, 4)
    with pytest.raises(OutOfOrderSequenceError):
        writer.send(0, 2)


def test_sequences_wrap_to_zero(writer):
    assert writer.send(LAST - 1, 2) is None
    assert writer.send(0) is None
    assert writer.send(1) is None
    assert writer.send(LAST - 1, 2).duplicate


def test_a_batch_may_wrap_in_its_middle(writer):
    assert writer.send(LAST, 3) is None
    assert writer.send(2) is None


def test_an_older_epoch_is_fenced_and_a_newer_one_begins_at_zero(writer):
    writer.send(0, epoch=1)
    with pytest.raises(ProducerFencedError):
        writer.send(1, epoch=0)
    with pytest.raises(OutOfOrderSequenceError):
        writer.send(1, epoch=2)
    assert writer.send(0, epoch=2) is None
    assert writer.send(1, epoch=2) is None


def test_an_unknown_producer_may_begin_anywhere(writer):
    assert writer.send(77) is None


def test_a_marker_moves_the_epoch_on(writer):
    writer.send(0, epoch=0)
    assert writer.send(-1, epoch=1, attributes=batch.CONTROL) is None
    with pytest.raises(ProducerFencedError):
        writer.send(1, epoch=0)


def test_a_producer_id_without_a_sequence_is_corrupt(writer):
    with pytest.raises(CorruptBatchError):
        writer.send(-1)


def test_a_snapshot_restores_everything(writer):
    for sequence in range(3):
        writer.send(sequence)
    restored = Writer()
    restored.table.restore(writer.table.snapshot())
    assert restored.send(2).base_offset == 2
    with pytest.raises(OutOfOrderSequenceError):
        restored.send(4)


def test_the_one_idle_longest_is_forgotten_first_and_all_after_a_day(writer):
    for producer in (1, 2, 3):
        writer.send(0, producer=producer)
    writer.send(1, producer=1, now=5)
    writer.send(0, producer=4, now=5)
    assert len(writer.table) == 3
    assert writer.send(1, producer=1).duplicate
    assert writer.send(9, producer=2, now=5) is None  # forgotten
    writer.table.expire(PRODUCER_EXPIRY_MS + 4)
    assert len(writer.table) == 3
    writer.table.expire(PRODUCER_EXPIRY_MS + 5)
    assert len(writer.table) == 0
