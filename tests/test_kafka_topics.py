"""CreateTopics, DeleteTopics, CreatePartitions and DeleteRecords, in every version served."""

from __future__ import annotations

import uuid

import pytest
from kio.schema.errors import ErrorCode

from hubbub.log.batch import encode
from hubbub.model.errors import StorageError
from hubbub.model.settings import FOREVER, TopicSettings
from kafka_admin import NODE, TIMEOUT, Admin, part, versions

CREATE, DELETE, DELETE_RECORDS, ADD_PARTITIONS = 19, 20, 21, 37


def new(name="orders", partitions=-1, replicas=-1, assigned=(), **configs):
    return part(
        "CreatableTopic",
        name=name,
        num_partitions=partitions,
        replication_factor=replicas,
        assignments=[
            part("CreatableReplicaAssignment", partition_index=index, broker_ids=brokers)
            for index, brokers in assigned
        ],
        configs=[
            part("CreatableTopicConfig", name=name.replace("_", "."), value=value)
            for name, value in configs.items()
        ],
    )


def create(admin, *topics, version=7, validate_only=False):
    response = admin.ask(
        CREATE, version, topics=list(topics), timeout=TIMEOUT, validate_only=validate_only
    )
    return {topic.name: topic for topic in response.topics}


def create_one(admin, topic, **options):
    (result,) = create(admin, topic, **options).values()
    return result


def delete(admin, *names, version=6, ids=()):
    if version < 6:
        fields = {"topic_names": names}
    else:
        wanted = [(name, None) for name in names] + [(None, topic_id) for topic_id in ids]
        fields = {
            "topics": [
                part("DeleteTopicState", name=name, topic_id=topic_id) for name, topic_id in wanted
            ]
        }
    return admin.ask(DELETE, version, timeout=TIMEOUT, **fields).responses


def grow(admin, name, count, assigned=None, version=3, validate_only=False):
    assignments = assigned and [
        part("CreatePartitionsAssignment", broker_ids=brokers) for brokers in assigned
    ]
    wanted = part("CreatePartitionsTopic", name=name, count=count, assignments=assignments)
    response = admin.ask(
        ADD_PARTITIONS, version, topics=[wanted], timeout=TIMEOUT, validate_only=validate_only
    )
    return response.results[0]


def forget(admin, name, offset, partition=0, version=2):
    wanted = part(
        "DeleteRecordsTopic",
        name=name,
        partitions=[part("DeleteRecordsPartition", partition_index=partition, offset=offset)],
    )
    response = admin.ask(DELETE_RECORDS, version, topics=[wanted], timeout=TIMEOUT)
    return response.topics[0].partitions[0]


def fill(admin, name, count, settings=None):
    topic = admin.new_topic(name, settings=settings)
    for index in range(count):
        admin.broker.append(topic.partitions[0], encode([(index, b"key", b"v", ())]))
    admin.sync()
    return topic


@pytest.fixture
def admin():
    return Admin()


# Creating


@pytest.mark.parametrize("version", versions(CREATE))
def test_a_topic_is_created_in_every_version(admin, version):
    result = create_one(admin, new(partitions=3, retention_ms="-1"), version=version)
    topic = admin.topic("orders")
    assert (result.error_code, result.error_message) == (ErrorCode.none, None)
    assert len(topic.partitions) == 3
    assert topic.settings == TopicSettings(retention_ms=FOREVER)
    if version >= 5:
        assert (result.num_partitions, result.replication_factor) == (3, 1)
        told = {config.name: config for config in result.configs}
        assert (told["retention.ms"].value, told["retention.ms"].config_source) == ("-1", 1)
        assert (told["segment.ms"].config_source, told["segment.ms"].read_only) == (5, False)
        assert told["min.insync.replicas"].read_only
    if version >= 7:
        assert result.topic_id == topic.id


def test_what_the_creator_leaves_open_is_the_brokers_to_decide():
    admin = Admin(default_partitions=4)
    assert create_one(admin, new(partitions=-1, replicas=-1)).num_partitions == 4
    assert len(admin.topic("orders").partitions) == 4


def test_valid_topics_are_created_beside_invalid_ones(admin):
    results = create(admin, new("good"), new("bad name"), new("also-good", partitions=2))
    assert [results[name].error_code for name in ("good", "bad name", "also-good")] == [
        ErrorCode.none,
        ErrorCode.invalid_topic_exception,
        ErrorCode.none,
    ]
    assert results["bad name"].error_message.startswith("Topic name is invalid: 'bad name'")
    assert admin.topic("good")
    assert admin.topic("also-good")


@pytest.mark.parametrize("version", versions(CREATE))
@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (new(partitions=0), ErrorCode.invalid_partitions),
        (new(partitions=-2), ErrorCode.invalid_partitions),
        (new(partitions=10_001), ErrorCode.policy_violation),
        (new(replicas=0), ErrorCode.invalid_replication_factor),
        (new(replicas=3), ErrorCode.invalid_replication_factor),
        (new(""), ErrorCode.invalid_topic_exception),
        (new("a/b"), ErrorCode.invalid_topic_exception),
        (new("x" * 250), ErrorCode.invalid_topic_exception),
        (new("__consumer_offsets"), ErrorCode.topic_already_exists),
        (new("__hubbub_else"), ErrorCode.invalid_topic_exception),
        (new("__transaction_state"), ErrorCode.invalid_request),
        (new(retention_ms="soon"), ErrorCode.invalid_config),
        (new(retention_ms=None), ErrorCode.invalid_config),
        (new(no_such_config="1"), ErrorCode.invalid_config),
        (new(min_insync_replicas="2"), ErrorCode.invalid_config),
        (new(assigned=[(0, (2,))]), ErrorCode.invalid_replica_assignment),
        (new(assigned=[(0, ())]), ErrorCode.invalid_replica_assignment),
        (new(assigned=[(0, (1, 1))]), ErrorCode.invalid_replica_assignment),
        (new(assigned=[(1, (1,))]), ErrorCode.invalid_replica_assignment),
        (new(assigned=[(0, (1,)), (0, (1,))]), ErrorCode.invalid_replica_assignment),
        (new(assigned=[(0, (1,))], partitions=1), ErrorCode.invalid_request),
        (new(assigned=[(0, (1,))], replicas=1), ErrorCode.invalid_request),
    ],
)
def test_what_cannot_be_created_is_refused_with_kafkas_code(admin, version, topic, code):
    before = [topic.name for topic in admin.broker.topics]
    result = create_one(admin, topic, version=version)
    assert result.error_code == code
    assert result.error_message
    assert [topic.name for topic in admin.broker.topics] == before


def test_a_manual_assignment_to_this_node_is_followed(admin):
    node = (NODE.node_id,)
    result = create_one(admin, new(assigned=[(1, node), (0, node)]))
    assert (result.error_code, result.num_partitions) == (ErrorCode.none, 2)


def test_an_existing_topic_is_left_alone(admin):
    create(admin, new(partitions=2))
    result = create_one(admin, new(partitions=5))
    assert result.error_code == ErrorCode.topic_already_exists
    assert result.error_message == "Topic 'orders' already exists."
    assert len(admin.topic("orders").partitions) == 2


def test_a_name_given_twice_is_created_not_even_once(admin):
    results = create(admin, new("twice"), new("once"), new("twice"))
    assert results["twice"].error_code == ErrorCode.invalid_request
    assert results["once"].error_code == ErrorCode.none
    assert admin.topic("twice") is None


@pytest.mark.parametrize("version", versions(CREATE))
def test_validating_creates_nothing(admin, version):
    results = create(
        admin, new("fine"), new("bad", replicas=2), version=version, validate_only=True
    )
    assert results["fine"].error_code == ErrorCode.none
    assert results["bad"].error_code == ErrorCode.invalid_replication_factor
    assert admin.topic("fine") is None


def test_one_request_creates_only_so_many_partitions(admin):
    results = create(admin, *(new(f"t{index}", partitions=2_001) for index in range(5)))
    assert {result.error_code for result in results.values()} == {ErrorCode.policy_violation}


def test_the_answer_waits_until_the_topic_survives_power_loss(admin, monkeypatch):
    waiting = []
    monkeypatch.setattr(admin.broker.topics, "when_durable", waiting.append)
    fields = {"topics": [new(), new("a/b")], "timeout": TIMEOUT, "validate_only": False}
    answers = admin.send(CREATE, 7, fields)
    assert answers == []
    waiting.pop()(None)
    assert [topic.error_code for topic in answers[0].topics] == [
        ErrorCode.none,
        ErrorCode.invalid_topic_exception,
    ]


def test_a_topic_that_the_disk_refused_is_no_success(admin, monkeypatch):
    lost = StorageError("the disk is gone")
    monkeypatch.setattr(admin.broker.topics, "when_durable", lambda done: done(lost))
    results = create(admin, new(), new("a/b"))
    assert results["orders"].error_code == ErrorCode.kafka_storage_error
    assert results["a/b"].error_code == ErrorCode.invalid_topic_exception


@pytest.mark.parametrize(
    "configs",
    [
        # Kafka Connect's three topics, Kafka Streams' repartition and changelog topics.
        {"cleanup_policy": "compact"},
        {
            "cleanup_policy": "delete",
            "segment_bytes": "52428800",
            "retention_ms": "-1",
            "message_timestamp_type": "CreateTime",
        },
        {"cleanup_policy": "compact,delete", "retention_ms": "172800000"},
        # What web consoles fill in.
        {
            "cleanup_policy": "delete",
            "retention_bytes": "-1",
            "max_message_bytes": "1048588",
            "min_insync_replicas": "1",
        },
    ],
)
def test_the_topics_of_kafkas_own_tools_can_be_created(admin, configs):
    assert create_one(admin, new(replicas=1, **configs)).error_code == ErrorCode.none


# Deleting


@pytest.mark.parametrize("version", versions(DELETE))
def test_topics_are_deleted_by_name_in_every_version(admin, version):
    topic = admin.new_topic("orders")
    results = {r.name: r for r in delete(admin, "orders", "absent", version=version)}
    assert results["orders"].error_code == ErrorCode.none
    assert results["absent"].error_code == ErrorCode.unknown_topic_or_partition
    assert admin.topic("orders") is None
    if version >= 6:
        assert results["orders"].topic_id == topic.id


def test_topics_are_deleted_by_id(admin):
    topic = admin.new_topic("orders")
    unknown = uuid.uuid4()
    results = delete(admin, version=6, ids=[topic.id, unknown])
    assert [(r.name, r.topic_id, r.error_code) for r in results] == [
        ("orders", topic.id, ErrorCode.none),
        (None, unknown, ErrorCode.unknown_topic_id),
    ]
    assert admin.topic("orders") is None


@pytest.mark.parametrize("by_id", [False, True])
def test_a_topic_given_twice_is_not_deleted(admin, by_id):
    topic = admin.new_topic("orders")
    named = {"ids": [topic.id] * 2} if by_id else {}
    (result,) = delete(admin, *([] if by_id else ["orders"] * 2), version=6, **named)
    assert result.error_code == ErrorCode.invalid_request
    assert admin.topic("orders")


def test_a_topic_to_delete_has_either_a_name_or_an_id(admin):
    topic = admin.new_topic("orders")
    both = part("DeleteTopicState", name="orders", topic_id=topic.id)
    neither = part("DeleteTopicState", name=None, topic_id=None)
    response = admin.ask(DELETE, 6, topics=[both, neither], timeout=TIMEOUT)
    assert {r.error_code for r in response.responses} == {ErrorCode.invalid_request}
    assert admin.topic("orders")


def test_internal_topics_are_not_deleted(admin):
    (result,) = delete(admin, "__consumer_offsets")
    assert result.error_code == ErrorCode.invalid_topic_exception
    assert admin.topic("__consumer_offsets")


# More partitions


@pytest.mark.parametrize("version", versions(ADD_PARTITIONS))
def test_partitions_are_added_in_every_version(admin, version):
    admin.new_topic("orders", 2)
    result = grow(admin, "orders", 5, version=version)
    assert (result.name, result.error_code) == ("orders", ErrorCode.none)
    assert len(admin.topic("orders").partitions) == 5


@pytest.mark.parametrize(
    ("name", "count", "assigned", "code"),
    [
        ("orders", 2, None, ErrorCode.invalid_partitions),
        ("orders", 1, None, ErrorCode.invalid_partitions),
        ("orders", -1, None, ErrorCode.invalid_partitions),
        ("orders", 10_001, None, ErrorCode.policy_violation),
        ("orders", 4, [(1,)], ErrorCode.invalid_replica_assignment),
        ("orders", 3, [(7,)], ErrorCode.invalid_replica_assignment),
        ("absent", 3, None, ErrorCode.unknown_topic_or_partition),
        ("a/b", 3, None, ErrorCode.unknown_topic_or_partition),
        ("__consumer_offsets", 3000, None, ErrorCode.invalid_topic_exception),
    ],
)
def test_partitions_that_cannot_be_added_are_refused(admin, name, count, assigned, code):
    admin.new_topic("orders", 2)
    result = grow(admin, name, count, assigned)
    assert result.error_code == code
    assert result.error_message
    assert len(admin.topic("orders").partitions) == 2


def test_added_partitions_may_be_assigned_to_this_node(admin):
    admin.new_topic("orders", 2)
    assert grow(admin, "orders", 3, [(NODE.node_id,)]).error_code == ErrorCode.none


def test_validating_adds_no_partitions(admin):
    admin.new_topic("orders", 2)
    assert grow(admin, "orders", 3, validate_only=True).error_code == ErrorCode.none
    assert len(admin.topic("orders").partitions) == 2


def test_partitions_of_a_topic_given_twice_are_not_added(admin):
    admin.new_topic("orders")
    wanted = [
        part("CreatePartitionsTopic", name="orders", count=count, assignments=None)
        for count in (2, 3)
    ]
    response = admin.ask(ADD_PARTITIONS, 3, topics=wanted, timeout=TIMEOUT, validate_only=False)
    assert [r.error_code for r in response.results] == [ErrorCode.invalid_request]
    assert len(admin.topic("orders").partitions) == 1


# Deleting records


@pytest.mark.parametrize("version", versions(DELETE_RECORDS))
def test_records_before_an_offset_are_gone_in_every_version(admin, version):
    topic = fill(admin, "orders", 10)
    result = forget(admin, "orders", 4, version=version)
    assert (result.low_watermark, result.error_code) == (4, ErrorCode.none)
    assert topic.partitions[0].log.start_offset == 4


def test_minus_one_stands_for_the_high_watermark(admin):
    topic = fill(admin, "orders", 10)
    assert forget(admin, "orders", -1).low_watermark == 10
    assert topic.partitions[0].log.start_offset == 10


def test_what_is_gone_already_stays_gone(admin):
    fill(admin, "orders", 10)
    forget(admin, "orders", 6)
    assert forget(admin, "orders", 2).low_watermark == 6


@pytest.mark.parametrize(
    ("name", "partition", "offset", "code"),
    [
        ("orders", 0, 11, ErrorCode.offset_out_of_range),
        ("orders", 0, -2, ErrorCode.offset_out_of_range),
        ("orders", 1, 0, ErrorCode.unknown_topic_or_partition),
        ("orders", -1, 0, ErrorCode.unknown_topic_or_partition),
        ("absent", 0, 0, ErrorCode.unknown_topic_or_partition),
        ("latest", 0, 1, ErrorCode.policy_violation),
        ("__consumer_offsets", 0, 0, ErrorCode.invalid_topic_exception),
    ],
)
def test_records_that_cannot_be_deleted_stay(admin, name, partition, offset, code):
    topic = fill(admin, "orders", 10)
    fill(admin, "latest", 3, TopicSettings(compact=True, delete_old=False))
    result = forget(admin, name, offset, partition)
    assert (result.low_watermark, result.error_code) == (-1, code)
    assert topic.partitions[0].log.start_offset == 0
