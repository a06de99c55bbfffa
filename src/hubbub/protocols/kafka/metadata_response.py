"""Metadata responses, encoded by hand: kio takes 6 ms over a hundred topics, once per client.

What the partitions of a topic look like depends on their number alone, since they are all on the
one broker; so their bytes are made once for each number.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from hubbub.protocols.kafka.leader_epochs import LEADER_EPOCH
from hubbub.protocols.kafka.primitives import INT16, INT32, length, string, tags, topic_id
from hubbub.protocols.kafka.versions import METADATA, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from hubbub.protocols.kafka.context import Node

_FIRST_WITH_CONTROLLER = 1
_FIRST_WITH_CLUSTER_ID = 2
_FIRST_WITH_THROTTLE = 3
_FIRST_WITH_OFFLINE_REPLICAS = 5
_FIRST_WITH_LEADER_EPOCH = 7
_WITH_CLUSTER_OPERATIONS = range(8, 11)  # DescribeCluster has taken them over
_FIRST_WITH_TOPIC_OPERATIONS = 8
_FIRST_WITH_TOPIC_IDS = 10
_FIRST_WITH_NULL_NAMES = 12
_FIRST_WITH_ERROR = 13

_UNTHROTTLED = INT32.pack(0)
_NO_ERROR = INT16.pack(0)

# An entry of ten thousand partitions takes 300 kB; topics have few different numbers of them.
_CACHED_NUMBERS = 128


class TopicMetadata(NamedTuple):
    """One topic of the response; ``partitions`` is how many it has."""

    error: int
    name: str | None
    topic_id: UUID | None
    is_internal: bool
    partitions: int


class ClusterMetadata(NamedTuple):
    """The response. The operations are bit sets, of what the client may do."""

    node: Node
    cluster_id: str
    topics: Sequence[TopicMetadata]
    cluster_operations: int
    topic_operations: int


def encode_metadata(version: int, cluster: ClusterMetadata) -> bytes:
    """The body of a Metadata response."""
    flexible = version >= VERSIONS[METADATA].flexible
    end = tags(flexible=flexible)
    body = bytearray(_UNTHROTTLED if version >= _FIRST_WITH_THROTTLE else b"")
    body += _brokers(version, cluster.node)
    if version >= _FIRST_WITH_CLUSTER_ID:
        body += string(cluster.cluster_id, flexible=flexible)
    if version >= _FIRST_WITH_CONTROLLER:
        body += INT32.pack(cluster.node.node_id)
    body += length(len(cluster.topics), flexible=flexible)
    operations = INT32.pack(cluster.topic_operations)
    for topic in cluster.topics:
        body += _topic_head(version, topic)
        body += _partitions(version, cluster.node.node_id, topic.partitions)
        if version >= _FIRST_WITH_TOPIC_OPERATIONS:
            body += operations
        body += end
    if version in _WITH_CLUSTER_OPERATIONS:
        body += INT32.pack(cluster.cluster_operations)
    if version >= _FIRST_WITH_ERROR:
        body += _NO_ERROR
    return bytes(body + end)


def _brokers(version: int, node: Node) -> bytes:
    flexible = version >= VERSIONS[METADATA].flexible
    return b"".join(
        (
            length(1, flexible=flexible),
            INT32.pack(node.node_id),
            string(node.host, flexible=flexible),
            INT32.pack(node.port),
            string(None, flexible=flexible) if version >= 1 else b"",  # its rack
            tags(flexible=flexible),
        )
    )


def _topic_head(version: int, topic: TopicMetadata) -> bytes:
    name = topic.name
    if name is None and version < _FIRST_WITH_NULL_NAMES:
        name = ""
    head = INT16.pack(topic.error) + string(name, flexible=version >= VERSIONS[METADATA].flexible)
    if version >= _FIRST_WITH_TOPIC_IDS:
        head += topic_id(topic.topic_id)
    if version >= 1:
        head += b"\x01" if topic.is_internal else b"\x00"
    return head


@functools.lru_cache(maxsize=_CACHED_NUMBERS)
def _partitions(version: int, node_id: int, count: int) -> bytes:
    flexible = version >= VERSIONS[METADATA].flexible
    here = length(1, flexible=flexible) + INT32.pack(node_id)  # replicas, and those in sync
    body = bytearray(length(count, flexible=flexible))
    for index in range(count):
        body += _NO_ERROR + INT32.pack(index) + INT32.pack(node_id)
        if version >= _FIRST_WITH_LEADER_EPOCH:
            body += INT32.pack(LEADER_EPOCH)
        body += here + here
        if version >= _FIRST_WITH_OFFLINE_REPLICAS:
            body += length(0, flexible=flexible)
        body += tags(flexible=flexible)
    return bytes(body)
