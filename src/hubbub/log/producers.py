"""What idempotent producers wrote last, so that a batch sent twice is stored once (KIP-98, KIP-185)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hubbub.log.seam import Appended
from hubbub.model.errors import (
    CorruptBatchError,
    DuplicateSequenceError,
    OutOfOrderSequenceError,
    ProducerFencedError,
)

if TYPE_CHECKING:
    from hubbub.log.batch import BatchInfo

# Clients have at most five requests in flight per connection while idempotent, as in Kafka.
BATCHES_KEPT = 5

# Kafka's producer.id.expiration.ms: after a day without a word a producer counts as gone.
PRODUCER_EXPIRY_MS = 24 * 3600 * 1000

# A client may ask for a new producer id each time it starts; the one idle longest is forgotten.
MAX_PRODUCERS = 10_000

_SEQUENCE_MASK = 2**31 - 1  # sequences wrap to 0 after 2^31 - 1
_HALF = 2**30  # a distance beyond half the circle is one backwards


class _Written(msgspec.Struct, array_like=True, frozen=True):
    first_sequence: int
    last_sequence: int
    base_offset: int
    next_offset: int
    append_time_ms: int


class _Producer(msgspec.Struct, array_like=True):
    id: int
    epoch: int
    written: list[_Written]  # the newest batches of this epoch, oldest first
    used_ms: int


class ProducerTable:
    """The idempotent producers of one partition, least recently used first."""

    def __init__(self, max_producers: int = MAX_PRODUCERS) -> None:
        self._producers: dict[int, _Producer] = {}
        self._max_producers = max_producers

    def __len__(self) -> int:
        return len(self._producers)

    def check(self, info: BatchInfo) -> Appended | None:
        """Where the batch already is, or None if it is to be appended.

        Raises: OutOfOrderSequenceError, DuplicateSequenceError, ProducerFencedError,
            CorruptBatchError for a producer id without epoch or sequence.
        """
        if info.producer_id < 0:
            return None
        if info.producer_epoch < 0 or (info.base_sequence < 0 and not info.is_control):
            raise CorruptBatchError("a producer id comes with an epoch and a sequence")
        producer = self._producers.get(info.producer_id)
        # A producer that is not known may have been forgotten: Kafka takes any first sequence.
        if producer is None:
            return None
        if info.producer_epoch < producer.epoch:
            raise ProducerFencedError(
                f"producer {info.producer_id} has epoch {producer.epoch}, not {info.producer_epoch}"
            )
        return None if info.is_control else _placed(producer, info)

    def record(self, info: BatchInfo, base_offset: int, append_time_ms: int, now_ms: int) -> None:
        """Note that the batch, which ``check`` let pass, stands at ``base_offset``."""
        if info.producer_id < 0:
            return
        producer = self._producers.pop(info.producer_id, None)
        if producer is None or producer.epoch != info.producer_epoch:
            producer = _Producer(info.producer_id, info.producer_epoch, [], now_ms)
        producer.used_ms = now_ms
        if info.base_sequence >= 0:
            producer.written.append(
                _Written(
                    info.base_sequence,
                    _last_sequence(info),
                    base_offset,
                    base_offset + info.last_offset_delta + 1,
                    append_time_ms,
                )
            )
            del producer.written[:-BATCHES_KEPT]
        self._producers[info.producer_id] = producer  # behind all others: the latest used
        if len(self._producers) > self._max_producers:
            del self._producers[next(iter(self._producers))]

    def expire(self, now_ms: int) -> None:
        """Forget the producers that have been idle for a day."""
        self._producers = {
            id_: producer
            for id_, producer in self._producers.items()
            if now_ms - producer.used_ms < PRODUCER_EXPIRY_MS
        }

    def snapshot(self) -> bytes:
        """All of it, for ``restore``."""
        return msgspec.msgpack.encode(list(self._producers.values()))

    def restore(self, snapshot: bytes) -> None:
        """Replace all of it by what ``snapshot`` returned.

        Raises: msgspec.ValidationError or msgspec.DecodeError: other bytes.
        """
        producers = msgspec.msgpack.decode(snapshot, type=list[_Producer])
        self._producers = {producer.id: producer for producer in producers}


def _last_sequence(info: BatchInfo) -> int:
    return (info.base_sequence + info.last_offset_delta) & _SEQUENCE_MASK


def _placed(producer: _Producer, info: BatchInfo) -> Appended | None:
    """Where a known producer's batch is, None if it is the next one."""
    sequence = info.base_sequence
    if info.producer_epoch > producer.epoch or not producer.written:
        if info.producer_epoch > producer.epoch and sequence != 0:
            raise OutOfOrderSequenceError(
                f"producer {producer.id} begins epoch {info.producer_epoch} with sequence {sequence}"
            )
        return None
    last = _last_sequence(info)
    for written in producer.written:
        if (written.first_sequence, written.last_sequence) == (sequence, last):
            return Appended(
                written.base_offset, written.next_offset, written.append_time_ms, duplicate=True
            )
    expected = (producer.written[-1].last_sequence + 1) & _SEQUENCE_MASK
    if sequence == expected:
        return None
    oldest = producer.written[0].first_sequence
    if 0 < (oldest - sequence) & _SEQUENCE_MASK < _HALF:
        raise DuplicateSequenceError(
            f"producer {producer.id} sent sequence {sequence}, which is before {oldest}"
        )
    raise OutOfOrderSequenceError(
        f"producer {producer.id} sent sequence {sequence}, {expected} is next"
    )
