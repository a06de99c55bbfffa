"""A group and its members: who is in, who leads, and which protocol they share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hubbub.broker.group_errors import GroupError
from hubbub.broker.group_messages import JoinedMember, MemberDescription
from hubbub.broker.group_state import NEXT_STATES, GroupState

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.deadline import Deadline
    from hubbub.broker.group_messages import (
        GroupProtocol,
        JoinReply,
        JoinRequest,
        MemberRequest,
        SyncReply,
    )
    from hubbub.broker.timers import Timer

# Seconds. A group whose members allow no time at all would be looked at without pause.
MIN_REBALANCE_TIMEOUT = 1.0
# What a protocol costs beyond its name and metadata, so that many empty ones count too.
PROTOCOL_BYTES = 64


class Member:
    """One member. ``join`` and ``sync`` are the answers it waits for."""

    __slots__ = (
        "assignment",
        "client_host",
        "client_id",
        "id",
        "instance_id",
        "is_new",
        "join",
        "protocols",
        "rebalance_timeout",
        "session",
        "session_timeout",
        "sync",
    )

    session: Deadline  # set by who admits it

    def __init__(self, member_id: str, request: JoinRequest) -> None:
        self.id = member_id
        self.instance_id = request.instance_id
        self.client_id = request.client_id
        self.client_host = request.client_host
        self.session_timeout = request.session_timeout
        self.rebalance_timeout = request.rebalance_timeout
        self.protocols = request.protocols
        self.assignment = b""
        self.is_new = True  # has not seen a generation yet
        self.join: Callable[[JoinReply], None] | None = None
        self.sync: Callable[[SyncReply], None] | None = None

    def metadata(self, protocol: str | None) -> bytes:
        """What the member says of itself under ``protocol``."""
        return next((known.metadata for known in self.protocols if known.name == protocol), b"")

    def describe(self, protocol: str | None) -> MemberDescription:
        """The member as an operator sees it; no metadata where the protocol is not settled."""
        return MemberDescription(
            self.id,
            self.instance_id,
            self.client_id,
            self.client_host,
            self.metadata(protocol),
            self.assignment,
        )


class Group:
    """One group. Who changes it (``Rebalancer``, ``Joins``) moves ``state`` through ``enter``."""

    def __init__(self, group_id: str, now_ms: int) -> None:
        self.id = group_id
        self.state = GroupState.EMPTY
        self.since_ms = now_ms  # when it entered its state
        self.is_first_rebalance = False  # Preparing, and Empty before: waits for more to come
        self.has_newcomers = False  # members came since that wait began, or was drawn out
        self.generation = 0
        self.protocol_type: str | None = None  # of the first member; stays when all have left
        self.protocol: str | None = None
        self.leader = ""
        self.members: dict[str, Member] = {}
        self.pending: dict[str, Deadline] = {}  # member ids handed out, not yet joined with
        self.unsynced: set[str] = set()  # members that have not asked for their share
        self.commits = 0  # on their way to the log
        self.phase_timer: Timer | None = None  # the end of Preparing, or of waiting for syncs
        self.metadata_bytes = 0
        self._static: dict[str, str] = {}  # instance id -> member id
        self._supporters: Counter[str] = Counter()  # protocol name -> members that know it

    def enter(self, state: GroupState, now_ms: int) -> None:
        """Move on to ``state``."""
        if state not in NEXT_STATES[self.state]:
            raise AssertionError(f"a group goes from {self.state} to {state} only by a bug")
        self.is_first_rebalance = self.state is GroupState.EMPTY
        self.state = state
        self.since_ms = now_ms

    @property
    def is_idle(self) -> bool:
        """Whether nobody is in it, nobody is about to be, and nothing is under way."""
        return self.state is GroupState.EMPTY and not self.pending and not self.commits

    @property
    def all_joined(self) -> bool:
        """Whether every member, and everyone given a member id, waits for the next generation."""
        return not self.pending and all(member.join for member in self.members.values())

    @property
    def rebalance_timeout(self) -> float:
        """Seconds that its slowest member may take to come back."""
        timeouts = (member.rebalance_timeout for member in self.members.values())
        return max(MIN_REBALANCE_TIMEOUT, max(timeouts, default=0.0))

    def check_member(self, member_id: str, instance_id: str | None) -> GroupError | None:
        """Whether such a member is in the group."""
        if instance_id is None:
            return None if member_id in self.members else GroupError.UNKNOWN_MEMBER_ID
        current = self._static.get(instance_id)
        if current is None:
            return GroupError.UNKNOWN_MEMBER_ID
        return None if current == member_id else GroupError.FENCED_INSTANCE_ID

    def check_generation(self, request: MemberRequest) -> GroupError | None:
        """Whether the request comes from a member of the current generation."""
        error = self.check_member(request.member_id, request.instance_id)
        if error is None and request.generation != self.generation:
            return GroupError.ILLEGAL_GENERATION
        return error

    def static_member(self, instance_id: str | None) -> Member | None:
        """The member that holds this static membership."""
        member_id = None if instance_id is None else self._static.get(instance_id)
        return None if member_id is None else self.members[member_id]

    def can_share_protocol(self, protocol_type: str, protocols: tuple[GroupProtocol, ...]) -> bool:
        """Whether a member with these would leave the group a protocol that everyone knows."""
        if not self.members:
            return bool(protocol_type and protocols)
        return protocol_type == self.protocol_type and any(
            self._supporters[protocol.name] == len(self.members) for protocol in protocols
        )

    def add(self, member: Member, protocol_type: str) -> None:
        """Let a member in; the first one leads."""
        if not self.members:
            self.protocol_type = protocol_type
        self.members[member.id] = member
        if member.instance_id is not None:
            self._static[member.instance_id] = member.id
        self.leader = self.leader or member.id
        self._count(member, 1)

    def remove(self, member: Member) -> None:
        """Let a member go; the one who has been here longest leads on."""
        del self.members[member.id]
        if member.instance_id is not None:
            del self._static[member.instance_id]
        self.unsynced.discard(member.id)
        if self.leader == member.id:
            self.leader = next(iter(self.members), "")
        self._count(member, -1)

    def withdraw(self, member_id: str) -> None:
        """Forget a member id that was handed out."""
        self.pending.pop(member_id).clear()

    def rename(self, member: Member, new_id: str) -> None:
        """Give a static member's place to its next incarnation, leadership and all."""
        del self.members[member.id]
        if self.leader == member.id:
            self.leader = new_id
        if member.id in self.unsynced:
            self.unsynced.remove(member.id)
            self.unsynced.add(new_id)
        member.id = new_id
        self.members[new_id] = member
        if member.instance_id is not None:
            self._static[member.instance_id] = new_id

    def update(self, member: Member, request: JoinRequest) -> None:
        """Take over what a member says of itself when it joins again."""
        self._count(member, -1)
        member.client_id = request.client_id
        member.client_host = request.client_host
        member.protocols = request.protocols
        member.session_timeout = request.session_timeout
        member.rebalance_timeout = request.rebalance_timeout
        self._count(member, 1)

    def elect_leader(self) -> bool:
        """Make sure that the leader has joined; False if nobody has."""
        if self.leader and self.members[self.leader].join:
            return True
        for member in self.members.values():
            if member.join:
                self.leader = member.id
                return True
        return False

    def choose_protocol(self) -> str:
        """The protocol that most members like best of those that all know."""
        votes = Counter(
            next(
                protocol.name
                for protocol in member.protocols
                if self._supporters[protocol.name] == len(self.members)
            )
            for member in self.members.values()
        )
        return votes.most_common(1)[0][0]

    def roster(self) -> tuple[JoinedMember, ...]:
        """Everyone, for the leader."""
        return tuple(
            JoinedMember(member.id, member.instance_id, member.metadata(self.protocol))
            for member in self.members.values()
        )

    def _count(self, member: Member, sign: int) -> None:
        for name in {protocol.name for protocol in member.protocols}:
            self._supporters[name] += sign
            if not self._supporters[name]:
                del self._supporters[name]
        self.metadata_bytes += sign * metadata_size(member.protocols)


def metadata_size(protocols: tuple[GroupProtocol, ...]) -> int:
    """Bytes that a member's protocols take, about."""
    return sum(PROTOCOL_BYTES + len(name) + len(metadata) for name, metadata in protocols)
