"""A group coordinator with a clock moved by hand, and members that speak to it."""

from __future__ import annotations

from hubbub.broker.config import BrokerConfig
from hubbub.broker.group_messages import (
    CommitRequest,
    GroupProtocol,
    JoinRequest,
    LeavingMember,
    MemberRequest,
    SyncRequest,
)
from hubbub.broker.groups import GroupCoordinator
from hubbub.broker.offset_records import Committed
from hubbub.broker.offsets import CommittedOffsets
from hubbub.broker.timers import Timers
from partition_log import HandSyncedLog

DELAY = 0.1
# Members that come within the first wait draw it out by another one.
GATHER = 3 * DELAY
SESSION = 10.0
REBALANCE = 60.0
RANGE = (GroupProtocol("range", b"r"), GroupProtocol("sticky", b"s"))


class Room:
    """The coordinator and its time."""

    def __init__(self, log=None, delay=DELAY):
        self.timers = Timers(0.0, 1_000_000)
        self.log = log or HandSyncedLog()
        self.offsets = CommittedOffsets([self.log], self.timers)
        self.groups = GroupCoordinator(
            self.timers, self.offsets, BrokerConfig(initial_rebalance_delay=delay)
        )

    def wait(self, seconds):
        """Move the clock, stopping at every timer as a server's loop would."""
        end = self.timers.now + seconds
        while (due := self.timers.next_due()) is not None and due < end:
            self._advance(max(due, self.timers.now))
        self._advance(end)

    def _advance(self, now):
        passed = now - self.timers.now
        self.timers.advance(now, self.timers.wall_ms + round(passed * 1000))

    def stable(self, *members):
        """Bring the members together in a new generation in which each has a share."""
        for member in members:
            if not member.joining:
                member.join()
        self.wait(GATHER)
        for member in members:
            member.sync({other.id: other.id.encode() for other in members})
        return members

    def state(self, group="g"):
        described = self.groups.describe(group)
        return described and str(described.state)


class Client:
    """One member of group ``g``. It keeps the last answer to each thing that it asked for."""

    def __init__(self, room, instance=None, **fields):
        self.room = room
        self.instance = instance
        self.id = ""
        self.generation = -1
        self.joining = self.syncing = False
        self.joined = self.synced = None
        self.fields = {
            "group_id": "g",
            "client_id": "client",
            "client_host": "/127.0.0.1",
            "session_timeout": SESSION,
            "rebalance_timeout": REBALANCE,
            "protocol_type": "consumer",
            "protocols": RANGE,
        } | fields

    def join(self, **fields):
        """Join, and join again when told to with a member id."""
        self.joining, self.joined = True, None
        request = {"member_id": self.id, "instance_id": self.instance} | self.fields | fields
        self.room.groups.join(JoinRequest(**request), self._joined)
        return self.joined

    def _joined(self, reply):
        self.joining, self.joined = False, reply
        if reply.error is None:
            self.id, self.generation = reply.member_id, reply.generation
        elif reply.error.name == "MEMBER_ID_REQUIRED":
            self.id = reply.member_id
            self.join()

    def sync(self, assignments=None, **fields):
        self.syncing, self.synced = True, None
        shares = assignments if self.leads else {}
        request = self.identity | {"assignments": shares or {}} | fields
        self.room.groups.sync(SyncRequest(**request), self._synced)
        return self.synced

    def _synced(self, reply):
        self.syncing, self.synced = False, reply

    @property
    def leads(self):
        return self.joined is not None and self.joined.leader == self.id

    @property
    def identity(self):
        return {
            "group_id": self.fields["group_id"],
            "member_id": self.id,
            "instance_id": self.instance,
            "generation": self.generation,
        }

    def heartbeat(self, **fields):
        return self.room.groups.heartbeat(MemberRequest(**self.identity | fields))

    def leave(self):
        return self.room.groups.leave("g", [LeavingMember(self.id, self.instance)])

    def commit(self, position=7, **fields):
        outcomes = []
        offsets = {("t", 0): Committed(position, commit_ms=self.room.timers.wall_ms)}
        request = CommitRequest(**self.identity | {"offsets": offsets} | fields)
        self.room.groups.commit(request, outcomes.append)
        return outcomes[0] if outcomes else "not yet"
