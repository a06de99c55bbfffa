"""What an operator sets for the whole broker."""

from __future__ import annotations

import msgspec


class BrokerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Broker-wide settings; times are seconds."""

    default_partitions: int = 1  # of a topic whose creator does not say
    # Of all topics together: each costs an open file, of which a process has some thousands.
    max_partitions: int = 4000
    auto_create: bool = True  # make a topic when a Kafka client asks for one that is not there
    # How long the first member of an empty group waits for others to come: members that start
    # together then share one rebalance, and nobody notices the wait (Kafka's default is 3 s).
    initial_rebalance_delay: float = 0.1
    # What a group member may choose as its session timeout, as in Kafka: shorter ones overwhelm a
    # broker with heartbeats, longer ones leave work undone for too long.
    min_session_timeout: float = 6.0
    max_session_timeout: float = 1800.0
    # How often retention and compaction are applied; Kafka's log.retention.check.interval.ms.
    cleaning_interval: float = 300.0
