"""Rebalancing: from a change of members to everyone's share.

Each step of it either waits for members, no longer than a timer says, or goes on; so whatever members
do or fail to do, a group settles.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hubbub.broker.deadline import Deadline
from hubbub.broker.group_errors import GroupError
from hubbub.broker.group_members import Member
from hubbub.broker.group_messages import JoinReply, SyncReply
from hubbub.broker.group_state import GroupState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubbub.broker.answers import Answers
    from hubbub.broker.group_members import Group
    from hubbub.broker.group_messages import JoinRequest
    from hubbub.broker.timers import Timers

# A new member has no id to send heartbeats with, and nobody sees that its connection went while its
# join is parked; so it is dropped after this long, and joins again if it is still there. Kafka's
# figure: five minutes, in seconds.
NEW_MEMBER_JOIN_TIMEOUT = 5 * 60.0

_REBALANCES_FROM = frozenset({GroupState.EMPTY, GroupState.COMPLETING_REBALANCE, GroupState.STABLE})


class Rebalancer:
    """Moves groups through their states. Answers are given by whoever calls ``answers.give``."""

    def __init__(self, timers: Timers, answers: Answers, initial_delay: float) -> None:
        self._timers = timers
        self._answers = answers
        self._initial_delay = initial_delay

    def admit(self, group: Group, member_id: str, request: JoinRequest) -> Member:
        """Let a new member in; a rebalance must follow."""
        member = Member(member_id, request)
        member.session = Deadline(self._timers, partial(self._session_missed, group, member))
        member.session.set(NEW_MEMBER_JOIN_TIMEOUT)
        group.has_newcomers = True
        group.add(member, request.protocol_type)
        return member

    def keep_alive(self, member: Member) -> None:
        """The member gave a sign of life."""
        member.session.set(member.session_timeout)

    def dismiss(self, member: Member, error: GroupError) -> None:
        """Answer all that the member waits for with ``error``."""
        self._answer_join(member, JoinReply(error=error, member_id=member.id))
        self._answer_sync(member, SyncReply(error=error))

    def remove(self, group: Group, member: Member) -> None:
        """Let a member go; ``rebalance`` must follow."""
        member.session.clear()
        self.dismiss(member, GroupError.UNKNOWN_MEMBER_ID)
        group.remove(member)

    def rebalance(self, group: Group) -> None:
        """Share the work out anew, or go on with that if it is under way already."""
        if group.state in _REBALANCES_FROM:
            self._prepare(group)
        else:
            self.stop_waiting(group)

    def stop_waiting(self, group: Group) -> None:
        """Go on to the next generation if everyone whom the group waits for has joined."""
        if (
            group.state is GroupState.PREPARING_REBALANCE
            and not (group.is_first_rebalance and self._initial_delay)
            and group.all_joined
        ):
            self._complete_join(group)

    def _answer_join(self, member: Member, reply: JoinReply) -> None:
        """Answer the join that the member waits for, if it does."""
        if member.join is not None:
            self._answers.add(member.join, reply)
            member.join = None

    def _answer_sync(self, member: Member, reply: SyncReply) -> None:
        """Answer the sync that the member waits for, if it does."""
        if member.sync is not None:
            self._answers.add(member.sync, reply)
            member.sync = None

    def park_join(self, member: Member, reply: Callable[[JoinReply], None]) -> None:
        """Keep a join until the generation is complete."""
        # A member asks again when its connection broke: the answer is for its latest one.
        self._answer_join(member, JoinReply(error=GroupError.REBALANCE_IN_PROGRESS))
        member.join = reply

    def park_sync(self, group: Group, member: Member, reply: Callable[[SyncReply], None]) -> None:
        """Keep a sync until the leader has divided the work."""
        self._answer_sync(member, SyncReply(error=GroupError.REBALANCE_IN_PROGRESS))
        member.sync = reply
        self.synced(group, member)

    def synced(self, group: Group, member: Member) -> None:
        """The member has asked for its share."""
        group.unsynced.discard(member.id)
        if not group.unsynced:
            self._cancel_phase(group)

    def assign(self, group: Group, assignments: Mapping[str, bytes]) -> None:
        """The leader has divided the work: everyone gets a share, empty if it named none."""
        for member in group.members.values():
            member.assignment = assignments.get(member.id, b"")
        group.enter(GroupState.STABLE, self._timers.wall_ms)
        self._answer_all_syncs(group, None)

    def _answer_all_syncs(self, group: Group, error: GroupError | None) -> None:
        for member in group.members.values():
            if member.sync is not None:
                self._answer_sync(member, share_of(group, member, error))
                self.keep_alive(member)

    def _session_missed(self, group: Group, member: Member) -> None:
        # Who waits for an answer cannot send heartbeats; its session starts anew with the answer.
        if not member.is_new and (member.join or member.sync):
            return
        self.remove(group, member)
        self.rebalance(group)
        self._answers.give()

    def _prepare(self, group: Group) -> None:
        if group.state is GroupState.COMPLETING_REBALANCE:
            for member in group.members.values():
                member.assignment = b""
            self._answer_all_syncs(group, GroupError.REBALANCE_IN_PROGRESS)
        group.enter(GroupState.PREPARING_REBALANCE, self._timers.wall_ms)
        if group.is_first_rebalance and self._initial_delay:
            self._wait_for_newcomers(group, group.rebalance_timeout)
        elif group.all_joined:
            self._complete_join(group)
        else:
            self._start_phase(group, group.rebalance_timeout, self._complete_join)

    def _wait_for_newcomers(self, group: Group, left: float) -> None:
        """Give a new group's members time to find each other, so that they share one rebalance.

        The wait is drawn out while more come, up to the rebalance timeout (KIP-134).
        """
        group.has_newcomers = False
        delay = min(self._initial_delay, left)

        def waited(group: Group) -> None:
            if group.has_newcomers and left > delay:
                self._wait_for_newcomers(group, left - delay)
            else:
                self._complete_join(group)

        self._start_phase(group, delay, waited)

    def _complete_join(self, group: Group) -> None:
        self._cancel_phase(group)
        for member in list(group.members.values()):
            # A static member keeps its place until its session ends (KIP-345).
            if not member.join and member.instance_id is None:
                self.remove(group, member)
        if group.members and not group.elect_leader():
            # Only static members are left and none has come back: wait on, until their sessions end.
            self._start_phase(group, group.rebalance_timeout, self._complete_join)
            return
        group.generation += 1
        if group.members:
            self._begin_generation(group)
        else:
            group.protocol = None
            group.enter(GroupState.EMPTY, self._timers.wall_ms)

    def _begin_generation(self, group: Group) -> None:
        group.protocol = group.choose_protocol()
        group.enter(GroupState.COMPLETING_REBALANCE, self._timers.wall_ms)
        group.unsynced = set(group.members)
        for member in group.members.values():
            self._answer_join(member, joined(group, member))
            self.keep_alive(member)
            member.is_new = False
        self._start_phase(group, group.rebalance_timeout, self._drop_unsynced)

    def _drop_unsynced(self, group: Group) -> None:
        for member_id in list(group.unsynced):
            self.remove(group, group.members[member_id])
        self.rebalance(group)

    def _start_phase(self, group: Group, seconds: float, ended: Callable[[Group], None]) -> None:
        def end() -> None:
            group.phase_timer = None
            ended(group)
            self._answers.give()

        self._cancel_phase(group)
        group.phase_timer = self._timers.after(seconds, end)

    def _cancel_phase(self, group: Group) -> None:
        if group.phase_timer is not None:
            group.phase_timer.cancel()
            group.phase_timer = None


def joined(group: Group, member: Member) -> JoinReply:
    """What a member learns of the current generation; the leader, everything."""
    return JoinReply(
        generation=group.generation,
        protocol_type=group.protocol_type,
        protocol=group.protocol,
        leader=group.leader,
        member_id=member.id,
        members=group.roster() if member.id == group.leader else (),
    )


def share_of(group: Group, member: Member, error: GroupError | None = None) -> SyncReply:
    """A member's share, or why there is none."""
    if error is not None:
        return SyncReply(error=error)
    return SyncReply(
        protocol_type=group.protocol_type,
        protocol=group.protocol,
        assignment=member.assignment,
    )
