"""A topic's settings, in our words; each protocol's mapping gives them its own names."""

from __future__ import annotations

from typing import Literal

import msgspec

FOREVER = -1

FsyncMode = Literal["group", "interval", "never"]
TimestampKind = Literal["create", "append"]


class TopicSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a topic keeps what it captures.

    Times are milliseconds and sizes bytes; ``FOREVER`` (-1) lifts a limit. ``captures`` are patterns
    of further addresses that the topic remembers, next to the one it is named after.
    """

    captures: tuple[str, ...] = ()
    retention_ms: int = 7 * 24 * 3600 * 1000  # Kafka's default: a week to notice and replay
    retention_bytes: int = FOREVER
    delete_old: bool = True  # cleanup.policy=delete
    compact: bool = False  # cleanup.policy=compact
    delete_retention_ms: int = 24 * 3600 * 1000  # how long compaction keeps a tombstone
    # Kafka's default: 1 MiB of records and the batch header of 12 bytes that older formats had.
    max_message_bytes: int = 1_048_588
    # Small enough that recovery, which checks the newest segment, takes a fraction of a second.
    segment_bytes: int = 64 * 1024 * 1024
    segment_ms: int = 7 * 24 * 3600 * 1000
    timestamp_kind: TimestampKind = "create"
    fsync: FsyncMode = "group"
