"""What is asked of a group coordinator and what it answers. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.group_errors import GroupError
    from hubbub.broker.group_state import GroupState
    from hubbub.broker.offset_records import Committed, PartitionKey

UNKNOWN_MEMBER = ""  # the member id of who has none yet
NO_GENERATION = -1


class GroupProtocol(NamedTuple):
    """A way to divide the work that a member knows, and what it tells its leader about itself."""

    name: str
    metadata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """A member comes, comes back, or brings new metadata."""

    group_id: str
    member_id: str = UNKNOWN_MEMBER
    instance_id: str | None = None  # makes it a static member (KIP-345)
    client_id: str = ""
    client_host: str = ""
    session_timeout: float
    rebalance_timeout: float
    protocol_type: str
    protocols: tuple[GroupProtocol, ...]  # the preferred one first
    takes_member_id: bool = True  # joins again with the id it is given (KIP-394)
    skips_assignment: bool = True  # as leader, knows ``JoinReply.skip_assignment`` (KIP-814)


class JoinedMember(NamedTuple):
    """A member as its leader sees it."""

    member_id: str
    instance_id: str | None
    metadata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinReply:
    """``members`` is for the leader only, who answers with a SyncRequest that assigns them work."""

    error: GroupError | None = None
    generation: int = NO_GENERATION
    protocol_type: str | None = None
    protocol: str | None = None
    leader: str = ""
    member_id: str = UNKNOWN_MEMBER
    members: tuple[JoinedMember, ...] = ()
    skip_assignment: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRequest:
    """Something asked as a member of one generation."""

    group_id: str
    member_id: str = UNKNOWN_MEMBER
    instance_id: str | None = None
    generation: int = NO_GENERATION


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest(MemberRequest):
    """A member asks for its share; the leader brings everyone's."""

    protocol_type: str | None = None  # None: does not say
    protocol: str | None = None
    assignments: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReply:
    """A member's share."""

    error: GroupError | None = None
    protocol_type: str | None = None
    protocol: str | None = None
    assignment: bytes = b""


class LeavingMember(NamedTuple):
    """Who leaves; an operator names a static member by its instance id alone."""

    member_id: str
    instance_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRequest(MemberRequest):
    """Offsets to keep. Without generation and member id it comes from outside the group."""

    offsets: Mapping[PartitionKey, Committed]


class MemberDescription(NamedTuple):
    """A member as an operator sees it."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    metadata: bytes
    assignment: bytes


class GroupDescription(NamedTuple):
    """A group as an operator sees it; only a stable group's protocol and metadata mean something."""

    group_id: str
    state: GroupState
    protocol_type: str
    protocol: str
    members: tuple[MemberDescription, ...]


class ListedGroup(NamedTuple):
    """A group in the list of all groups."""

    group_id: str
    state: GroupState
    protocol_type: str
