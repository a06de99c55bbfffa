"""Offsets as a group's members, and others, commit and lose them."""

from __future__ import annotations

import pytest

from group_room import SESSION, Client, Room
from hubbub.broker.group_errors import GroupError
from hubbub.broker.group_messages import JoinRequest
from hubbub.broker.groups import EXPIRY_INTERVAL, OFFSETS_RETENTION_MS
from hubbub.broker.offset_records import Committed
from hubbub.model.errors import StorageError
from partition_log import HandSyncedLog

RETENTION = OFFSETS_RETENTION_MS / 1000


@pytest.fixture
def room():
    return Room()


def position(room):
    committed = room.offsets.get("g", "t", 0)
    return committed and committed.offset


def outsider(room, **fields):
    return Client(room, **fields)


def delete_offsets(room, group="g"):
    outcomes = []
    room.groups.delete_offsets(group, [("t", 0)], outcomes.append)
    return outcomes[0]


def test_a_member_of_the_generation_commits(room):
    (member,) = room.stable(Client(room))
    assert member.commit(11) is None
    assert position(room) == 11


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"generation": 0}, GroupError.ILLEGAL_GENERATION),
        ({"generation": -1}, GroupError.ILLEGAL_GENERATION),
        ({"member_id": "who"}, GroupError.UNKNOWN_MEMBER_ID),
        ({"member_id": "", "generation": -1}, GroupError.UNKNOWN_MEMBER_ID),
        ({"instance_id": "x"}, GroupError.UNKNOWN_MEMBER_ID),
    ],
)
def test_nobody_else_commits_while_a_group_has_members(room, fields, error):
    (member,) = room.stable(Client(room))
    assert member.commit(**fields) is error
    assert position(room) is None


def test_a_fenced_static_member_does_not_commit(room):
    (member,) = room.stable(Client(room, "a"))
    Client(room, "a").join()
    assert member.commit() is GroupError.FENCED_INSTANCE_ID


def test_a_member_commits_while_it_is_asked_to_join_again_but_not_before_it_has_its_share(room):
    (member,) = room.stable(Client(room))
    Client(room).join()
    assert member.commit() is None  # what it gives up, it commits first
    member.join()
    assert room.state() == "CompletingRebalance"
    assert member.commit() is GroupError.REBALANCE_IN_PROGRESS


def test_a_commit_is_a_sign_of_life(room):
    (member,) = room.stable(Client(room))
    for _ in range(3):
        room.wait(SESSION * 0.9)
        assert member.commit() is None


def test_a_consumer_without_a_group_protocol_commits_to_an_empty_group(room):
    assert outsider(room).commit(3) is None
    assert position(room) == 3
    assert room.state() == "Empty"
    assert outsider(room).commit(2) is None
    assert position(room) == 2


def test_a_member_of_a_group_that_is_gone_is_told_so(room):
    assert outsider(room).commit(generation=1) is GroupError.GROUP_ID_NOT_FOUND
    outsider(room).commit()
    assert outsider(room).commit(generation=1, member_id="x") is GroupError.UNKNOWN_MEMBER_ID


def test_a_commit_is_answered_when_it_is_durable(room):
    room = Room(HandSyncedLog(sync_at_once=False))
    outcomes = []
    client = outsider(room)
    assert client.commit() == "not yet"
    room.groups.delete("g", outcomes.append)
    assert outcomes == []
    room.log.sync()
    room.log.sync()
    assert outcomes == [None]


def test_a_disk_that_fails_is_reported(room):
    room.log.fail(StorageError("gone"))
    assert outsider(room).commit() is GroupError.NOT_COORDINATOR


def test_more_offsets_than_fit_in_a_batch_are_refused(room):
    room.log.limit_batches(1000)
    many = {("t", number): Committed(0) for number in range(1000)}
    assert outsider(room).commit(offsets=many) is GroupError.INVALID_COMMIT_OFFSET_SIZE


def test_groups_with_offsets_are_there_again_after_a_restart(room):
    (member,) = room.stable(Client(room))
    member.commit(5)
    room = Room(room.log)
    assert room.state() == "Empty"
    assert position(room) == 5
    member.room = room
    assert member.heartbeat() is GroupError.UNKNOWN_MEMBER_ID
    member.id = ""
    room.stable(member)
    assert member.commit(6) is None


def test_offsets_are_deleted_unless_members_of_an_opaque_kind_are_there(room):
    (worker,) = room.stable(Client(room, protocol_type="connect"))
    worker.commit()
    assert delete_offsets(room) is GroupError.NON_EMPTY_GROUP
    worker.leave()
    assert delete_offsets(room) is None
    assert position(room) is None
    assert delete_offsets(room, "other") is GroupError.GROUP_ID_NOT_FOUND
    assert delete_offsets(room, "") is GroupError.INVALID_GROUP_ID


def test_offsets_of_a_consumer_group_are_deleted_while_it_has_members(room):
    (member,) = room.stable(Client(room))
    member.commit()
    assert delete_offsets(room) is None


def test_offsets_live_a_week_longer_than_their_group_has_members(room):
    (member,) = room.stable(Client(room, session_timeout=1800.0))
    member.commit()
    for _ in range(8 * 24 * 4):
        room.wait(900.0)
        assert member.heartbeat() is None
    assert position(room) == 7
    member.leave()
    room.wait(RETENTION - 2 * EXPIRY_INTERVAL)
    assert position(room) == 7
    room.wait(3 * EXPIRY_INTERVAL)
    assert (position(room), room.state()) == (None, None)
    assert room.log.records()[-1].value is None


def test_only_the_old_offsets_of_a_consumer_without_a_group_protocol_expire(room):
    outsider(room).commit()
    room.wait(RETENTION / 2)
    fresh = {("fresh", 0): Committed(1, commit_ms=room.timers.wall_ms)}
    outsider(room).commit(offsets=fresh)
    room.wait(RETENTION / 2 + 2 * EXPIRY_INTERVAL)
    assert list(room.offsets.committed("g")) == [("fresh", 0)]
    assert room.state() == "Empty"


def test_a_restart_does_not_make_offsets_expire_early(room):
    outsider(room).commit()
    late = Room(room.log)
    late.timers.advance(0.0, room.timers.wall_ms)
    late.wait(RETENTION - EXPIRY_INTERVAL)
    assert position(late) == 7


def test_an_empty_group_without_offsets_is_forgotten_but_not_with_a_member_on_its_way(room):
    (member,) = room.stable(Client(room))
    member.leave()
    room.wait(EXPIRY_INTERVAL)
    assert room.state() is None
    request = JoinRequest(**Client(room).fields | {"session_timeout": 1800.0})
    room.groups.join(request, lambda _: None)
    room.wait(EXPIRY_INTERVAL * 1.5)
    assert room.state() == "Empty"
    room.wait(1800.0)
    assert room.state() is None


def test_a_group_with_a_commit_on_its_way_is_not_forgotten(room):
    room = Room(HandSyncedLog(sync_at_once=False))
    outsider(room).commit()
    room.wait(EXPIRY_INTERVAL * 2)
    assert room.state() == "Empty"
