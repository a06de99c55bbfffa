"""Consumer groups as Kafka's clients ask for them: the classic protocol and its administration."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from hubbub.broker.group_errors import GroupError
from hubbub.broker.group_messages import (
    GroupProtocol,
    JoinRequest,
    LeavingMember,
    MemberRequest,
    SyncRequest,
)
from hubbub.broker.group_state import GroupState
from hubbub.protocols.kafka.gather import gather
from hubbub.protocols.kafka.reader import MalformedRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.group_messages import GroupDescription, JoinReply, SyncReply
    from hubbub.protocols.kafka.context import Handler, Reply, RequestContext

# How a group coordinates itself (KIP-848, 932, 1071): ours are all of the first kind.
_CLASSIC = "classic"

_OPERATIONS_NOT_ASKED_FOR = -(2**31)

# What DescribeGroups tells of members in one response; a group of a thousand has a few MiB. The
# fields beside their metadata and assignment are counted as this much.
MAX_DESCRIBED_BYTES = 64 * 1024 * 1024
_DESCRIPTION_BYTES = 256

# Since these versions a client can be told, and understands, what older ones cannot.
_JOIN_TAKES_MEMBER_ID = 4  # KIP-394
_JOIN_NULL_PROTOCOL = 7
_JOIN_SKIPS_ASSIGNMENT = 9  # KIP-814
_LEAVE_MANY = 3  # KIP-345
_DESCRIBE_NOT_FOUND = 6  # KIP-1043
_FIND_MANY = 4  # KIP-699


class _Coordinator(IntEnum):
    """What FindCoordinator finds the coordinator of; share groups are not served."""

    GROUP = 0
    TRANSACTION = 1


class _AclOperation(IntEnum):
    """Operations on a group that exist here (``AclOperation``)."""

    READ = 3
    DELETE = 6
    DESCRIBE = 8


def error_code(error: GroupError | None) -> ErrorCode:
    """Kafka's code; the names are alike."""
    return ErrorCode.none if error is None else ErrorCode[error.name.lower()]


# FindCoordinator


def find_coordinator(context: RequestContext, request: Any, reply: Reply) -> None:
    """This broker, whatever is to be coordinated."""
    kind = getattr(request, "key_type", _Coordinator.GROUP)  # since version 1
    where = _coordinator(context, known=kind in set(_Coordinator))
    if context.api_version < _FIND_MANY:
        reply(context.make("FindCoordinatorResponse", **where))
        return
    coordinators = tuple(
        context.make("Coordinator", key=key, **where) for key in request.coordinator_keys
    )
    reply(context.make("FindCoordinatorResponse", coordinators=coordinators))


def _coordinator(context: RequestContext, *, known: bool) -> dict[str, Any]:
    if not known:
        return {
            "error_code": ErrorCode.invalid_request,
            "error_message": "The coordinator key type is not supported.",
            "node_id": -1,
            "host": "",
            "port": -1,
        }
    node = context.node
    return {
        "error_code": ErrorCode.none,
        "error_message": None,
        "node_id": node.node_id,
        "host": node.host,
        "port": node.port,
    }


# JoinGroup


def join_group(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answered when everyone has joined."""
    session_timeout = request.session_timeout
    # Version 0 knows one timeout for both.
    rebalance_timeout = getattr(request, "rebalance_timeout", session_timeout)
    join = JoinRequest(
        group_id=request.group_id,
        member_id=request.member_id,
        instance_id=getattr(request, "group_instance_id", None),
        client_id=context.client_id or "",
        client_host=f"/{context.client_host}",  # as Java shows an address without a name
        session_timeout=session_timeout.total_seconds(),
        rebalance_timeout=rebalance_timeout.total_seconds(),
        protocol_type=request.protocol_type,
        protocols=tuple(
            GroupProtocol(protocol.name, protocol.metadata) for protocol in request.protocols
        ),
        takes_member_id=context.api_version >= _JOIN_TAKES_MEMBER_ID,
        skips_assignment=context.api_version >= _JOIN_SKIPS_ASSIGNMENT,
    )
    context.broker.groups.join(join, lambda joined: reply(_joined(context, joined)))


def _joined(context: RequestContext, joined: JoinReply) -> Any:
    members = tuple(
        context.make(
            "JoinGroupResponseMember",
            member_id=member.member_id,
            group_instance_id=member.instance_id,
            metadata=member.metadata,
        )
        for member in joined.members
    )
    no_protocol = None if context.api_version >= _JOIN_NULL_PROTOCOL else ""
    return context.make(
        "JoinGroupResponse",
        error_code=error_code(joined.error),
        generation_id=joined.generation,
        protocol_type=joined.protocol_type,
        protocol_name=no_protocol if joined.protocol is None else joined.protocol,
        leader=joined.leader,
        skip_assignment=joined.skip_assignment,
        member_id=joined.member_id,
        members=members,
    )


# Heartbeat


def heartbeat(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answered at once."""
    error = context.broker.groups.heartbeat(MemberRequest(**_membership(request)))
    reply(context.make("HeartbeatResponse", error_code=error_code(error)))


def _membership(request: Any) -> dict[str, Any]:
    return {
        "group_id": request.group_id,
        "member_id": request.member_id,
        "instance_id": getattr(request, "group_instance_id", None),
        "generation": request.generation_id,
    }


# LeaveGroup


def leave_group(context: RequestContext, request: Any, reply: Reply) -> None:
    """One member up to version 2, then any number."""
    if context.api_version < _LEAVE_MANY:
        leaving = [LeavingMember(request.member_id)]
    else:
        leaving = [
            LeavingMember(member.member_id, member.group_instance_id) for member in request.members
        ]
    errors = context.broker.groups.leave(request.group_id, leaving)
    if isinstance(errors, GroupError):
        reply(context.make("LeaveGroupResponse", error_code=error_code(errors), members=()))
    elif context.api_version < _LEAVE_MANY:
        reply(context.make("LeaveGroupResponse", error_code=error_code(errors[0])))
    else:
        members = tuple(
            context.make(
                "MemberResponse",
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                error_code=error_code(error),
            )
            for member, error in zip(leaving, errors, strict=True)
        )
        reply(context.make("LeaveGroupResponse", error_code=ErrorCode.none, members=members))


# SyncGroup


def sync_group(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answered when the leader has synced."""
    sync = SyncRequest(
        **_membership(request),
        protocol_type=getattr(request, "protocol_type", None),
        protocol=getattr(request, "protocol_name", None),
        assignments={share.member_id: share.assignment for share in request.assignments},
    )

    def synced(share: SyncReply) -> None:
        response = context.make(
            "SyncGroupResponse",
            error_code=error_code(share.error),
            protocol_type=share.protocol_type,
            protocol_name=share.protocol,
            assignment=share.assignment,
        )
        reply(response)

    context.broker.groups.sync(sync, synced)


# DescribeGroups


def describe_groups(context: RequestContext, request: Any, reply: Reply) -> None:
    """Each group with its members, once, and as many as one response holds."""
    operations = _OPERATIONS_NOT_ASKED_FOR
    if getattr(request, "include_authorized_operations", False):
        operations = sum(1 << operation for operation in _AclOperation)
    room = MAX_DESCRIBED_BYTES
    groups = []
    for group_id in dict.fromkeys(request.groups):
        group = context.broker.groups.describe(group_id)
        room -= _size(group)
        if room < 0:
            raise MalformedRequestError("the groups to describe do not fit into one response")
        groups.append(_described(context, group_id, group, operations))
    reply(context.make("DescribeGroupsResponse", groups=tuple(groups)))


def _size(group: GroupDescription | None) -> int:
    """About how many bytes the description has."""
    members = group.members if group else ()
    return _DESCRIPTION_BYTES + sum(
        _DESCRIPTION_BYTES + len(member.metadata) + len(member.assignment) for member in members
    )


def _described(
    context: RequestContext, group_id: str, group: GroupDescription | None, operations: int
) -> Any:
    if group is None:
        # Older clients take a group that is not there for one that has died.
        not_found = context.api_version >= _DESCRIBE_NOT_FOUND
        return context.make(
            "DescribedGroup",
            error_code=ErrorCode.group_id_not_found if not_found else ErrorCode.none,
            error_message=f"Group {group_id} not found.",
            group_id=group_id,
            group_state=GroupState.DEAD,
            protocol_type="",
            protocol_data="",
            members=(),
        )
    return context.make(
        "DescribedGroup",
        error_code=ErrorCode.none,
        group_id=group_id,
        group_state=group.state,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol,
        members=_described_members(context, group),
        authorized_operations=operations,
    )


def _described_members(context: RequestContext, group: GroupDescription) -> tuple[Any, ...]:
    return tuple(
        context.make(
            "DescribedGroupMember",
            member_id=member.member_id,
            group_instance_id=member.instance_id,
            client_id=member.client_id,
            client_host=member.client_host,
            member_metadata=member.metadata,
            member_assignment=member.assignment,
        )
        for member in group.members
    )


# ListGroups


def list_groups(context: RequestContext, request: Any, reply: Reply) -> None:
    """All groups, or those in the states (since version 4) and of the types (5) asked for."""
    states = {state.strip().lower() for state in getattr(request, "states_filter", ())}
    types = {kind.lower() for kind in getattr(request, "types_filter", ())}
    groups = tuple(
        context.make(
            "ListedGroup",
            group_id=group.group_id,
            protocol_type=group.protocol_type,
            group_state=group.state,
            group_type=_CLASSIC,
        )
        for group in context.broker.groups.listing()
        if (not states or group.state.lower() in states) and (not types or _CLASSIC in types)
    )
    reply(context.make("ListGroupsResponse", error_code=ErrorCode.none, groups=groups))


# DeleteGroups


def delete_groups(context: RequestContext, request: Any, reply: Reply) -> None:
    """Answered when the offsets of the last group are gone for good."""

    def deleted(errors: Mapping[str, GroupError | None]) -> None:
        results = tuple(
            context.make("DeletableGroupResult", group_id=group_id, error_code=error_code(error))
            for group_id, error in errors.items()
        )
        reply(context.make("DeleteGroupsResponse", results=results))

    gather(request.groups_names, context.broker.groups.delete, deleted)


HANDLERS: dict[int, Handler] = {
    10: find_coordinator,
    11: join_group,
    12: heartbeat,
    13: leave_group,
    14: sync_group,
    15: describe_groups,
    16: list_groups,
    42: delete_groups,
}
