"""What a batch must be before any engine appends it, and the offsets it then has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hubbub.log import batch as batches
from hubbub.log.seam import Appended
from hubbub.model.errors import CorruptBatchError, MessageTooLargeError, MissingKeyError

if TYPE_CHECKING:
    from hubbub.log.batch import BatchInfo
    from hubbub.log.producers import ProducerTable
    from hubbub.model.settings import TopicSettings


class Admitted(NamedTuple):
    """A batch with its offsets in place, and where its producer is told that it stands.

    A duplicate has no bytes to append.
    """

    data: bytes
    info: BatchInfo  # its header as it is stored
    appended: Appended


def admit(
    batch: bytes | bytearray,
    settings: TopicSettings,
    producers: ProducerTable,
    end_offset: int,
    now_ms: int,
    *,
    own: bool = False,
) -> Admitted:
    """Check ``batch`` in full, unless it is our own make, and give it ``end_offset`` as its base.

    Raises: CorruptBatchError, MessageTooLargeError, OutOfOrderSequenceError,
        DuplicateSequenceError, ProducerFencedError.
    """
    if len(batch) > settings.max_message_bytes:
        raise MessageTooLargeError(
            f"the batch has {len(batch)} bytes, the topic takes {settings.max_message_bytes}"
        )
    infos = batches.scan(batch, check_crc=not own)
    if len(infos) != 1:
        raise CorruptBatchError("exactly one batch can be appended")
    info = infos[0]
    # Whoever made a batch of our own has seen to it that its records fit the topic.
    keyless = not own and batches.check_records(batch, info)
    # A control batch's key says what it controls; compaction leaves it alone.
    if keyless and settings.compact and not info.is_control:
        raise MissingKeyError("a record of a compacted topic has a key")
    placed = producers.check(info)
    if placed is not None:
        return Admitted(b"", info, placed)
    append_time_ms = now_ms if settings.timestamp_kind == "append" else -1
    data = batches.stamp(batch, end_offset, append_time_ms=append_time_ms)
    next_offset = end_offset + info.last_offset_delta + 1
    info = batches.scan(data, check_crc=False)[0]
    return Admitted(data, info, Appended(end_offset, next_offset, append_time_ms))
