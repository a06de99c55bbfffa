"""Why a group coordinator refuses, in the names that Kafka gave these errors."""

from __future__ import annotations

from enum import Enum, auto


class GroupError(Enum):
    """A refusal; None stands for success wherever one is returned."""

    COORDINATOR_NOT_AVAILABLE = auto()  # no room for another group
    FENCED_INSTANCE_ID = auto()  # another member has taken this static membership over
    GROUP_ID_NOT_FOUND = auto()
    GROUP_MAX_SIZE_REACHED = auto()
    ILLEGAL_GENERATION = auto()
    INCONSISTENT_GROUP_PROTOCOL = auto()  # shares no protocol with every other member
    INVALID_COMMIT_OFFSET_SIZE = auto()  # more offsets than one batch holds
    INVALID_GROUP_ID = auto()
    INVALID_SESSION_TIMEOUT = auto()
    MEMBER_ID_REQUIRED = auto()  # join again, with the member id in this answer
    NON_EMPTY_GROUP = auto()
    NOT_COORDINATOR = auto()  # the offsets could not be stored
    REBALANCE_IN_PROGRESS = auto()
    UNKNOWN_MEMBER_ID = auto()
