"""Static membership (KIP-345): members that come back to the place they had."""

from __future__ import annotations

import pytest

from group_room import GATHER, RANGE, REBALANCE, Client, Room
from hubbub.broker.group_errors import GroupError
from hubbub.broker.group_messages import GroupProtocol, JoinRequest


@pytest.fixture
def room():
    return Room()


def members_of(room):
    return {member.member_id for member in room.groups.describe("g").members}


def test_a_static_member_that_restarts_takes_its_place_again_without_a_rebalance(room):
    leader, follower = room.stable(Client(room, "a"), Client(room, "b"))
    again = Client(room, "b")
    reply = again.join()
    assert (reply.error, reply.generation, reply.leader) == (None, 1, leader.id)
    assert (reply.members, reply.skip_assignment) == ((), False)
    assert again.sync().assignment == follower.id.encode()
    assert room.state() == "Stable"
    assert leader.heartbeat() is None
    assert follower.heartbeat() is GroupError.FENCED_INSTANCE_ID
    assert follower.join().error is GroupError.FENCED_INSTANCE_ID
    assert follower.commit() is GroupError.FENCED_INSTANCE_ID
    assert follower.sync().error is GroupError.FENCED_INSTANCE_ID


def test_a_static_leader_that_restarts_is_told_not_to_divide_the_work(room):
    leader, follower = room.stable(Client(room, "a"), Client(room, "b"))
    again = Client(room, "a")
    reply = again.join()
    assert (reply.leader, reply.skip_assignment) == (again.id, True)
    assert {one.member_id for one in reply.members} == {again.id, follower.id}
    assert again.sync().assignment == leader.id.encode()


def test_an_older_static_leader_is_made_to_believe_that_it_follows(room):
    leader, _ = room.stable(Client(room, "a"), Client(room, "b"))
    again = Client(room, "a", skips_assignment=False)
    reply = again.join()
    assert (reply.leader, reply.members, reply.skip_assignment) == (leader.id, (), False)
    assert again.sync().assignment == leader.id.encode()
    again.join()  # it leads nevertheless: its next join is a rebalance
    assert room.state() == "PreparingRebalance"


def test_a_static_member_that_prefers_another_protocol_rebalances_the_group(room):
    room.stable(Client(room, "a"))
    again = Client(room, "a", protocols=(RANGE[1],))
    again.join()
    assert again.joined.protocol == "sticky"
    assert again.generation == 2


def test_a_static_member_that_restarts_while_the_leader_divides_starts_over(room):
    leader, follower = Client(room, "a"), Client(room, "b")
    leader.join()
    follower.join()
    room.wait(GATHER)
    follower.sync()
    again = Client(room, "b")
    again.join()
    assert follower.synced.error is GroupError.FENCED_INSTANCE_ID
    assert leader.sync().error is GroupError.REBALANCE_IN_PROGRESS
    leader.join()
    assert leader.generation == again.generation == 2
    assert room.groups.describe("g").members[0].instance_id in {"a", "b"}


def test_a_static_member_that_restarts_while_its_join_waits_fences_its_former_self(room):
    first, second = room.stable(Client(room, "a"), Client(room, "b"))
    first.join()
    again = Client(room, "a")
    again.join()
    assert first.joined.error is GroupError.FENCED_INSTANCE_ID
    second.join()
    assert again.generation == second.generation == 2
    assert members_of(room) == {again.id, second.id}


def test_an_absent_static_member_keeps_its_place_until_its_session_ends(room):
    absent = Client(room, "a", session_timeout=200.0)
    _, present = room.stable(absent, Client(room, "b", session_timeout=200.0))
    present.join(protocols=(GroupProtocol("range", b"new"),))
    room.wait(REBALANCE + 1)
    assert present.generation == 2
    assert {one.instance_id for one in present.joined.members} == {"a", "b"}
    present.sync({})
    room.wait(REBALANCE + 1)  # it has not synced either, and so it goes
    assert present.heartbeat() is GroupError.REBALANCE_IN_PROGRESS
    assert members_of(room) == {present.id}


def test_when_only_absent_static_members_are_left_the_group_waits_for_one(room):
    static = Client(room, "a", session_timeout=1000.0)
    passing = Client(room, session_timeout=1000.0)
    room.stable(static, passing)
    passing.leave()
    room.wait(REBALANCE * 3)
    assert room.state() == "PreparingRebalance"
    static.join()
    assert static.generation == 2


def test_an_id_handed_out_to_a_dynamic_member_takes_no_static_membership(room):
    (holder,) = room.stable(Client(room, "a"))
    replies = []
    room.groups.join(JoinRequest(**Client(room).fields), replies.append)
    fields = Client(room).fields | {"member_id": replies[0].member_id}
    room.groups.join(JoinRequest(**fields, instance_id="a"), replies.append)
    room.groups.join(JoinRequest(**fields, instance_id="b"), replies.append)
    assert [reply.error for reply in replies[1:]] == [
        GroupError.FENCED_INSTANCE_ID,
        GroupError.UNKNOWN_MEMBER_ID,
    ]
    assert holder.heartbeat() is None
    assert holder.leave() == [None]


def test_an_instance_id_that_nobody_holds_makes_a_member_id_unknown(room):
    (member,) = room.stable(Client(room))
    assert member.heartbeat(instance_id="a") is GroupError.UNKNOWN_MEMBER_ID
