"""Whatever members do, in whatever order, a group keeps its promises and settles."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from group_room import GATHER, REBALANCE, SESSION, Client, Room
from hubbub.broker.group_members import metadata_size
from hubbub.broker.group_messages import GroupProtocol
from hubbub.broker.group_rebalance import NEW_MEMBER_JOIN_TIMEOUT
from hubbub.broker.group_state import GroupState

SLOTS = 4
slots = st.integers(0, SLOTS - 1)


class Witness(Client):
    """A client that reports every generation that it comes to see."""

    def __init__(self, machine, instance):
        super().__init__(machine.room, instance)
        self.machine = machine

    def _joined(self, reply):
        super()._joined(reply)
        self.machine.saw(reply)


class Groups(RuleBasedStateMachine):
    """Four clients, two of them static, that do what clients may do and much that they may not."""

    def __init__(self):
        super().__init__()
        self.room = Room()
        self.clients = []
        self.generation = 0
        self.leaders = {}

    @initialize(delay=st.sampled_from([0.0, 0.1]))
    def begin(self, delay):
        self.room = Room(delay=delay)
        self.clients = [Witness(self, name) for name in ("a", "b", None, None)]

    def _client(self, slot):
        return self.clients[slot]

    @rule(slot=slots, preference=st.sampled_from([b"one", b"two"]))
    def join(self, slot, preference):
        client = self._client(slot)
        client.join(protocols=(GroupProtocol("range", preference),))
        if client.joined is not None and client.joined.error is not None:
            client.id = ""  # as clients do: start over

    @rule(present=st.lists(slots, unique=True, min_size=2))
    def gather(self, present):
        """These act as good members do, until there is nothing more to do."""
        for slot in present:
            self.join(slot, b"one")
        self.room.wait(GATHER)
        for slot in present:
            self.sync(slot)

    @rule(slot=slots)
    def restart(self, slot):
        """The connection and all that the client knew are gone; a parked answer goes nowhere."""
        self.clients[slot] = Witness(self, self._client(slot).instance)

    @rule(slot=slots)
    def sync(self, slot):
        client = self._client(slot)
        members = client.joined.members if client.joined else ()
        client.sync({member.member_id: client.id.encode() for member in members})

    @rule(slot=slots)
    def heartbeat(self, slot):
        self._client(slot).heartbeat()

    @rule(slot=slots)
    def leave(self, slot):
        self._client(slot).leave()

    @rule(slot=slots)
    def commit(self, slot):
        self._client(slot).commit()

    @rule()
    def delete(self):
        self.room.groups.delete("g", lambda _: None)
        if self.room.state() is None:
            self.generation = 0

    @rule(seconds=st.sampled_from([0.05, 0.3, 4.0, SESSION, REBALANCE]))
    def wait(self, seconds):
        self.room.wait(seconds)

    @invariant()
    def a_generation_never_falls(self):
        group = self.room.groups._groups.get("g")
        if group is None:
            self.generation = 0
        else:
            assert group.generation >= self.generation
            self.generation = group.generation

    @invariant()
    def the_books_are_right(self):
        group = self.room.groups._groups.get("g")
        if group is None:
            return
        assert bool(group.members) == (group.state is not GroupState.EMPTY) or (
            group.state is GroupState.PREPARING_REBALANCE
        )
        assert (group.leader in group.members) if group.members else (group.leader == "")
        assert group.unsynced <= set(group.members)
        assert not set(group.pending) & set(group.members)
        assert len(group._static) == sum(
            member.instance_id is not None for member in group.members.values()
        )
        assert group.metadata_bytes == sum(
            metadata_size(member.protocols) for member in group.members.values()
        )

    @invariant()
    def who_waits_waits_for_something(self):
        group = self.room.groups._groups.get("g")
        for member in group.members.values() if group else ():
            if member.join:
                assert group.state is GroupState.PREPARING_REBALANCE
                assert group.phase_timer is not None
            if member.sync:
                assert group.state is GroupState.COMPLETING_REBALANCE

    def saw(self, reply):
        """At most one member is asked to divide a generation's work, and among its members only."""
        if reply.error is None and reply.members and not reply.skip_assignment:
            assert reply.leader == reply.member_id
            assert reply.leader in {member.member_id for member in reply.members}
            generation = (self.room.groups._groups["g"], reply.generation)
            assert self.leaders.setdefault(generation, reply.leader) == reply.leader

    def teardown(self):
        """Everyone falls silent: every answer comes, and the group ends up empty."""
        self.room.wait(NEW_MEMBER_JOIN_TIMEOUT + 3 * (REBALANCE + SESSION))
        assert self.room.state() in {None, "Empty"}
        assert not any(client.joining or client.syncing for client in self.clients)
        if not self.clients:
            return
        fresh = [Client(self.room) for _ in range(3)]
        for client in fresh:
            client.join()
        self.room.wait(GATHER)
        if self.room.state() == "PreparingRebalance":
            for client in fresh:
                if not client.joining:
                    client.join()
        for client in fresh:
            client.sync({other.id: b"share" for other in fresh})
        assert self.room.state() == "Stable"


TestGroups = Groups.TestCase
TestGroups.settings = settings(max_examples=150, stateful_step_count=40)
