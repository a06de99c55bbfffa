"""Which segments are older, or more, than a topic keeps."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from hubbub.model.settings import FOREVER

if TYPE_CHECKING:
    from hubbub.log.segment import Segment
    from hubbub.model.settings import TopicSettings


def is_expired(segment: Segment, settings: TopicSettings, now_ms: int) -> bool:
    """Whether even the segment's newest record is past its time."""
    newest_ms = segment.index.newest_ms
    if newest_ms < 0:
        # A segment of records without a time, found by a scan: its time begins now.
        segment.index.newest_ms = now_ms
        return False
    return FOREVER != settings.retention_ms < now_ms - newest_ms


def beyond(closed: list[Segment], size: int, settings: TopicSettings, now_ms: int) -> list[Segment]:
    """The oldest of the closed segments of a partition of ``size`` bytes that are to go.

    As in Kafka, what is left by size is never less than ``retention_bytes``.
    """
    gone: list[Segment] = []
    for segment in closed:
        too_much = FOREVER != settings.retention_bytes <= size - segment.size
        if not too_much and not is_expired(segment, settings, now_ms):
            break
        gone.append(segment)
        size -= segment.size
    return gone


def before(segments: list[Segment], offset: int) -> list[Segment]:
    """The segments that hold nothing from ``offset`` on, without the newest."""
    return list(takewhile(lambda segment: segment.next_offset <= offset, segments[:-1]))
