"""The classic group protocol: joining, syncing, staying, leaving."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from group_room import DELAY, GATHER, REBALANCE, SESSION, Client, Room
from hubbub.broker import group_join, groups
from hubbub.broker.answers import Answers
from hubbub.broker.group_errors import GroupError
from hubbub.broker.group_members import Group
from hubbub.broker.group_messages import GroupProtocol, JoinRequest, LeavingMember, SyncRequest
from hubbub.broker.group_rebalance import NEW_MEMBER_JOIN_TIMEOUT
from hubbub.broker.group_state import NEXT_STATES, GroupState


@pytest.fixture
def room():
    return Room()


def members_of(room, group="g"):
    return {member.member_id for member in room.groups.describe(group).members}


# Joining


def test_a_first_member_gets_an_id_joins_again_with_it_and_leads(room):
    member = Client(room)
    replies = []
    request = member.fields | {"member_id": ""}
    room.groups.join(JoinRequest(**request), replies.append)
    assert replies[0].error is GroupError.MEMBER_ID_REQUIRED
    assert replies[0].member_id.startswith("client-")
    assert room.state() == "Empty"
    member.id = replies[0].member_id
    member.join()
    assert member.joining
    room.wait(GATHER)
    joined = member.joined
    assert (joined.error, joined.generation, joined.leader) == (None, 1, member.id)
    assert (joined.protocol_type, joined.protocol) == ("consumer", "range")
    assert [(one.member_id, one.metadata) for one in joined.members] == [(member.id, b"r")]
    assert room.state() == "CompletingRebalance"


def test_an_old_client_becomes_a_member_without_the_round_trip(room):
    member = Client(room, takes_member_id=False)
    member.join()
    room.wait(GATHER)
    assert member.joined.error is None


def test_members_that_start_together_share_one_rebalance(room):
    first, second, third = (Client(room) for _ in range(3))
    first.join()
    room.wait(DELAY * 0.9)
    second.join()
    room.wait(DELAY * 0.9)
    third.join()
    assert room.state() == "PreparingRebalance"
    room.wait(DELAY * 2)
    assert {member.generation for member in (first, second, third)} == {1}
    assert [len(member.joined.members) for member in (first, second, third)] == [3, 0, 0]


def test_the_first_wait_ends_with_the_rebalance_timeout_however_many_come():
    room = Room(delay=1.0)
    first = Client(room, rebalance_timeout=5.0)
    first.join()
    for _ in range(20):
        Client(room, rebalance_timeout=5.0).join()
        room.wait(0.5)
    assert first.generation == 1


def test_without_an_initial_delay_a_member_joins_at_once():
    room = Room(delay=0.0)
    member = Client(room)
    member.join()
    assert member.generation == 1


@pytest.mark.parametrize("timeout", [5.999, 30 * 60 + 0.001, -1.0])
def test_a_session_timeout_out_of_bounds_is_refused(room, timeout):
    reply = Client(room, session_timeout=timeout).join()
    assert reply.error is GroupError.INVALID_SESSION_TIMEOUT


def test_a_group_needs_a_name(room):
    nameless = Client(room, group_id="")
    assert nameless.join().error is GroupError.INVALID_GROUP_ID
    assert nameless.sync().error is GroupError.INVALID_GROUP_ID
    assert nameless.heartbeat() is GroupError.INVALID_GROUP_ID
    assert room.groups.leave("", []) is GroupError.INVALID_GROUP_ID


def test_a_member_id_that_was_never_handed_out_is_unknown(room):
    stranger = Client(room)
    stranger.id = "made-up"
    assert stranger.join().error is GroupError.UNKNOWN_MEMBER_ID
    assert room.state() is None
    room.stable(Client(room))
    assert stranger.join().error is GroupError.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize(
    "fields",
    [
        {"protocol_type": "connect"},
        {"protocols": (GroupProtocol("other", b""),)},
        {"protocols": ()},
    ],
)
def test_a_member_that_shares_no_protocol_is_refused(room, fields):
    room.stable(Client(room))
    reply = Client(room, **fields).join()
    assert reply.error is GroupError.INCONSISTENT_GROUP_PROTOCOL
    assert room.state() == "Stable"


@pytest.mark.parametrize("fields", [{"protocol_type": ""}, {"protocols": ()}])
def test_a_first_member_brings_a_protocol_or_leaves_no_trace(room, fields):
    reply = Client(room, **fields).join()
    assert reply.error is GroupError.INCONSISTENT_GROUP_PROTOCOL
    assert room.state() is None


def test_the_protocol_that_most_prefer_of_those_all_know_is_chosen(room):
    def client(*names):
        return Client(room, protocols=tuple(GroupProtocol(name, b"") for name in names))

    members = room.stable(client("a", "b", "c"), client("x", "c", "b"), client("y", "c", "b"))
    assert {member.joined.protocol for member in members} == {"c"}


def test_a_connect_group_is_as_good_as_any(room):
    (worker,) = room.stable(Client(room, protocol_type="connect"))
    assert worker.synced.protocol_type == "connect"


def test_a_group_takes_only_so_many_members(room, monkeypatch):
    monkeypatch.setattr(group_join, "MAX_GROUP_MEMBERS", 2)
    members = room.stable(Client(room), Client(room))
    late = Client(room)
    assert late.join().error is GroupError.GROUP_MAX_SIZE_REACHED
    assert late.joined.member_id == ""
    members[0].join()  # who is in may join again
    assert members[0].joining


def test_ids_handed_out_count_as_members(room, monkeypatch):
    monkeypatch.setattr(group_join, "MAX_GROUP_MEMBERS", 2)
    request = JoinRequest(**Client(room).fields)
    replies = []
    for _ in range(3):
        room.groups.join(request, replies.append)
    assert replies[2].error is GroupError.GROUP_MAX_SIZE_REACHED


def test_a_group_s_metadata_is_limited_and_a_member_s_old_ones_do_not_count(room):
    def big(size):
        return (GroupProtocol("range", b"m" * size),)

    first = Client(room, protocols=big(700_000))
    room.stable(first)
    assert Client(room, protocols=big(400_000)).join().error is GroupError.GROUP_MAX_SIZE_REACHED
    first.join(protocols=big(900_000))
    assert first.generation == 2


def test_many_empty_protocols_count_too(room):
    many = (GroupProtocol("", b""),) * 20_000
    assert Client(room, protocols=many).join().error is GroupError.GROUP_MAX_SIZE_REACHED


def test_a_long_client_name_makes_no_long_member_id(room):
    (member,) = room.stable(Client(room, client_id="c" * 32767))
    assert member.id.startswith("ccc")
    assert len(member.id) < 300


def test_there_are_only_so_many_groups(room, monkeypatch):
    monkeypatch.setattr(groups, "MAX_GROUPS", 1)
    room.stable(Client(room))
    other = Client(room, group_id="other")
    assert other.join().error is GroupError.COORDINATOR_NOT_AVAILABLE
    assert other.commit() is GroupError.COORDINATOR_NOT_AVAILABLE


# Rebalancing


def test_a_new_member_makes_everyone_join_again(room):
    (first,) = room.stable(Client(room))
    second = Client(room)
    second.join()
    assert first.heartbeat() is GroupError.REBALANCE_IN_PROGRESS
    assert first.sync().error is GroupError.REBALANCE_IN_PROGRESS
    assert second.joining
    first.join()
    assert first.generation == second.generation == 2
    assert first.leads
    assert {one.member_id for one in first.joined.members} == {first.id, second.id}


def test_a_rebalance_waits_for_an_id_that_was_handed_out(room):
    (first,) = room.stable(Client(room))
    late = Client(room)
    replies = []
    room.groups.join(JoinRequest(**late.fields), replies.append)
    Client(room).join()
    first.join()
    assert first.joining
    late.id = replies[0].member_id
    late.join()
    assert first.generation == late.generation == 2


def test_an_id_never_used_holds_a_rebalance_up_no_longer_than_its_session(room):
    (first,) = room.stable(Client(room))
    room.groups.join(JoinRequest(**Client(room).fields), lambda _: None)
    Client(room).join()
    first.join()
    room.wait(SESSION - 0.1)
    assert first.joining
    room.wait(0.2)
    assert first.generation == 2


def test_who_does_not_come_back_in_time_is_out(room):
    first, second = room.stable(Client(room, session_timeout=100.0), Client(room))
    second.join()  # the follower's metadata is the same: nothing happens
    assert room.state() == "Stable"
    second.join(protocols=(GroupProtocol("range", b"new"),))
    assert room.state() == "PreparingRebalance"
    room.wait(REBALANCE - 0.1)
    assert second.joining
    room.wait(0.2)
    assert second.generation == 2
    assert second.leads
    assert first.heartbeat() is GroupError.UNKNOWN_MEMBER_ID


def test_the_leader_may_ask_for_a_rebalance_without_a_visible_reason(room):
    leader, follower = room.stable(Client(room), Client(room))
    leader.join()
    assert room.state() == "PreparingRebalance"
    follower.join()
    assert leader.generation == follower.generation == 2


def test_a_follower_that_missed_its_answer_is_told_again(room):
    leader, follower = room.stable(Client(room), Client(room))
    reply = follower.join()
    assert (reply.error, reply.generation, reply.members) == (None, 1, ())
    assert (reply.leader, room.state()) == (leader.id, "Stable")


def test_in_completing_rebalance_the_same_metadata_is_answered_and_new_metadata_rebalances(room):
    leader, follower = Client(room), Client(room)
    leader.join()
    follower.join()
    room.wait(GATHER)
    assert len(leader.join().members) == 2
    assert room.state() == "CompletingRebalance"
    follower.join(protocols=(GroupProtocol("range", b"new"),))
    assert room.state() == "PreparingRebalance"


def test_a_retried_join_is_answered_on_the_connection_it_came_last_on(room):
    (first,) = room.stable(Client(room))
    second = Client(room)
    second.join()
    replies = []
    request = JoinRequest(**second.fields, member_id=second.id)
    room.groups.join(request, replies.append)
    assert second.joined.error is GroupError.REBALANCE_IN_PROGRESS
    first.join()
    assert replies[0].generation == 2


def test_cooperative_members_give_up_first_and_get_in_a_second_round(room):
    """Two-phase: the moving share is revoked in one generation and given in the next."""
    protocols = (GroupProtocol("cooperative-sticky", b"owns=0,1"),)
    (first,) = room.stable(Client(room, protocols=protocols))
    second = Client(room, protocols=(GroupProtocol("cooperative-sticky", b"owns="),))
    second.join()
    first.join()
    first.sync({first.id: b"0", second.id: b""})
    second.sync()
    assert (first.synced.assignment, second.synced.assignment) == (b"0", b"")
    first.join(protocols=(GroupProtocol("cooperative-sticky", b"owns=0"),))
    second.join()
    assert [one.metadata for one in first.joined.members] == [b"owns=0", b"owns="]
    first.sync({first.id: b"0", second.id: b"1"})
    assert second.sync().assignment == b"1"
    assert (first.generation, second.generation) == (3, 3)


def test_a_rejoining_member_that_no_longer_shares_a_protocol_is_refused(room):
    _, second = room.stable(Client(room), Client(room))
    reply = second.join(protocols=(GroupProtocol("other", b""),))
    assert reply.error is GroupError.INCONSISTENT_GROUP_PROTOCOL


def test_members_that_allow_no_time_at_all_do_not_stop_the_clock(room):
    static = Client(room, "a", rebalance_timeout=0.0, session_timeout=100.0)
    passing = Client(room, rebalance_timeout=-1.0)
    room.stable(static, passing)
    passing.leave()
    room.wait(50.0)
    assert room.state() == "PreparingRebalance"
    room.wait(51.0)
    assert room.state() == "Empty"


def test_when_the_leader_leaves_who_has_been_here_longest_leads(room):
    first, second, third = room.stable(Client(room), Client(room), Client(room))
    first.leave()
    newcomer = Client(room)
    newcomer.join()
    third.join()
    second.join()
    assert {member.joined.leader for member in (second, third, newcomer)} == {second.id}


# Syncing


def test_followers_wait_for_the_leader_and_get_what_it_gave_them(room):
    leader, follower = Client(room), Client(room)
    leader.join()
    follower.join()
    room.wait(GATHER)
    follower.sync()
    assert follower.syncing
    leader.sync({leader.id: b"mine", follower.id: b"yours", "nobody": b"lost"})
    assert (leader.synced.assignment, follower.synced.assignment) == (b"mine", b"yours")
    assert (follower.synced.protocol_type, follower.synced.protocol) == ("consumer", "range")
    assert room.state() == "Stable"
    assert follower.sync().assignment == b"yours"  # again, as often as it likes
    assert members_of(room) == {leader.id, follower.id}


def test_who_the_leader_forgets_gets_an_empty_share(room):
    leader, follower = Client(room), Client(room)
    leader.join()
    follower.join()
    room.wait(GATHER)
    leader.sync({leader.id: b"all"})
    assert follower.sync().assignment == b""


def test_a_follower_s_assignments_are_ignored(room):
    leader, follower = Client(room), Client(room)
    leader.join()
    follower.join()
    room.wait(GATHER)
    greedy = SyncRequest(**follower.identity, assignments={follower.id: b"everything"})
    room.groups.sync(greedy, lambda _: None)
    assert room.state() == "CompletingRebalance"
    leader.sync({leader.id: b"all"})
    assert follower.sync().assignment == b""


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"generation": 7}, GroupError.ILLEGAL_GENERATION),
        ({"member_id": "who"}, GroupError.UNKNOWN_MEMBER_ID),
        ({"group_id": "other"}, GroupError.UNKNOWN_MEMBER_ID),
        ({"protocol_type": "connect"}, GroupError.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol": "sticky"}, GroupError.INCONSISTENT_GROUP_PROTOCOL),
    ],
)
def test_a_sync_that_does_not_fit_is_refused(room, fields, error):
    member = Client(room)
    member.join()
    room.wait(GATHER)
    assert member.sync(**fields).error is error
    assert member.sync(protocol_type="consumer", protocol="range").error is None


def test_a_member_that_comes_while_the_leader_divides_sends_all_who_wait_back(room):
    leader, follower = Client(room), Client(room)
    leader.join()
    follower.join()
    room.wait(GATHER)
    follower.sync()
    Client(room).join()
    assert follower.synced.error is GroupError.REBALANCE_IN_PROGRESS
    assert leader.sync().error is GroupError.REBALANCE_IN_PROGRESS


def test_who_never_syncs_is_out_after_the_rebalance_timeout(room):
    leader, follower = Client(room), Client(room, session_timeout=1000.0)
    leader.join()
    follower.join()
    room.wait(GATHER)
    leader.sync({leader.id: b"all"})
    for _ in range(12):
        room.wait(REBALANCE / 12)
        leader.heartbeat()
    assert members_of(room) == {leader.id}
    assert room.state() == "PreparingRebalance"
    leader.join()
    assert leader.generation == 2


def test_a_leader_that_dies_before_it_syncs_is_replaced(room):
    leader, follower = Client(room), Client(room)
    leader.join()
    follower.join()
    room.wait(GATHER)
    follower.sync()
    room.wait(SESSION)
    assert follower.synced.error is GroupError.REBALANCE_IN_PROGRESS
    follower.join()
    assert follower.leads


# Staying


def test_heartbeats_keep_a_member_and_silence_loses_it(room):
    first, second = room.stable(Client(room), Client(room))
    room.wait(SESSION * 0.9)
    assert first.heartbeat() is None
    room.wait(SESSION * 0.9)
    assert first.heartbeat() is GroupError.REBALANCE_IN_PROGRESS
    assert second.heartbeat() is GroupError.UNKNOWN_MEMBER_ID
    assert members_of(room) == {first.id}


def test_a_session_ends_when_it_says_and_not_before(room):
    (member,) = room.stable(Client(room))
    room.wait(SESSION / 2)
    member.heartbeat()
    room.wait(SESSION - 0.01)
    assert room.state() == "Stable"
    room.wait(0.02)
    assert room.state() == "Empty"


def test_heartbeats_cost_one_timer_however_many_they_are(room):
    (member,) = room.stable(Client(room))
    before = len(room.timers._heap)
    for _ in range(100):
        member.heartbeat()
    assert len(room.timers._heap) == before


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"generation": 0}, GroupError.ILLEGAL_GENERATION),
        ({"member_id": "who"}, GroupError.UNKNOWN_MEMBER_ID),
        ({"group_id": "other"}, GroupError.UNKNOWN_MEMBER_ID),
        ({"instance_id": "x"}, GroupError.UNKNOWN_MEMBER_ID),
        ({}, None),
    ],
)
def test_a_heartbeat_is_answered_by_who_sends_it(room, fields, error):
    (member,) = room.stable(Client(room))
    assert member.heartbeat(**fields) is error


def test_a_member_that_waits_for_others_is_not_missed(room):
    first, second = room.stable(Client(room), Client(room, session_timeout=50.0))
    first.join()
    room.wait(SESSION * 2)
    assert first.joining
    second.join()
    assert first.generation == 2


def test_a_new_member_whose_connection_went_is_dropped_after_five_minutes():
    room = Room()
    old, silent = room.stable(
        Client(room, rebalance_timeout=1000.0), Client(room, rebalance_timeout=1000.0)
    )
    new = Client(room, rebalance_timeout=1000.0)
    new.join()
    old.join()
    while silent.heartbeat() and room.timers.now < NEW_MEMBER_JOIN_TIMEOUT + 5:
        room.wait(5)
    assert new.joined.error is GroupError.UNKNOWN_MEMBER_ID
    assert new.id not in members_of(room)
    silent.join()
    assert old.generation == silent.generation == 2


# Leaving


def test_leaving_makes_the_others_share_anew(room):
    first, second = room.stable(Client(room), Client(room))
    assert first.leave() == [None]
    assert second.heartbeat() is GroupError.REBALANCE_IN_PROGRESS
    second.join()
    assert second.leads
    assert second.generation == 2


def test_a_group_that_all_have_left_is_empty_and_keeps_its_kind(room):
    (member,) = room.stable(Client(room))
    member.leave()
    described = room.groups.describe("g")
    assert (described.state, described.members) == (GroupState.EMPTY, ())
    assert described.protocol_type == "consumer"
    assert member.heartbeat() is GroupError.UNKNOWN_MEMBER_ID


def test_leaving_answers_what_the_member_waits_for(room):
    leader, follower = Client(room), Client(room)
    leader.join()
    follower.join()
    room.wait(GATHER)
    follower.sync()
    follower.leave()
    assert follower.synced.error is GroupError.UNKNOWN_MEMBER_ID
    leader.join()
    third = Client(room)
    third.join()
    third.leave()
    assert third.joined.error is GroupError.UNKNOWN_MEMBER_ID


def test_an_id_handed_out_can_be_given_back(room):
    (first,) = room.stable(Client(room))
    replies = []
    room.groups.join(JoinRequest(**Client(room).fields), replies.append)
    assert room.groups.leave("g", [LeavingMember(replies[0].member_id)]) == [None]
    assert room.state() == "Stable"
    first.join()
    assert first.generation == 2


def test_a_batch_leaves_in_one_rebalance_with_an_answer_each(room):
    a, b, c = room.stable(Client(room, "a"), Client(room, "b"), Client(room))
    errors = room.groups.leave(
        "g",
        [
            LeavingMember("", "a"),  # an operator knows the instance only
            LeavingMember(c.id, "b"),
            LeavingMember("", "nobody"),
            LeavingMember("who"),
            LeavingMember(c.id),
            LeavingMember(""),
        ],
    )
    unknown = GroupError.UNKNOWN_MEMBER_ID
    assert errors == [None, GroupError.FENCED_INSTANCE_ID, unknown, unknown, None, unknown]
    b.join()
    assert b.generation == 2
    assert members_of(room) == {b.id}
    assert a.heartbeat() is unknown


def test_nobody_leaves_a_group_that_is_not_there(room):
    assert room.groups.leave("g", [LeavingMember("x")]) is GroupError.UNKNOWN_MEMBER_ID


# Operators


def test_a_stable_group_is_described_with_protocol_metadata_and_shares(room):
    assert room.groups.describe("g") is None
    (member,) = room.stable(Client(room, "a"))
    described = room.groups.describe("g")
    assert described[:4] == ("g", GroupState.STABLE, "consumer", "range")
    assert described.members == (
        (member.id, "a", "client", "/127.0.0.1", b"r", member.id.encode()),
    )
    member.join()
    assert room.groups.describe("g").protocol == ""
    assert room.groups.describe("g").members[0].metadata == b""
    assert room.groups.subscriptions("g") == [b"r"]
    assert room.groups.subscriptions("other") == []


def test_all_groups_are_listed(room):
    room.stable(Client(room))
    Client(room, group_id="simple").commit()
    assert set(room.groups.listing()) == {
        ("g", GroupState.STABLE, "consumer"),
        ("simple", GroupState.EMPTY, ""),
    }


def test_only_an_empty_group_is_deleted_and_its_offsets_with_it(room):
    (member,) = room.stable(Client(room))
    member.commit()
    outcomes = []
    room.groups.delete("g", outcomes.append)
    room.groups.delete("other", outcomes.append)
    assert outcomes == [GroupError.NON_EMPTY_GROUP, GroupError.GROUP_ID_NOT_FOUND]
    member.leave()
    room.groups.delete("g", outcomes.append)
    assert outcomes[2] is None
    assert room.state() is None
    assert room.offsets.groups() == []
    assert member.join().error is GroupError.UNKNOWN_MEMBER_ID


def test_an_id_of_a_deleted_group_is_forgotten(room):
    request = JoinRequest(**Client(room).fields)
    room.groups.join(request, lambda _: None)
    room.groups.delete("g", lambda _: None)
    room.wait(SESSION * 2)
    assert room.state() is None


# Being asked in the middle of an answer


def test_members_that_ask_again_within_an_answer_find_the_group_whole(room):
    class Eager(Client):
        def _joined(self, reply):
            super()._joined(reply)
            if reply.error is None:
                self.sync({one.member_id: b"share" for one in reply.members})

        def _synced(self, reply):
            super()._synced(reply)
            if reply.error is GroupError.REBALANCE_IN_PROGRESS:
                self.join()

    members = [Eager(room) for _ in range(3)]
    for member in members:
        member.join()
    room.wait(DELAY * 2)
    assert room.state() == "Stable"
    late = Eager(room)
    late.join()
    for member in members:
        member.join()
    assert room.state() == "Stable"
    assert [member.synced.assignment for member in [*members, late]] == [b"share"] * 4


def test_answers_that_lead_to_answers_come_in_order_and_without_recursion():
    answers = Answers()
    came = []

    def reply(number):
        came.append(number)
        if number < 5000:
            answers.add(reply, number + 1)
            answers.give()

    answers.add(reply, 0)
    answers.give()
    assert came == list(range(5001))


# States


@given(st.lists(st.sampled_from(list(GroupState)), max_size=6))
def test_a_group_moves_only_where_the_table_says(path):
    group = Group("g", 0)
    for state in path:
        if state in NEXT_STATES[group.state]:
            group.enter(state, 1)
        else:
            with pytest.raises(AssertionError):
                group.enter(state, 1)
            break


def test_every_state_but_dead_can_be_left_and_dead_can_be_reached():
    assert [state for state, following in NEXT_STATES.items() if not following] == [GroupState.DEAD]
    assert set().union(*NEXT_STATES.values()) == set(GroupState)
