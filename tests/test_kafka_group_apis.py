"""The group and offset requests of Kafka's clients, in every version."""

from __future__ import annotations

import io
import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest
from kio.schema.errors import ErrorCode
from kio.serial import entity_reader as kio_reader
from kio.serial import entity_writer

from group_room import GATHER, Room
from hubbub.broker.group_errors import GroupError
from hubbub.broker.offset_records import Committed
from hubbub.broker.partition import Partition
from hubbub.broker.topics import Topic, TopicEntry
from hubbub.model.settings import TopicSettings
from hubbub.protocols.kafka import groups, offsets
from hubbub.protocols.kafka.context import Connection, Node, RequestContext
from hubbub.protocols.kafka.groups import error_code
from hubbub.protocols.kafka.reader import MalformedRequestError, entity_reader
from hubbub.protocols.kafka.schema import make, module_of, request_type
from hubbub.protocols.kafka.versions import VERSIONS

HANDLERS = groups.HANDLERS | offsets.HANDLERS
COMMIT, FETCH, FIND, JOIN, HEARTBEAT, LEAVE, SYNC, DESCRIBE, LIST = range(8, 17)
DELETE, DELETE_OFFSETS = 42, 47
FOREVER = timedelta(milliseconds=-1)


def versions(key):
    return range(VERSIONS[key].oldest, VERSIONS[key].newest + 1)


def each(key):
    return pytest.mark.parametrize("version", versions(key))


class Topics:
    """Topics by name and id, as the catalogue has them."""

    def __init__(self):
        self.named = {}

    def add(self, name, partitions=2):
        topic = Topic(name, TopicEntry(1, uuid.uuid4(), partitions, TopicSettings(), 0))
        topic.partitions = [Partition(topic, index, None) for index in range(partitions)]
        self.named[name] = topic
        return topic

    def get(self, name):
        return self.named.get(name)

    def by_id(self, topic_id):
        return next((topic for topic in self.named.values() if topic.id == topic_id), None)


class Kafka:
    """One client's way to the handlers: every request and response crosses the wire's bytes."""

    def __init__(self):
        self.room = Room()
        self.topics = Topics()
        self.denied = set()
        broker = SimpleNamespace(
            timers=self.room.timers,
            groups=self.room.groups,
            offsets=self.room.offsets,
            topics=self.topics,
            may=lambda principal, action, target: target not in self.denied,
        )
        node = Node(1, "broker.example", 9092)
        self.connection = Connection(broker, {}, node, "10.0.0.1", HANDLERS, lambda: None)

    def send(self, key, version, /, **fields):
        """The list that the response will come in, and the request's nested entities' maker."""
        kind = request_type(key, version)
        request = make(module_of(kind), kind.__name__, **fields)
        buffer = io.BytesIO()
        entity_writer(kind)(buffer, request)
        decoded, end = entity_reader(kind)(buffer.getvalue(), 0)
        assert (decoded, end) == (request, len(buffer.getvalue()))
        responses = []
        context = RequestContext(self.connection, key, version, "client")
        HANDLERS[key](context, decoded, lambda response: responses.append(over_the_wire(response)))
        return responses

    def ask(self, key, version, /, **fields):
        (response,) = self.send(key, version, **fields)
        return response

    def nested(self, key, version, entity, /, **fields):
        return make(module_of(request_type(key, version)), entity, **fields)

    def join(self, version=9, member_id="", protocols=(("range", b"r"),), **fields):
        """Send a join, and again with the member id if one was handed out."""
        entities = tuple(
            self.nested(JOIN, version, "JoinGroupRequestProtocol", name=name, metadata=metadata)
            for name, metadata in protocols
        )
        request = {
            "group_id": "g",
            "session_timeout": timedelta(seconds=10),
            "rebalance_timeout": timedelta(seconds=60),
            "protocol_type": "consumer",
            "protocols": entities,
        } | fields
        responses = self.send(JOIN, version, member_id=member_id, **request)
        if responses and responses[0].error_code is ErrorCode.member_id_required:
            responses = self.send(JOIN, version, member_id=responses[0].member_id, **request)
        return responses

    def member(self, version=9, **fields):
        """A member of a stable group of one."""
        responses = self.join(version, **fields)
        self.room.wait(GATHER)
        joined = responses[-1]
        self.sync(joined, {joined.member_id: b"share"}, group_id=fields.get("group_id", "g"))
        return joined

    def sync(self, joined, shares, version=5, **fields):
        assignments = tuple(
            self.nested(
                SYNC, version, "SyncGroupRequestAssignment", member_id=member_id, assignment=share
            )
            for member_id, share in shares.items()
        )
        request = {
            "group_id": "g",
            "generation_id": joined.generation_id,
            "member_id": joined.member_id,
            "assignments": assignments,
        } | fields
        return self.send(SYNC, version, **request)

    def commit(self, version=9, group="g", generation=-1, member_id="", instance=None, **topics):
        """Commit ``topics``: name -> [(partition, offset, metadata), ...]."""
        return self.ask(
            COMMIT,
            version,
            group_id=group,
            generation_id_or_member_epoch=generation,
            member_id=member_id,
            group_instance_id=instance,
            retention_time=FOREVER,
            topics=self.commit_topics(version, topics),
        )

    def commit_topics(self, version, topics):
        return tuple(
            self.nested(
                COMMIT,
                version,
                "OffsetCommitRequestTopic",
                name=name,
                topic_id=self.id_of(name),
                partitions=tuple(
                    self.nested(
                        COMMIT,
                        version,
                        "OffsetCommitRequestPartition",
                        partition_index=index,
                        committed_offset=offset,
                        committed_leader_epoch=4,
                        committed_metadata=metadata,
                    )
                    for index, offset, metadata in partitions
                ),
            )
            for name, partitions in topics.items()
        )

    def id_of(self, name):
        topic = self.topics.get(name)
        return topic.id if topic else uuid.UUID(int=99)

    def fetch(self, version, topics, group="g"):
        """The topics of one group's answer; ``topics`` is name -> indexes, or None for all."""
        plural = "s" if version >= 8 else ""
        wanted = topics and tuple(
            self.nested(
                FETCH,
                version,
                f"OffsetFetchRequestTopic{plural}",
                name=name,
                topic_id=self.id_of(name),
                partition_indexes=tuple(indexes),
            )
            for name, indexes in topics.items()
        )
        if version < 8:
            response = self.ask(FETCH, version, group_id=group, topics=wanted)
            assert getattr(response, "error_code", ErrorCode.none) is ErrorCode.none
            return response.topics
        asked = self.nested(
            FETCH, version, "OffsetFetchRequestGroup", group_id=group, topics=wanted
        )
        (answer,) = self.ask(FETCH, version, groups=(asked,)).groups
        assert (answer.group_id, answer.error_code) == (group, ErrorCode.none)
        return answer.topics


def over_the_wire(response):
    """The response as a client reads it."""
    buffer = io.BytesIO()
    entity_writer(type(response))(buffer, response)
    decoded, end = kio_reader(type(response))(buffer.getvalue(), 0)
    assert end == len(buffer.getvalue())
    return decoded


def codes(topics):
    return [partition.error_code.name for topic in topics for partition in topic.partitions]


@pytest.fixture
def kafka():
    return Kafka()


def test_every_error_has_kafka_s_code():
    assert {error: error_code(error).name for error in GroupError} == {
        error: error.name.lower() for error in GroupError
    }
    assert error_code(None) is ErrorCode.none


def test_every_api_is_served():
    assert sorted(HANDLERS) == [8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47]


# FindCoordinator


@each(FIND)
def test_this_broker_coordinates_groups_and_transactions_and_nothing_else(kafka, version):
    for kind, found in ((0, True), (1, True), (2, False), (9, False)):
        if version == 0 and kind:
            continue
        response = kafka.ask(FIND, version, key="g", key_type=kind, coordinator_keys=("g", "h"))
        answers = response.coordinators if version >= 4 else [response]
        assert [one.key for one in answers if version >= 4] == ["g", "h"][: 2 * (version >= 4)]
        for one in answers:
            where = (one.error_code, one.node_id, one.host, one.port)
            if found:
                assert where == (ErrorCode.none, 1, "broker.example", 9092)
            else:
                assert where == (ErrorCode.invalid_request, -1, "", -1)


# JoinGroup, SyncGroup, Heartbeat, LeaveGroup


@each(JOIN)
def test_two_members_join(kafka, version):
    first, second = kafka.join(version), kafka.join(version)
    kafka.room.wait(GATHER)
    (leader,), (follower,) = first, second
    assert leader.error_code is follower.error_code is ErrorCode.none
    assert leader.leader == follower.leader == leader.member_id
    assert leader.protocol_name == "range"
    assert [member.metadata for member in leader.members] == [b"r", b"r"]
    assert follower.members == ()
    if version >= 7:
        assert leader.protocol_type == "consumer"


@each(JOIN)
def test_a_refused_join_has_every_field(kafka, version):
    (response,) = kafka.join(version, session_timeout=timedelta(seconds=1))
    assert response.error_code is ErrorCode.invalid_session_timeout
    assert response.generation_id == -1
    assert response.protocol_name == (None if version >= 7 else "")
    (response,) = kafka.join(version, group_id="")
    assert response.error_code is ErrorCode.invalid_group_id


@pytest.mark.parametrize("version", [v for v in versions(JOIN) if v >= 4])
def test_a_member_id_is_handed_out_first(kafka, version):
    first = kafka.nested(JOIN, version, "JoinGroupRequestProtocol", name="range", metadata=b"")
    response = kafka.ask(
        JOIN,
        version,
        group_id="g",
        session_timeout=timedelta(seconds=10),
        rebalance_timeout=timedelta(seconds=60),
        member_id="",
        protocol_type="consumer",
        protocols=(first,),
    )
    assert response.error_code is ErrorCode.member_id_required
    assert response.member_id.startswith("client-")


def test_version_0_waits_for_a_rebalance_no_longer_than_for_a_session(kafka):
    (joined,) = [kafka.member(version=0)]
    kafka.join(0)
    kafka.room.wait(11)
    assert (
        kafka.room.groups.heartbeat(
            SimpleNamespace(
                group_id="g", member_id=joined.member_id, instance_id=None, generation=1
            )
        )
        is GroupError.UNKNOWN_MEMBER_ID
    )


@pytest.mark.parametrize(("version", "skips"), [(5, False), (8, False), (9, True)])
def test_a_restarted_static_leader_skips_its_assignment_only_where_it_can_be_told(
    kafka, version, skips
):
    old = kafka.member(version, group_instance_id="a")
    (new,) = kafka.join(version, group_instance_id="a")
    assert new.error_code is ErrorCode.none
    assert getattr(new, "skip_assignment", False) is skips
    assert new.leader == (new.member_id if skips else old.member_id)
    assert len(new.members) == (1 if skips else 0)


@each(SYNC)
def test_everyone_gets_a_share(kafka, version):
    first, second = kafka.join(), kafka.join()
    kafka.room.wait(GATHER)
    (leader,), (follower,) = first, second
    waiting = kafka.sync(follower, {}, version)
    assert waiting == []
    shares = {leader.member_id: b"mine", follower.member_id: b"yours"}
    (answer,) = kafka.sync(leader, shares, version)
    assert (answer.error_code, answer.assignment) == (ErrorCode.none, b"mine")
    assert waiting[0].assignment == b"yours"
    if version >= 5:
        assert (answer.protocol_type, answer.protocol_name) == ("consumer", "range")


@each(SYNC)
def test_a_refused_sync_has_every_field(kafka, version):
    joined = kafka.member()
    (answer,) = kafka.sync(joined, {}, version, generation_id=9)
    assert (answer.error_code, answer.assignment) == (ErrorCode.illegal_generation, b"")


def test_a_sync_names_the_protocol_that_it_takes_to_be_in_use(kafka):
    joined = kafka.member()
    (answer,) = kafka.sync(joined, {}, protocol_type="connect")
    assert answer.error_code is ErrorCode.inconsistent_group_protocol
    (answer,) = kafka.sync(joined, {}, protocol_type="consumer", protocol_name="range")
    assert answer.error_code is ErrorCode.none


@each(HEARTBEAT)
def test_heartbeats(kafka, version):
    joined = kafka.member()

    def heartbeat(**fields):
        request = {"group_id": "g", "generation_id": 1, "member_id": joined.member_id} | fields
        return kafka.ask(HEARTBEAT, version, **request).error_code

    assert heartbeat() is ErrorCode.none
    assert heartbeat(generation_id=2) is ErrorCode.illegal_generation
    assert heartbeat(member_id="x") is ErrorCode.unknown_member_id
    assert heartbeat(group_id="") is ErrorCode.invalid_group_id
    kafka.join()
    assert heartbeat() is ErrorCode.rebalance_in_progress


@each(LEAVE)
def test_leaving(kafka, version):
    joined = kafka.member()
    static = kafka.join(group_instance_id="a")
    kafka.join(member_id=joined.member_id)
    assert static[0].error_code is ErrorCode.none

    def leave(member_id, instance=None, group="g"):
        one = version >= 3 and kafka.nested(
            LEAVE, version, "MemberIdentity", member_id=member_id, group_instance_id=instance
        )
        response = kafka.ask(LEAVE, version, group_id=group, member_id=member_id, members=(one,))
        if version < 3 or response.error_code is not ErrorCode.none:
            return response.error_code
        (result,) = response.members
        assert (result.member_id, result.group_instance_id) == (member_id, instance)
        return result.error_code

    assert leave("x") is ErrorCode.unknown_member_id
    assert leave("x", group="other") is ErrorCode.unknown_member_id
    assert leave("x", group="") is ErrorCode.invalid_group_id
    assert leave(joined.member_id) is ErrorCode.none
    if version >= 3:
        assert leave("x", "a") is ErrorCode.fenced_instance_id
        assert leave("", "a") is ErrorCode.none


# DescribeGroups, ListGroups, DeleteGroups


@each(DESCRIBE)
def test_describing(kafka, version):
    joined = kafka.member(group_instance_id="a")
    known, unknown = kafka.ask(
        DESCRIBE, version, groups=("g", "nobody"), include_authorized_operations=True
    ).groups
    assert (known.group_state, known.protocol_type, known.protocol_data) == (
        "Stable",
        "consumer",
        "range",
    )
    (member,) = known.members
    assert (member.member_id, member.client_id, member.client_host) == (
        joined.member_id,
        "client",
        "/10.0.0.1",
    )
    assert (member.member_metadata, member.member_assignment) == (b"r", b"share")
    assert getattr(member, "group_instance_id", "a") == "a"
    if version >= 3:
        assert known.authorized_operations == 1 << 3 | 1 << 6 | 1 << 8
        assert unknown.authorized_operations == -(2**31)
    assert (unknown.group_id, unknown.group_state, unknown.members) == ("nobody", "Dead", ())
    if version >= 6:
        assert unknown.error_code is ErrorCode.group_id_not_found
        assert unknown.error_message == "Group nobody not found."
    else:
        assert unknown.error_code is ErrorCode.none


@each(LIST)
def test_listing(kafka, version):
    kafka.topics.add("t")
    kafka.member()
    kafka.commit(group="simple", t=[(0, 1, "")])

    def listed(**filters):
        groups = kafka.ask(LIST, version, **filters).groups
        assert {getattr(group, "group_type", "classic") for group in groups} <= {"classic"}
        return {(group.group_id, group.protocol_type) for group in groups}

    everything = {("g", "consumer"), ("simple", "")}
    assert listed() == everything
    if version >= 4:
        assert listed(states_filter=("stable", "Dead")) == {("g", "consumer")}
        assert listed(states_filter=(" EMPTY",)) == {("simple", "")}
    if version >= 5:
        assert listed(types_filter=("Classic",)) == everything
        assert listed(types_filter=("consumer",)) == set()


@each(DELETE)
def test_deleting_groups(kafka, version):
    kafka.topics.add("t")
    kafka.member()
    kafka.commit(group="empty", t=[(0, 1, "")])
    response = kafka.ask(DELETE, version, groups_names=("g", "empty", "nobody", "empty"))
    assert [(one.group_id, one.error_code.name) for one in response.results] == [
        ("g", "non_empty_group"),
        ("empty", "none"),
        ("nobody", "group_id_not_found"),
    ]
    assert kafka.ask(DELETE, version, groups_names=()).results == ()
    assert kafka.room.offsets.groups() == []


def test_groups_are_deleted_when_that_is_durable(kafka):
    kafka.topics.add("t")
    kafka.commit(t=[(0, 1, "")])
    kafka.room.log.sync_at_once = False
    responses = kafka.send(DELETE, 2, groups_names=("g",))
    assert responses == []
    kafka.room.log.sync()
    assert responses[0].results[0].error_code is ErrorCode.none


# OffsetCommit and OffsetFetch


@each(COMMIT)
def test_a_commit_names_what_it_could_not_keep(kafka, version):
    kafka.topics.add("t")
    kafka.topics.add("secret")
    kafka.denied.add("secret")
    response = kafka.commit(
        version,
        t=[(0, 5, "note"), (1, 6, None), (2, 7, ""), (0, 8, "x" * 4097)],
        nowhere=[(0, 1, "")],
        secret=[(0, 1, "")],
    )
    unknown = "unknown_topic_id" if version >= 10 else "unknown_topic_or_partition"
    assert codes(response.topics) == [
        "none",
        "none",
        "unknown_topic_or_partition",
        "offset_metadata_too_large",
        unknown,
        "topic_authorization_failed",
    ]
    assert kafka.room.offsets.committed("g") == {
        ("t", 0): Committed(5, 4 if version >= 6 else -1, "note", 1_000_000),
        ("t", 1): Committed(6, 4 if version >= 6 else -1, "", 1_000_000),
    }
    if version >= 10:
        assert next(topic.topic_id for topic in response.topics) == kafka.id_of("t")
    else:
        assert [topic.name for topic in response.topics] == ["t", "nowhere", "secret"]


@each(COMMIT)
def test_a_commit_that_the_group_refuses_is_refused_for_every_partition(kafka, version):
    kafka.topics.add("t")
    joined = kafka.member(group_instance_id="a")
    places = [(0, 1, ""), (1, 1, "")]

    def commit(**fields):
        return codes(kafka.commit(version, t=places, **fields).topics)

    assert commit(generation=9, member_id=joined.member_id) == ["illegal_generation"] * 2
    assert commit(generation=1, member_id="x") == ["unknown_member_id"] * 2
    if version >= 7:
        assert commit(generation=1, member_id="x", instance="a") == ["fenced_instance_id"] * 2
    assert commit(generation=1, member_id=joined.member_id) == ["none"] * 2
    assert (
        commit(group="nobody", generation=1)
        == ["group_id_not_found" if version >= 9 else "illegal_generation"] * 2
    )


@each(COMMIT)
def test_a_commit_of_nothing_is_fine(kafka, version):
    assert kafka.commit(version).topics == ()


def test_a_commit_is_answered_when_it_is_durable(kafka):
    kafka.topics.add("t")
    kafka.room.log.sync_at_once = False
    responses = kafka.send(
        COMMIT,
        9,
        group_id="g",
        generation_id_or_member_epoch=-1,
        member_id="",
        topics=kafka.commit_topics(9, {"t": [(0, 1, "")]}),
    )
    assert responses == []
    kafka.room.log.sync()
    assert codes(responses[0].topics) == ["none"]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_older_client_says_how_long_its_offsets_are_to_live(kafka, version):
    kafka.topics.add("t")
    kafka.ask(
        COMMIT,
        version,
        group_id="g",
        generation_id_or_member_epoch=-1,
        member_id="",
        retention_time=timedelta(hours=1),
        topics=kafka.commit_topics(version, {"t": [(0, 1, "")]}),
    )
    assert kafka.room.offsets.get("g", "t", 0).expire_ms == 1_000_000 + 3_600_000
    kafka.room.wait(4300)
    assert kafka.room.offsets.get("g", "t", 0) is None


@each(FETCH)
def test_fetching_some_offsets(kafka, version):
    topic = kafka.topics.add("t")
    kafka.topics.add("secret")
    kafka.commit(t=[(1, 42, "note")], secret=[(0, 1, "")])
    kafka.denied.add("secret")
    known, unknown, secret = kafka.fetch(version, {"t": [0, 1], "nowhere": [0], "secret": [0]})
    assert [
        (one.partition_index, one.committed_offset, one.metadata) for one in known.partitions
    ] == [
        (0, -1, ""),
        (1, 42, "note"),
    ]
    if version >= 5:
        assert [one.committed_leader_epoch for one in known.partitions] == [-1, 4]
    assert unknown.partitions[0].committed_offset == -1
    assert codes([unknown]) == ["unknown_topic_id" if version >= 10 else "none"]
    assert codes([secret]) == ["topic_authorization_failed"]
    assert secret.partitions[0].committed_offset == -1
    assert getattr(known, "topic_id", topic.id) == topic.id
    assert getattr(known, "name", "t") == "t"


@pytest.mark.parametrize("version", [v for v in versions(FETCH) if v >= 2])
def test_fetching_all_offsets(kafka, version):
    kafka.topics.add("a.b")
    kafka.topics.add("secret")
    kafka.topics.add("gone")
    kafka.commit(**{"a.b": [(0, 1, ""), (1, 2, "")], "secret": [(0, 1, "")], "gone": [(0, 1, "")]})
    kafka.denied.add("secret")
    del kafka.topics.named["gone"]
    found = kafka.fetch(version, None)
    by_id = version >= 10
    names = {kafka.id_of("a.b")} if by_id else {"a.b", "gone"}
    assert {one.topic_id if by_id else one.name for one in found} == names
    assert [one.committed_offset for one in found[0].partitions] == [1, 2]
    assert kafka.fetch(version, None, group="nobody") == ()


@pytest.mark.parametrize("version", [v for v in versions(FETCH) if v >= 8])
def test_fetching_for_several_groups(kafka, version):
    kafka.topics.add("t")
    kafka.commit(group="g", t=[(0, 1, "")])
    kafka.commit(group="h", t=[(0, 2, "")])
    asked = tuple(
        kafka.nested(FETCH, version, "OffsetFetchRequestGroup", group_id=group, topics=None)
        for group in ("g", "h", "nobody")
    )
    answers = kafka.ask(FETCH, version, groups=asked, require_stable=True).groups
    assert [
        [one.committed_offset for topic in answer.topics for one in topic.partitions]
        for answer in answers
    ] == [[1], [2], []]


def test_a_name_that_no_topic_can_have_has_no_offset(kafka):
    (topic,) = kafka.fetch(7, {"no such/name": [0]})
    assert (topic.partitions[0].committed_offset, codes([topic])) == (-1, ["none"])


# OffsetDelete


def delete_offsets(kafka, group="g", **topics):
    entities = tuple(
        kafka.nested(
            DELETE_OFFSETS,
            0,
            "OffsetDeleteRequestTopic",
            name=name,
            partitions=tuple(
                kafka.nested(
                    DELETE_OFFSETS, 0, "OffsetDeleteRequestPartition", partition_index=index
                )
                for index in indexes
            ),
        )
        for name, indexes in topics.items()
    )
    return kafka.ask(DELETE_OFFSETS, 0, group_id=group, topics=entities)


def subscription(*topics, version=3):
    """ConsumerProtocolSubscription, as clients put it into their metadata."""
    names = b"".join(len(name).to_bytes(2) + name.encode() for name in topics)
    return version.to_bytes(2) + len(topics).to_bytes(4) + names + b"\xff\xff\xff\xff" + b"later"


def test_offsets_of_topics_that_nobody_reads_are_deleted(kafka):
    kafka.topics.add("read")
    kafka.topics.add("left")
    joined = kafka.member(protocols=(("range", subscription("read", "more")),))
    kafka.commit(
        generation=1, member_id=joined.member_id, read=[(0, 1, "")], left=[(0, 1, ""), (1, 1, "")]
    )
    response = delete_offsets(kafka, read=[0], left=[0, 5], nowhere=[0])
    assert response.error_code is ErrorCode.none
    assert codes(response.topics) == [
        "group_subscribed_to_topic",
        "none",
        "unknown_topic_or_partition",
        "unknown_topic_or_partition",
    ]
    assert list(kafka.room.offsets.committed("g")) == [("read", 0), ("left", 1)]


def test_a_member_whose_topics_cannot_be_read_may_read_any(kafka):
    kafka.topics.add("t")
    joined = kafka.member(protocols=(("range", b"\0"),))
    kafka.commit(generation=1, member_id=joined.member_id, t=[(0, 1, "")])
    assert codes(delete_offsets(kafka, t=[0]).topics) == ["group_subscribed_to_topic"]


def test_offsets_of_other_groups_with_members_are_not_deleted(kafka):
    kafka.topics.add("t")
    kafka.member(protocol_type="connect")
    response = delete_offsets(kafka, t=[0])
    assert (response.error_code, response.topics) == (ErrorCode.non_empty_group, ())
    assert delete_offsets(kafka, "nobody", t=[0]).error_code is ErrorCode.group_id_not_found
    assert delete_offsets(kafka, "", t=[0]).error_code is ErrorCode.invalid_group_id


# Bounds


@pytest.mark.parametrize("version", [v for v in versions(FETCH) if v >= 8])
def test_a_group_that_is_repeated_is_refused_and_the_others_are_not(kafka, version):
    kafka.topics.add("t")
    kafka.commit(t=[(0, 1, "")])
    asked = tuple(
        kafka.nested(FETCH, version, "OffsetFetchRequestGroup", group_id=group, topics=None)
        for group in ("twice", "g", "twice")
    )
    answers = kafka.ask(FETCH, version, groups=asked, require_stable=True).groups
    assert [(one.group_id, one.error_code.name, len(one.topics)) for one in answers] == [
        ("twice", "invalid_request", 0),
        ("g", "none", 1),
        ("twice", "invalid_request", 0),
    ]


def test_the_offsets_in_one_response_are_bounded_and_so_is_their_metadata(kafka, monkeypatch):
    monkeypatch.setattr(offsets, "MAX_FETCHED_PARTITIONS", 3)
    kafka.topics.add("t")
    kafka.commit(t=[(0, 1, ""), (1, 1, "x" * 600)])
    kafka.fetch(7, {"t": [0, 0, 0]})
    kafka.fetch(7, {"t": [1]})
    for indexes in ([0, 0, 0, 0], [0, 1]):
        with pytest.raises(MalformedRequestError, match="do not fit"):
            kafka.fetch(7, {"t": indexes})


def test_a_group_is_described_once_and_only_what_one_response_holds(kafka, monkeypatch):
    kafka.member()
    described = kafka.ask(
        DESCRIBE, 5, include_authorized_operations=False, groups=("g", "nobody", "g")
    ).groups
    assert [group.group_id for group in described] == ["g", "nobody"]
    monkeypatch.setattr(groups, "MAX_DESCRIBED_BYTES", 600)
    kafka.ask(DESCRIBE, 5, include_authorized_operations=False, groups=("g",))
    with pytest.raises(MalformedRequestError, match="do not fit"):
        kafka.ask(DESCRIBE, 5, include_authorized_operations=False, groups=("g", "nobody"))
