"""DescribeCluster and DescribeLogDirs, and what a cluster of one broker says about replicas."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.protocols.kafka.lookup import find_partition, find_topic
from hubbub.protocols.kafka.mapping import to_kafka
from hubbub.protocols.kafka.operations import CLUSTER_OPERATIONS, NOT_ASKED_FOR
from hubbub.protocols.kafka.refusal import Refusal, attempt, outcome
from hubbub.protocols.kafka.replicas import check_replicas

if TYPE_CHECKING:
    from hubbub.broker.broker import Broker
    from hubbub.broker.topics import Topic
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

# Where bytes lie is the storage engine's business (a directory, memory, another cluster); clients
# only need one name for the one place.
LOG_DIR = "hubbub"


class _Endpoint(IntEnum):
    BROKERS = 1
    CONTROLLERS = 2


class _Election(IntEnum):
    PREFERRED = 0
    UNCLEAN = 1


# DescribeCluster


def describe_cluster(context: RequestContext, request: Any, reply: Reply) -> None:
    """The one broker."""
    endpoint = getattr(request, "endpoint_type", _Endpoint.BROKERS)  # since version 1 (KIP-919)
    refusal = attempt(_check_endpoint, endpoint)
    node = context.node
    broker = context.make(
        "DescribeClusterBroker",
        broker_id=node.node_id,
        host=node.host,
        port=node.port,
        is_fenced=False,
    )
    operations = NOT_ASKED_FOR
    if request.include_cluster_authorized_operations:
        operations = CLUSTER_OPERATIONS
    reply(
        context.make(
            "DescribeClusterResponse",
            endpoint_type=endpoint,
            cluster_id=context.broker.cluster_id,
            controller_id=node.node_id,
            brokers=() if refusal else (broker,),
            cluster_authorized_operations=operations,
            **outcome(refusal),
        )
    )


def _check_endpoint(endpoint: int) -> None:
    if endpoint == _Endpoint.CONTROLLERS:
        raise Refusal(
            ErrorCode.mismatched_endpoint_type,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type"
            " CONTROLLER",
        )
    if endpoint != _Endpoint.BROKERS:
        raise Refusal(ErrorCode.unsupported_endpoint_type, f"Unsupported endpoint type {endpoint}")


# DescribeLogDirs


def describe_log_dirs(context: RequestContext, request: Any, reply: Reply) -> None:
    """The bytes that each partition takes."""
    broker = context.broker
    wanted: dict[Topic, set[int] | None] = {}
    if request.topics is None:
        wanted |= dict.fromkeys(broker.topics)
    else:
        # What is not here is left out, as Kafka does.
        wanted |= {
            topic: set(wish.partitions)
            for wish in request.topics
            if not isinstance(topic := attempt(find_topic, broker, wish.topic), Refusal)
        }
    listed = (_log_dir_topic(context, topic, indexes) for topic, indexes in wanted.items())
    topics = tuple(topic for topic in listed if topic is not None)
    result = context.make(
        "DescribeLogDirsResult",
        error_code=ErrorCode.none,
        log_dir=LOG_DIR,
        topics=topics,
        is_cordoned=False,
    )
    reply(context.make("DescribeLogDirsResponse", error_code=ErrorCode.none, results=(result,)))


def _log_dir_topic(context: RequestContext, topic: Topic, indexes: set[int] | None) -> Any:
    """The bytes of all partitions or of those in ``indexes``; None where there is nothing to tell."""
    name = to_kafka(topic.name)
    partitions = tuple(
        context.make(
            "DescribeLogDirsPartition",
            partition_index=index,
            partition_size=size,
            offset_lag=0,
            is_future_key=False,
        )
        for index, size in sorted(context.broker.log.sizes(topic.number).items())
        if indexes is None or index in indexes
    )
    if name is None or not partitions:
        return None
    return context.make("DescribeLogDirsTopic", name=name, partitions=partitions)


# ElectLeaders


def elect_leaders(context: RequestContext, request: Any, reply: Reply) -> None:
    """No partition needs an election: its leader is its only replica."""
    election = getattr(request, "election_type", _Election.PREFERRED)  # since version 1 (KIP-460)
    known = election in set(_Election)
    # Asked about all partitions, Kafka tells only of those where it held one.
    wanted = () if request.topic_partitions is None or not known else request.topic_partitions
    results = tuple(
        context.make(
            "ReplicaElectionResult",
            topic=topic.topic,
            partition_result=tuple(
                context.make(
                    "PartitionResult",
                    partition_id=index,
                    **outcome(attempt(_refuse_election, context.broker, topic.topic, index)),
                )
                for index in topic.partitions
            ),
        )
        for topic in wanted
    )
    error = ErrorCode.none if known else ErrorCode.invalid_request
    reply(context.make("ElectLeadersResponse", error_code=error, replica_election_results=results))


def _refuse_election(broker: Broker, name: str, index: int) -> None:
    find_partition(find_topic(broker, name), index)
    raise Refusal(ErrorCode.election_not_needed, "Leader election not needed for topic partition.")


# AlterPartitionReassignments and ListPartitionReassignments


def alter_partition_reassignments(context: RequestContext, request: Any, reply: Reply) -> None:
    """A partition may be put where it is, and there is never a move to cancel."""
    responses = tuple(
        context.make(
            "ReassignableTopicResponse",
            name=topic.name,
            partitions=tuple(
                context.make(
                    "ReassignablePartitionResponse",
                    partition_index=partition.partition_index,
                    **outcome(attempt(_reassign, context, topic.name, partition)),
                )
                for partition in topic.partitions
            ),
        )
        for topic in request.topics
    )
    reply(
        context.make(
            "AlterPartitionReassignmentsResponse",
            # Since version 1 (KIP-860).
            allow_replication_factor_change=getattr(
                request, "allow_replication_factor_change", True
            ),
            responses=responses,
            **outcome(None),
        )
    )


def _reassign(context: RequestContext, name: str, partition: Any) -> None:
    find_partition(find_topic(context.broker, name), partition.partition_index)
    if partition.replicas is None:
        raise Refusal(
            ErrorCode.no_reassignment_in_progress, "No partition reassignment is in progress."
        )
    check_replicas(partition.replicas, context.node.node_id)


def list_partition_reassignments(context: RequestContext, request: Any, reply: Reply) -> None:  # noqa: ARG001 - a handler's shape; no partition ever moves
    """None, whatever is asked about."""
    reply(context.make("ListPartitionReassignmentsResponse", topics=(), **outcome(None)))


HANDLERS: dict[int, Handler] = {
    35: describe_log_dirs,
    43: elect_leaders,
    45: alter_partition_reassignments,
    46: list_partition_reassignments,
    60: describe_cluster,
}
