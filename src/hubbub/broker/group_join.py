"""JoinGroup: who gets in, and what that sets off."""

from __future__ import annotations

import dataclasses
import uuid
from functools import partial
from typing import TYPE_CHECKING

from hubbub.broker.deadline import Deadline
from hubbub.broker.group_errors import GroupError
from hubbub.broker.group_members import metadata_size
from hubbub.broker.group_messages import UNKNOWN_MEMBER, JoinReply
from hubbub.broker.group_rebalance import joined
from hubbub.broker.group_state import GroupState

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.answers import Answers
    from hubbub.broker.group_members import Group, Member
    from hubbub.broker.group_messages import JoinRequest
    from hubbub.broker.group_rebalance import Rebalancer
    from hubbub.broker.timers import Timers

# More members than a topic sensibly has partitions do nothing; it also bounds the leader's answer.
MAX_GROUP_MEMBERS = 4096
# What a group's members may say of themselves, together: Kafka stores it as one record, which its
# default max.message.bytes limits to 1 MiB.
MAX_METADATA_BYTES = 1024 * 1024
# How much of a client's name its member id begins with: a longer id would fit into no answer.
MAX_NAME_CHARACTERS = 255


class Joins:
    """Takes joins in."""

    def __init__(self, timers: Timers, answers: Answers, rebalancer: Rebalancer) -> None:
        self._timers = timers
        self._answers = answers
        self._rebalancer = rebalancer

    def join(
        self, group: Group, request: JoinRequest, reply: Callable[[JoinReply], None]
    ) -> GroupError | None:
        """Answer, or park, a join. An error is the caller's to answer."""
        if not _has_room(group, request):
            return GroupError.GROUP_MAX_SIZE_REACHED
        if not group.can_share_protocol(request.protocol_type, request.protocols):
            return GroupError.INCONSISTENT_GROUP_PROTOCOL
        if request.member_id in group.pending and request.instance_id is None:
            group.withdraw(request.member_id)
            self._admit(group, request.member_id, request, reply)
        elif request.member_id == UNKNOWN_MEMBER:
            self._join_anew(group, request, reply)
        else:
            return self._rejoin(group, request, reply)
        return None

    def _join_anew(
        self, group: Group, request: JoinRequest, reply: Callable[[JoinReply], None]
    ) -> None:
        # A member id is a capability: who knows it may act for the member. So it cannot be guessed.
        name = (request.instance_id or request.client_id)[:MAX_NAME_CHARACTERS]
        member_id = f"{name}-{uuid.uuid4()}"
        predecessor = group.static_member(request.instance_id)
        if predecessor is not None:
            self._replace(group, predecessor, member_id, request, reply)
        elif request.instance_id is None and request.takes_member_id:
            # KIP-394: who never hears this answer never becomes a member that all others wait for.
            group.pending[member_id] = expiry = Deadline(
                self._timers, partial(self._pending_expired, group, member_id)
            )
            expiry.set(request.session_timeout)
            required = JoinReply(error=GroupError.MEMBER_ID_REQUIRED, member_id=member_id)
            self._answers.add(reply, required)
        else:
            self._admit(group, member_id, request, reply)

    def _admit(
        self,
        group: Group,
        member_id: str,
        request: JoinRequest,
        reply: Callable[[JoinReply], None],
    ) -> None:
        member = self._rebalancer.admit(group, member_id, request)
        self._rebalancer.park_join(member, reply)
        self._rebalancer.rebalance(group)

    def _rejoin(
        self, group: Group, request: JoinRequest, reply: Callable[[JoinReply], None]
    ) -> GroupError | None:
        error = group.check_member(request.member_id, request.instance_id)
        if error is not None:
            return error
        member = group.members[request.member_id]
        if _changes_nothing(group, member, request):
            # Most likely it did not get the answer to its last join.
            self._answers.add(reply, joined(group, member))
            return None
        group.update(member, request)
        self._rebalancer.park_join(member, reply)
        self._rebalancer.rebalance(group)
        return None

    def _replace(
        self,
        group: Group,
        member: Member,
        new_id: str,
        request: JoinRequest,
        reply: Callable[[JoinReply], None],
    ) -> None:
        """A static member has restarted: it keeps its share, and its old self is fenced (KIP-345)."""
        self._rebalancer.dismiss(member, GroupError.FENCED_INSTANCE_ID)
        old_leader = group.leader
        group.rename(member, new_id)
        group.update(member, request)
        member.is_new = False
        self._rebalancer.keep_alive(member)
        if group.state is not GroupState.STABLE or group.choose_protocol() != group.protocol:
            # In CompletingRebalance the leader may already be dividing among the old member ids.
            self._rebalancer.park_join(member, reply)
            self._rebalancer.rebalance(group)
            return
        self._answers.add(reply, _resumed(group, member, old_leader, request))

    def _pending_expired(self, group: Group, member_id: str) -> None:
        group.withdraw(member_id)
        self._rebalancer.stop_waiting(group)
        self._answers.give()


def refused(request: JoinRequest, error: GroupError) -> JoinReply:
    """The answer to a join that came to nothing."""
    too_many = error is GroupError.GROUP_MAX_SIZE_REACHED
    return JoinReply(error=error, member_id=UNKNOWN_MEMBER if too_many else request.member_id)


def _has_room(group: Group, request: JoinRequest) -> bool:
    member = group.members.get(request.member_id) or group.static_member(request.instance_id)
    others = len(group.members) + len(group.pending)
    if member is None and request.member_id not in group.pending and others >= MAX_GROUP_MEMBERS:
        return False
    before = 0 if member is None else metadata_size(member.protocols)
    after = group.metadata_bytes - before + metadata_size(request.protocols)
    return after <= MAX_METADATA_BYTES


def _changes_nothing(group: Group, member: Member, request: JoinRequest) -> bool:
    if member.protocols != request.protocols:
        return False
    if group.state is GroupState.STABLE:
        # The leader knows of reasons that no metadata shows, such as new partitions.
        return member.id != group.leader
    return group.state is GroupState.COMPLETING_REBALANCE


def _resumed(group: Group, member: Member, old_leader: str, request: JoinRequest) -> JoinReply:
    """The answer to a static member that takes its place again in a stable group.

    A leader must not divide the work again, because nobody would sync. One that knows
    ``skip_assignment`` is told so, with everyone's metadata, so that it can see changes coming
    (KIP-814); an older one is made to believe that its former self leads.
    """
    reply = joined(group, member)
    if request.skips_assignment:
        return dataclasses.replace(reply, skip_assignment=member.id == group.leader)
    return dataclasses.replace(reply, leader=old_leader, members=())
