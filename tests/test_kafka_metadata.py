"""Metadata and DescribeTopicPartitions: the catalogue as Kafka's clients see it."""

from __future__ import annotations

import uuid

import pytest
from kio.schema.errors import ErrorCode

from held_log import HeldLog
from hubbub.model.address import parse_address
from hubbub.protocols.kafka import metadata as kafka_metadata
from hubbub.protocols.kafka.operations import CLUSTER_OPERATIONS, TOPIC_OPERATIONS
from hubbub.protocols.kafka.versions import DESCRIBE_TOPIC_PARTITIONS, METADATA
from kafka_admin import part
from kafka_wire import PEER, Wire, versions

NOT_ASKED_FOR = -(2**31)
CONSUMER_OFFSETS = "__consumer_offsets"


@pytest.fixture
def wire():
    wire = Wire(default_partitions=2)
    wire.topic("orders", 3)
    wire.topic("a b")
    return wire


def ask(wire: Wire, version=12, *, topics, create=False, **more):
    request = {
        "topics": topics,
        "allow_auto_topic_creation": create,
        "include_cluster_authorized_operations": False,
        "include_topic_authorized_operations": False,
        **more,
    }
    return wire.ask(METADATA, version, **request)


def named(*names, topic_id=None):
    return [part("MetadataRequestTopic", name=name, topic_id=topic_id) for name in names]


def described(response) -> dict:
    return {topic.name: topic for topic in response.topics}


@pytest.mark.parametrize("version", versions(METADATA))
def test_the_cluster_and_its_topics_are_described_in_every_version(version):
    wire = Wire(auto_create=False)  # which the versions before 4 cannot ask to be left out
    wire.topic("orders", 3)
    response = ask(wire, version, topics=named("orders", "nope"))
    (broker,) = response.brokers
    assert (broker.node_id, broker.host, broker.port) == (1, *PEER.local)
    assert getattr(broker, "rack", None) is None
    assert getattr(response, "cluster_id", wire.broker.cluster_id) == wire.broker.cluster_id
    assert getattr(response, "controller_id", 1) == 1
    assert getattr(response, "cluster_authorized_operations", NOT_ASKED_FOR) == NOT_ASKED_FOR
    topics = described(response)
    orders = topics["orders"]
    assert orders.error_code is ErrorCode.none
    assert getattr(orders, "is_internal", False) is False
    topic_id = wire.broker.topics.get("orders").id
    assert getattr(orders, "topic_id", topic_id) == topic_id
    assert [partition.partition_index for partition in orders.partitions] == [0, 1, 2]
    for partition in orders.partitions:
        assert partition.error_code is ErrorCode.none
        assert (partition.leader_id, getattr(partition, "leader_epoch", 0)) == (1, 0)
        assert (partition.replica_nodes, partition.isr_nodes) == ((1,), (1,))
        assert getattr(partition, "offline_replicas", ()) == ()
    missing = topics["nope"]
    assert missing.error_code is ErrorCode.unknown_topic_or_partition
    assert missing.partitions == ()
    assert getattr(missing, "topic_id", None) is None


@pytest.mark.parametrize(("version", "everything"), [(0, ()), (1, None), (9, None), (13, None)])
def test_all_topics_come_in_the_order_of_their_names(wire, version, everything):
    response = ask(wire, version, topics=everything)
    assert [topic.name for topic in response.topics] == [CONSUMER_OFFSETS, "a_x20b", "orders"]
    internal = [getattr(topic, "is_internal", None) for topic in response.topics]
    assert internal == ([None] * 3 if version == 0 else [True, False, False])


def test_from_version_1_on_no_topics_means_none(wire):
    assert ask(wire, 1, topics=()).topics == ()


def test_an_escaped_name_finds_its_address(wire):
    topics = described(ask(wire, topics=named("a_x20b")))
    assert topics["a_x20b"].topic_id == wire.broker.topics.get("a b").id


def test_a_topic_asked_for_twice_comes_once(wire):
    assert len(ask(wire, topics=named("orders", "orders")).topics) == 1


# By id


@pytest.mark.parametrize("version", [12, 13])
def test_topics_are_found_by_id(wire, version):
    topic_id, unknown = wire.broker.topics.get("orders").id, uuid.uuid4()
    wanted = [*named(None, topic_id=topic_id), *named(None, topic_id=unknown)]
    found, missing = ask(wire, version, topics=wanted).topics
    assert (found.name, found.topic_id) == ("orders", topic_id)
    assert (missing.error_code, missing.name) == (ErrorCode.unknown_topic_id, None)
    assert missing.topic_id == unknown


@pytest.mark.parametrize("version", [10, 11])
def test_versions_that_cannot_search_by_id_refuse_to(wire, version):
    wanted = named("orders", topic_id=uuid.uuid4())
    (topic,) = ask(wire, version, topics=wanted).topics
    assert topic.error_code is ErrorCode.invalid_request


# Creation


def test_a_client_that_asks_for_a_topic_may_make_it(wire):
    (topic,) = ask(wire, topics=named("new"), create=True).topics
    assert (topic.error_code, len(topic.partitions)) == (ErrorCode.none, 2)
    assert topic.topic_id == wire.broker.topics.get("new").id


def test_versions_before_4_always_ask_for_creation(wire):
    (topic,) = ask(wire, 3, topics=named("new")).topics
    assert topic.error_code is ErrorCode.none


def test_nothing_is_made_unless_both_sides_want_it(wire):
    assert ask(wire, topics=named("new")).topics[0].error_code == 3
    closed = Wire(auto_create=False)
    assert ask(closed, topics=named("new"), create=True).topics[0].error_code == 3
    assert closed.broker.topics.get("new") is None
    assert wire.broker.topics.get("new") is None


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("name", ["a/b", "", "..", "a" * 250, "_xFF", "__hubbub_state"])
def test_names_that_kafka_does_not_allow_are_invalid(wire, name, create):
    (topic,) = ask(wire, topics=named(name), create=create).topics
    assert (topic.error_code, topic.name) == (ErrorCode.invalid_topic_exception, name)


def test_internal_topics_are_not_made_by_asking_for_them(wire):
    (topic,) = ask(wire, topics=named("__transaction_state"), create=True).topics
    assert topic.error_code is ErrorCode.unknown_topic_or_partition


def test_a_made_topic_is_described_once_it_is_durable():
    log = HeldLog()
    wire = Wire(log=log)
    log.sync()
    request = {"topics": named("new"), "include_topic_authorized_operations": False}
    wire.send(METADATA, 12, **request)
    assert wire.responses() == []
    log.sync()
    ((_, response),) = wire.responses()
    assert response.topics[0].error_code is ErrorCode.none


def test_a_topic_that_did_not_become_durable_is_not_described_as_made():
    log = HeldLog()
    wire = Wire(log=log)
    wire.topic("old")
    log.sync()
    request = {"topics": named("old", "new"), "include_topic_authorized_operations": False}
    wire.send(METADATA, 12, **request)
    for partition in log.partitions.values():
        partition.fail(OSError("disk on fire"))
    ((_, response),) = wire.responses()
    topics = described(response)
    assert topics["old"].error_code is ErrorCode.none
    assert topics["new"].error_code is ErrorCode.unknown_server_error
    assert topics["new"].partitions == ()


def test_one_request_makes_a_bounded_number_of_topics(wire, monkeypatch):
    monkeypatch.setattr(kafka_metadata, "MAX_CREATED_PER_REQUEST", 2)
    topics = ask(wire, topics=named("n1", "n2", "n3"), create=True).topics
    assert [topic.error_code for topic in topics] == [0, 0, 3]


# Who may see what


class Deny:
    def __init__(self, *addresses):
        self.addresses = addresses

    def may(self, principal, action, target):
        return target not in self.addresses


def test_topics_that_a_client_may_neither_read_nor_write_are_not_listed():
    wire = Wire(access=Deny("secret"))
    wire.topic("secret")
    wire.topic("open")
    assert "secret" not in described(ask(wire, topics=None))
    (by_name,) = ask(wire, topics=named("secret")).topics
    assert by_name.error_code is ErrorCode.topic_authorization_failed
    topic_id = wire.broker.topics.get("secret").id
    (by_id,) = ask(wire, topics=named(None, topic_id=topic_id)).topics
    assert by_id.error_code is ErrorCode.unknown_topic_id


@pytest.mark.parametrize("version", [8, 9, 10])
def test_operations_are_told_to_who_asks(wire, version):
    asked = {
        "include_cluster_authorized_operations": True,
        "include_topic_authorized_operations": True,
    }
    response = ask(wire, version, topics=named("orders"), **asked)
    assert response.cluster_authorized_operations == CLUSTER_OPERATIONS
    assert response.topics[0].topic_authorized_operations == TOPIC_OPERATIONS


# DescribeTopicPartitions


def describe(wire: Wire, *names, limit=2000, cursor=None):
    response = wire.ask(
        DESCRIBE_TOPIC_PARTITIONS,
        0,
        topics=[part("TopicRequest", name=name) for name in names],
        response_partition_limit=limit,
        cursor=part("Cursor", topic_name=cursor[0], partition_index=cursor[1]) if cursor else None,
    )
    page = [
        (topic.name, topic.error_code, [one.partition_index for one in topic.partitions])
        for topic in response.topics
    ]
    following = response.next_cursor
    return page, following and (following.topic_name, following.partition_index)


def test_all_topics_are_described_by_name(wire):
    page, following = describe(wire)
    assert page == [(CONSUMER_OFFSETS, 0, [0]), ("a_x20b", 0, [0]), ("orders", 0, [0, 1, 2])]
    assert following is None


def test_named_topics_are_described_and_others_unknown(wire):
    page, following = describe(wire, "orders", "nope", "a/b")
    assert page == [("a/b", 3, []), ("nope", 3, []), ("orders", 0, [0, 1, 2])]
    assert following is None


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_follow_each_other_without_gap_or_overlap(wire, limit):
    seen, cursor = [], None
    while True:
        page, cursor = describe(wire, limit=limit, cursor=cursor)
        indexes = [(name, index) for name, _, several in page for index in several]
        assert 1 <= len(indexes) <= limit
        seen += indexes
        if cursor is None:
            break
    every = [(CONSUMER_OFFSETS, 0), ("a_x20b", 0), *(("orders", index) for index in range(3))]
    assert seen == every


def test_a_cursor_beyond_the_end_describes_nothing_more(wire):
    assert describe(wire, cursor=("zzz", 0)) == ([], None)
    assert describe(wire, cursor=("orders", 99)) == ([("orders", 0, [])], None)


def test_addresses_without_a_kafka_name_are_not_shown(wire):
    wire.broker.create_topic(parse_address("ä" * 50))
    assert len(describe(wire)[0]) == len(ask(wire, topics=None).topics) == 3
