"""What a cluster of one broker says of itself, in every version served."""

from __future__ import annotations

import pytest
from kio.schema.errors import ErrorCode

from hubbub.log.batch import encode
from kafka_admin import NODE, TIMEOUT, Admin, part, versions

LOG_DIRS, ELECT, REASSIGN, LIST_REASSIGNMENTS, CLUSTER = 35, 43, 45, 46, 60


@pytest.fixture
def admin():
    admin = Admin()
    admin.new_topic("orders", 2)
    return admin


@pytest.mark.parametrize("version", versions(CLUSTER))
def test_the_cluster_is_this_broker_in_every_version(admin, version):
    response = admin.ask(
        CLUSTER,
        version,
        include_cluster_authorized_operations=False,
        endpoint_type=1,
        include_fenced_brokers=False,
    )
    assert response.error_code == ErrorCode.none
    assert response.cluster_id == admin.broker.cluster_id
    assert response.controller_id == NODE.node_id
    (broker,) = response.brokers
    assert (broker.broker_id, broker.host, broker.port) == NODE
    assert response.cluster_authorized_operations == -(2**31)


def test_authorised_operations_are_told_when_asked_for(admin):
    response = admin.ask(
        CLUSTER,
        2,
        include_cluster_authorized_operations=True,
        endpoint_type=1,
        include_fenced_brokers=True,
    )
    create, describe = 1 << 5, 1 << 8
    assert response.cluster_authorized_operations & create
    assert response.cluster_authorized_operations & describe
    assert not response.brokers[0].is_fenced


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [(2, ErrorCode.mismatched_endpoint_type), (9, ErrorCode.unsupported_endpoint_type)],
)
def test_controllers_have_no_endpoint_here(admin, endpoint, code):
    response = admin.ask(
        CLUSTER,
        1,
        include_cluster_authorized_operations=False,
        endpoint_type=endpoint,
    )
    assert (response.error_code, response.brokers) == (code, ())


@pytest.mark.parametrize("version", versions(LOG_DIRS))
def test_log_directories_tell_the_bytes_of_each_partition(admin, version):
    topic = admin.topic("orders")
    admin.broker.append(topic.partitions[1], encode([(0, None, b"x" * 1000, ())]))
    admin.sync()
    response = admin.ask(LOG_DIRS, version, topics=None)
    (directory,) = response.results
    assert directory.error_code == ErrorCode.none
    sizes = {
        each.name: {p.partition_index: p.partition_size for p in each.partitions}
        for each in directory.topics
    }
    assert set(sizes["orders"]) == {0, 1}
    assert sizes["orders"][0] == 0
    assert sizes["orders"][1] > 1000


def test_log_directories_are_told_for_what_is_asked(admin):
    wanted = [
        part("DescribableLogDirTopic", topic="orders", partitions=(1, 7)),
        part("DescribableLogDirTopic", topic="absent", partitions=(0,)),
    ]
    (directory,) = admin.ask(LOG_DIRS, 4, topics=wanted).results
    assert [
        (each.name, [p.partition_index for p in each.partitions]) for each in directory.topics
    ] == [("orders", [1])]


def test_a_topic_that_kafka_has_no_name_for_is_left_out(admin):
    admin.new_topic("x" * 300)
    (directory,) = admin.ask(LOG_DIRS, 4, topics=None).results
    assert "orders" in {each.name for each in directory.topics}
    assert all(len(each.name) < 250 for each in directory.topics)


def elect(admin, version, wanted, election=0):
    return admin.ask(
        ELECT,
        version,
        election_type=election,
        topic_partitions=wanted,
        timeout=TIMEOUT,
    )


@pytest.mark.parametrize("version", versions(ELECT))
def test_no_leader_needs_to_be_elected(admin, version):
    wanted = [
        part("TopicPartitions", topic="orders", partitions=(0, 5)),
        part("TopicPartitions", topic="absent", partitions=(0,)),
    ]
    response = elect(admin, version, wanted)
    assert [
        (topic.topic, [p.error_code for p in topic.partition_result])
        for topic in response.replica_election_results
    ] == [
        ("orders", [ErrorCode.election_not_needed, ErrorCode.unknown_topic_or_partition]),
        ("absent", [ErrorCode.unknown_topic_or_partition]),
    ]


@pytest.mark.parametrize("version", versions(ELECT))
def test_an_election_for_all_partitions_is_held_for_none(admin, version):
    assert elect(admin, version, None).replica_election_results == ()


def test_an_unknown_kind_of_election_is_refused(admin):
    wanted = [part("TopicPartitions", topic="orders", partitions=(0,))]
    assert elect(admin, 2, wanted, election=9).error_code == ErrorCode.invalid_request


@pytest.mark.parametrize("version", versions(REASSIGN))
@pytest.mark.parametrize(
    ("topic", "partition", "replicas", "code"),
    [
        ("orders", 0, (NODE.node_id,), ErrorCode.none),
        ("orders", 0, None, ErrorCode.no_reassignment_in_progress),
        ("orders", 0, (2,), ErrorCode.invalid_replica_assignment),
        ("orders", 0, (NODE.node_id, 2), ErrorCode.invalid_replica_assignment),
        ("orders", 0, (), ErrorCode.invalid_replica_assignment),
        ("orders", 9, (NODE.node_id,), ErrorCode.unknown_topic_or_partition),
        ("absent", 0, (NODE.node_id,), ErrorCode.unknown_topic_or_partition),
    ],
)
def test_a_partition_can_only_be_where_it_is(admin, version, topic, partition, replicas, code):
    move = part("ReassignablePartition", partition_index=partition, replicas=replicas)
    response = admin.ask(
        REASSIGN,
        version,
        timeout=TIMEOUT,
        topics=[part("ReassignableTopic", name=topic, partitions=[move])],
        allow_replication_factor_change=False,
    )
    assert response.error_code == ErrorCode.none
    assert response.responses[0].partitions[0].error_code == code
    if version >= 1:
        assert response.allow_replication_factor_change is False


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        [part("ListPartitionReassignmentsTopics", name="orders", partition_indexes=(0,))],
    ],
)
def test_no_reassignment_is_ever_under_way(admin, wanted):
    response = admin.ask(LIST_REASSIGNMENTS, 0, timeout=TIMEOUT, topics=wanted)
    assert (response.error_code, response.topics) == (ErrorCode.none, ())
