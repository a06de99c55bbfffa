"""ListOffsets (2): the offset at a time, or at one of the moments that negative times stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.log.seam import TimePoint
from hubbub.protocols.kafka.leader_epochs import LEADER_EPOCH, check_current_epoch
from hubbub.protocols.kafka.lookup import duplicates, find_partition
from hubbub.protocols.kafka.readable import find_readable
from hubbub.protocols.kafka.refusal import Refusal, attempt
from hubbub.protocols.kafka.versions import LIST_OFFSETS

if TYPE_CHECKING:
    from hubbub.log.seam import PartitionLog
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

LATEST = -1
EARLIEST = -2
MAX_TIMESTAMP = -3  # KIP-734
EARLIEST_LOCAL = -4  # KIP-405
LATEST_TIERED = -5  # KIP-1005
EARLIEST_PENDING_UPLOAD = -6  # KIP-1023

# The version that each came with; in an older one it is as unknown as any other negative time.
_SINCE = {
    LATEST: 1,
    EARLIEST: 1,
    MAX_TIMESTAMP: 7,
    EARLIEST_LOCAL: 8,
    LATEST_TIERED: 9,
    EARLIEST_PENDING_UPLOAD: 11,
}

_UNKNOWN = -1
_NOWHERE = TimePoint(offset=_UNKNOWN, timestamp_ms=_UNKNOWN)
_LAST_MOMENT = 2**63 - 1


def handle(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answer at once: what is asked for is what readers can see now."""
    twice = duplicates(
        (topic.name, wanted.partition_index)
        for topic in request.topics
        for wanted in topic.partitions
    )
    topics = tuple(
        context.make(
            "ListOffsetsTopicResponse",
            name=topic.name,
            partitions=tuple(
                _result(context, wanted, attempt(_find, context, topic.name, wanted, twice))
                for wanted in topic.partitions
            ),
        )
        for topic in request.topics
    )
    reply(context.make("ListOffsetsResponse", topics=topics))


def _result(context: RequestContext, wanted: Any, found: TimePoint | Refusal) -> Any:
    point = _NOWHERE if isinstance(found, Refusal) else found
    return context.make(
        "ListOffsetsPartitionResponse",
        partition_index=wanted.partition_index,
        error_code=found.code if isinstance(found, Refusal) else ErrorCode.none,
        timestamp=point.timestamp_ms,
        offset=point.offset,
        leader_epoch=_UNKNOWN if point.offset == _UNKNOWN else LEADER_EPOCH,
    )


def _find(context: RequestContext, name: str, wanted: Any, twice: set[object]) -> TimePoint:
    if (name, wanted.partition_index) in twice:
        raise Refusal(ErrorCode.invalid_request, "A partition is asked for more than once.")
    timestamp: int = wanted.timestamp
    if timestamp < 0 and context.api_version < _SINCE.get(timestamp, _LAST_MOMENT):
        raise Refusal(ErrorCode.unsupported_version, "The version knows no such timestamp.")
    log = find_partition(find_readable(context, name), wanted.partition_index).log
    check_current_epoch(getattr(wanted, "current_leader_epoch", _UNKNOWN))
    if timestamp >= 0:
        return log.find_time(timestamp) or _NOWHERE
    if timestamp == LATEST:
        return TimePoint(log.durable_offset, _UNKNOWN)
    if timestamp in {EARLIEST, EARLIEST_LOCAL}:  # whatever there is, is local
        return TimePoint(log.start_offset, _UNKNOWN)
    if timestamp == MAX_TIMESTAMP:
        return latest_time(log)
    return _NOWHERE  # nothing is tiered, or about to be


def latest_time(log: PartitionLog) -> TimePoint:
    """The first record with the highest timestamp.

    A log finds the first record at or after a time, so this steps ahead, twice as far each time,
    until nothing is found, and then halves what is left.
    """
    latest = log.find_time(0)
    if latest is None:
        return _NOWHERE
    step, beyond = 1, _LAST_MOMENT
    while latest.timestamp_ms + 1 < beyond:
        probe = min(latest.timestamp_ms + step, (latest.timestamp_ms + beyond) // 2)
        later = log.find_time(probe)
        if later is None:
            beyond = probe
        else:
            latest, step = later, step * 2
    return latest


HANDLERS: dict[int, Handler] = {LIST_OFFSETS: handle}
