"""Consumer groups: Kafka's classic group protocol, as its broker plays it.

Members join, the coordinator elects a leader among them and agrees on a protocol, the leader divides
the work, and each member syncs to learn its share. What a share is, only members know. (Kafka:
"Kafka Client-side Assignment Proposal", KIP-134, 345, 394, 814.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.broker.answers import Answers
from hubbub.broker.group_errors import GroupError
from hubbub.broker.group_join import Joins, refused
from hubbub.broker.group_members import Group
from hubbub.broker.group_messages import (
    UNKNOWN_MEMBER,
    GroupDescription,
    ListedGroup,
    SyncReply,
)
from hubbub.broker.group_rebalance import Rebalancer, share_of
from hubbub.broker.group_state import GroupState
from hubbub.model.errors import MessageTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from hubbub.broker.config import BrokerConfig
    from hubbub.broker.group_messages import (
        CommitRequest,
        JoinReply,
        JoinRequest,
        LeavingMember,
        MemberRequest,
        SyncRequest,
    )
    from hubbub.broker.offset_records import PartitionKey
    from hubbub.broker.offsets import CommittedOffsets
    from hubbub.broker.timers import Timers

# Groups cost memory as soon as anyone names them; Kafka's largest installations have fewer.
MAX_GROUPS = 100_000
# Kafka's offsets.retention.minutes: a week to find out that a consumer has stopped.
OFFSETS_RETENTION_MS = 7 * 24 * 3600 * 1000
# Kafka's offsets.retention.check.interval.ms, in seconds.
EXPIRY_INTERVAL = 10 * 60.0

# The only protocol type that says which topics a member reads; all others are opaque.
CONSUMER_PROTOCOL_TYPE = "consumer"


class GroupCoordinator:
    """All groups. Answers come by callback, at once or when the group got that far.

    Callbacks must not raise; one whose connection is gone does nothing. Such a member costs its group
    no more than its session timeout.
    """

    def __init__(self, timers: Timers, offsets: CommittedOffsets, config: BrokerConfig) -> None:
        self._timers = timers
        self._offsets = offsets
        self._config = config
        self._answers = Answers()
        self._rebalancer = Rebalancer(timers, self._answers, config.initial_rebalance_delay)
        self._joins = Joins(timers, self._answers, self._rebalancer)
        self._groups = {group_id: Group(group_id, timers.wall_ms) for group_id in offsets.groups()}
        timers.after(EXPIRY_INTERVAL, self._expire)

    # Members

    def join(self, request: JoinRequest, reply: Callable[[JoinReply], None]) -> None:
        """Become a member, or join again; answered when the next generation is complete."""
        error = self._join(request, reply)
        if error is not None:
            self._answers.add(reply, refused(request, error))
        self._answers.give()

    def sync(self, request: SyncRequest, reply: Callable[[SyncReply], None]) -> None:
        """Learn one's share; answered when the leader has divided the work."""
        error = self._sync(request, reply)
        if error is not None:
            self._answers.add(reply, SyncReply(error=error))
        self._answers.give()

    def heartbeat(self, request: MemberRequest) -> GroupError | None:
        """Stay a member for another session timeout."""
        group, error = self._member_group(request)
        if group is None or error is not None:
            return error
        self._rebalancer.keep_alive(group.members[request.member_id])
        if group.state is GroupState.PREPARING_REBALANCE:
            return GroupError.REBALANCE_IN_PROGRESS
        return None

    def leave(
        self, group_id: str, leaving: Sequence[LeavingMember]
    ) -> GroupError | list[GroupError | None]:
        """Take members out; the result is per member, or one error for the whole request."""
        if not group_id:
            return GroupError.INVALID_GROUP_ID
        group = self._groups.get(group_id)
        if group is None:
            return GroupError.UNKNOWN_MEMBER_ID
        size = len(group.members)
        errors = [self._leave(group, who) for who in leaving]
        if len(group.members) < size:
            self._rebalancer.rebalance(group)
        else:
            self._rebalancer.stop_waiting(group)
        self._answers.give()
        return errors

    # Offsets

    def commit(self, request: CommitRequest, done: Callable[[GroupError | None], None]) -> None:
        """Keep offsets; ``done`` once they survive power loss, or with why they will not."""
        group = self._groups.get(request.group_id)
        if group is None and request.generation < 0:
            group = self._create(request.group_id)  # for a consumer that assigns itself its work
            error = None if group else GroupError.COORDINATOR_NOT_AVAILABLE
        else:
            error = self._check_commit(group, request)
        if group is None or error is not None:
            done(error)
            return
        group.commits += 1

        def stored(failure: Exception | None) -> None:
            group.commits -= 1
            done(_storage_error(failure))

        self._offsets.commit(request.group_id, request.offsets, stored)

    def delete_offsets(
        self,
        group_id: str,
        keys: Collection[PartitionKey],
        done: Callable[[GroupError | None], None],
    ) -> None:
        """Forget offsets.

        Only a consumer group may have members then, none of which is subscribed to the topics: whoever
        asks has made sure of that.
        """
        group = self._groups.get(group_id)
        if not group_id:
            done(GroupError.INVALID_GROUP_ID)
        elif group is None:
            done(GroupError.GROUP_ID_NOT_FOUND)
        elif group.members and group.protocol_type != CONSUMER_PROTOCOL_TYPE:
            done(GroupError.NON_EMPTY_GROUP)
        else:
            self._offsets.delete(group_id, keys, lambda failure: done(_storage_error(failure)))

    # Operators

    def describe(self, group_id: str) -> GroupDescription | None:
        """The group, or None if there is none of that name."""
        group = self._groups.get(group_id)
        if group is None:
            return None
        protocol = group.protocol if group.state is GroupState.STABLE else None
        return GroupDescription(
            group_id,
            group.state,
            group.protocol_type or "",
            protocol or "",
            tuple(member.describe(protocol) for member in group.members.values()),
        )

    def subscriptions(self, group_id: str) -> list[bytes]:
        """What each member says of itself under the protocol in use; empty if none is settled."""
        group = self._groups.get(group_id)
        if group is None:
            return []
        return [member.metadata(group.protocol) for member in group.members.values()]

    def listing(self) -> list[ListedGroup]:
        """All groups."""
        return [
            ListedGroup(group.id, group.state, group.protocol_type or "")
            for group in self._groups.values()
        ]

    def delete(self, group_id: str, done: Callable[[GroupError | None], None]) -> None:
        """Forget a group without members, and its offsets."""
        group = self._groups.get(group_id)
        if group is None:
            done(GroupError.GROUP_ID_NOT_FOUND)
        elif group.state is not GroupState.EMPTY:
            done(GroupError.NON_EMPTY_GROUP)
        else:
            self._bury(group)
            self._offsets.delete_group(group_id, lambda failure: done(_storage_error(failure)))

    def _join(self, request: JoinRequest, reply: Callable[[JoinReply], None]) -> GroupError | None:
        if not request.group_id:
            return GroupError.INVALID_GROUP_ID
        shortest, longest = self._config.min_session_timeout, self._config.max_session_timeout
        if not shortest <= request.session_timeout <= longest:
            return GroupError.INVALID_SESSION_TIMEOUT
        group = self._groups.get(request.group_id)
        if group is not None:
            return self._joins.join(group, request, reply)
        if request.member_id != UNKNOWN_MEMBER:
            return GroupError.UNKNOWN_MEMBER_ID
        group = self._create(request.group_id)
        if group is None:
            return GroupError.COORDINATOR_NOT_AVAILABLE
        error = self._joins.join(group, request, reply)
        if error is not None:
            self._bury(group)
        return error

    def _sync(self, request: SyncRequest, reply: Callable[[SyncReply], None]) -> GroupError | None:
        group, error = self._member_group(request)
        if group is None or error is not None:
            return error
        if request.protocol_type not in {None, group.protocol_type} or request.protocol not in {
            None,
            group.protocol,
        }:
            return GroupError.INCONSISTENT_GROUP_PROTOCOL
        if group.state is GroupState.PREPARING_REBALANCE:
            return GroupError.REBALANCE_IN_PROGRESS
        member = group.members[request.member_id]
        if group.state is GroupState.STABLE:
            self._rebalancer.synced(group, member)
            self._answers.add(reply, share_of(group, member))
            return None
        self._rebalancer.park_sync(group, member, reply)
        if member.id == group.leader:
            self._rebalancer.assign(group, request.assignments)
        return None

    def _member_group(self, request: MemberRequest) -> tuple[Group | None, GroupError | None]:
        """The group, and whether the request comes from a member of its current generation."""
        if not request.group_id:
            return None, GroupError.INVALID_GROUP_ID
        group = self._groups.get(request.group_id)
        if group is None:
            return None, GroupError.UNKNOWN_MEMBER_ID
        return group, group.check_generation(request)

    def _leave(self, group: Group, who: LeavingMember) -> GroupError | None:
        if who.member_id in group.pending:
            group.withdraw(who.member_id)
            return None
        if who.member_id == UNKNOWN_MEMBER:
            member = group.static_member(who.instance_id)
            if member is None:
                return GroupError.UNKNOWN_MEMBER_ID
        else:
            error = group.check_member(who.member_id, who.instance_id)
            if error is not None:
                return error
            member = group.members[who.member_id]
        self._rebalancer.remove(group, member)
        return None

    def _check_commit(self, group: Group | None, request: CommitRequest) -> GroupError | None:
        if group is None:
            return GroupError.GROUP_ID_NOT_FOUND
        if request.generation < 0 and group.state is GroupState.EMPTY:
            return None  # from an operator, or as above
        error = group.check_generation(request)
        if error is not None:
            return error
        if group.state is GroupState.COMPLETING_REBALANCE:
            return GroupError.REBALANCE_IN_PROGRESS
        self._rebalancer.keep_alive(group.members[request.member_id])
        return None

    def _create(self, group_id: str) -> Group | None:
        if len(self._groups) >= MAX_GROUPS:
            return None
        group = self._groups[group_id] = Group(group_id, self._timers.wall_ms)
        return group

    def _bury(self, group: Group) -> None:
        for member_id in list(group.pending):
            group.withdraw(member_id)
        group.enter(GroupState.DEAD, self._timers.wall_ms)
        del self._groups[group.id]

    def _expire(self) -> None:
        """Forget the offsets of groups long without members, and groups without offsets.

        An offset lives as long after its commit and after its group lost its last member, whichever
        came later. How long a group had been empty before a restart is not known; the time counts
        anew, because losing a position is worse than keeping it for too long.
        """
        limit = self._timers.wall_ms - OFFSETS_RETENTION_MS
        for group in [group for group in self._groups.values() if group.is_idle]:
            kept = self._offsets.committed(group.id)
            expired = [
                key
                for key, committed in kept.items()
                if committed.expired(self._timers.wall_ms, limit, group.since_ms)
            ]
            if expired:
                self._offsets.delete(group.id, expired, lambda _: None)
            if len(expired) == len(kept):
                self._bury(group)
        self._timers.after(EXPIRY_INTERVAL, self._expire)


def _storage_error(failure: Exception | None) -> GroupError | None:
    if failure is None:
        return None
    if isinstance(failure, MessageTooLargeError):
        return GroupError.INVALID_COMMIT_OFFSET_SIZE
    return GroupError.NOT_COORDINATOR
