"""The API keys of a Kafka 4.3 broker that hubbub may serve, and in which versions.

The ranges are those that Kafka 4.3 advertises, from its lowest version on: clients choose by them,
and have failed on brokers whose minimum was higher. What has no handler is not advertised.
"""

from __future__ import annotations

from typing import NamedTuple

PRODUCE = 0
FETCH = 1
LIST_OFFSETS = 2
METADATA = 3
API_VERSIONS = 18
INIT_PRODUCER_ID = 22
OFFSET_FOR_LEADER_EPOCH = 23
DESCRIBE_TOPIC_PARTITIONS = 75

NEVER = 1 << 15  # no version is flexible: above every int16


class Versions(NamedTuple):
    """One API: the versions answered, and the first whose encoding is flexible (KIP-482)."""

    oldest: int
    newest: int
    flexible: int
    oldest_advertised: int | None = None

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.oldest <= version <= self.newest

    @property
    def advertised(self) -> tuple[int, int]:
        """The range that ApiVersions tells."""
        oldest = self.oldest if self.oldest_advertised is None else self.oldest_advertised
        return oldest, self.newest


VERSIONS: dict[int, Versions] = {
    # KAFKA-18659: librdkafka up to 2.8 takes a broker without Produce v0 for one that cannot
    # compress, so Kafka advertises versions that it then refuses, and so do we.
    PRODUCE: Versions(3, 13, 9, oldest_advertised=0),
    FETCH: Versions(4, 17, 12),  # 18 carries the replicas' high watermark (KIP-1166)
    LIST_OFFSETS: Versions(1, 11, 6),
    METADATA: Versions(0, 13, 9),
    8: Versions(2, 10, 8),  # OffsetCommit
    9: Versions(1, 10, 6),  # OffsetFetch
    10: Versions(0, 6, 3),  # FindCoordinator
    11: Versions(0, 9, 6),  # JoinGroup
    12: Versions(0, 4, 4),  # Heartbeat
    13: Versions(0, 5, 4),  # LeaveGroup
    14: Versions(0, 5, 4),  # SyncGroup
    15: Versions(0, 6, 5),  # DescribeGroups
    16: Versions(0, 5, 3),  # ListGroups
    API_VERSIONS: Versions(0, 4, 3),
    19: Versions(2, 7, 5),  # CreateTopics
    20: Versions(1, 6, 4),  # DeleteTopics
    21: Versions(0, 2, 2),  # DeleteRecords
    INIT_PRODUCER_ID: Versions(0, 5, 2),
    OFFSET_FOR_LEADER_EPOCH: Versions(2, 4, 4),
    32: Versions(1, 4, 4),  # DescribeConfigs
    33: Versions(0, 2, 2),  # AlterConfigs
    35: Versions(1, 5, 2),  # DescribeLogDirs
    37: Versions(0, 3, 2),  # CreatePartitions
    42: Versions(0, 2, 2),  # DeleteGroups
    43: Versions(0, 2, 2),  # ElectLeaders
    44: Versions(0, 1, 1),  # IncrementalAlterConfigs
    45: Versions(0, 1, 0),  # AlterPartitionReassignments
    46: Versions(0, 0, 0),  # ListPartitionReassignments
    47: Versions(0, 0, NEVER),  # OffsetDelete
    60: Versions(0, 2, 0),  # DescribeCluster
    61: Versions(0, 0, 0),  # DescribeProducers
    74: Versions(0, 1, 0),  # ListConfigResources
    DESCRIBE_TOPIC_PARTITIONS: Versions(0, 0, 0),
}
