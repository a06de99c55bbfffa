# cython: language_level=3, boundscheck=False, wraparound=False
"""Observers that share the messages among themselves: each goes to one of them, chosen at random.

Nothing is kept, so what the chosen one loses is lost; ``hubbub.broker.shared`` is for the rest.
"""

from libc.stdint cimport uint64_t

from hubbub.broker.run cimport Run, RunObserver

import secrets

from hubbub.model.faults import contain

cdef uint64_t _random = secrets.randbits(64) | 1


cdef inline uint64_t next_random() noexcept:
    """Xorshift64 (Marsaglia 2003): spreads work evenly, and is nothing to rely on for secrets."""
    global _random
    _random ^= _random << 13
    _random ^= _random >> 7
    _random ^= _random << 17
    return _random


def with_turns(observers):
    cdef list found = []
    cdef dict shares = {}
    for observer in observers:
        share = getattr(observer, "share", None)
        if share is None:
            found.append(observer)
        elif share in shares:
            shares[share].append(observer)
        else:
            shares[share] = [observer]
    for members in shares.values():
        found.append(members[0] if len(members) == 1 else Turns(members))
    return tuple(found)


cdef class Turns(RunObserver):
    """The members of one share that an address reaches."""

    def __init__(self, list members not None):
        self._members = members

    @property
    def subscriber(self):
        return self._members[0].subscriber

    @property
    def members(self):
        return tuple(self._members)

    cdef object among(self, object may_receive, str address):
        """One of those who may have a message to this address, or None."""
        allowed = [member for member in self._members if may_receive(member, address)]
        return allowed[next_random() % <uint64_t>len(allowed)] if allowed else None

    cdef Py_ssize_t room(self, Run run) except -1:
        cdef Py_ssize_t most = 0
        for member in self._members:
            most += room_of(member, run)
        return min(most, run.count)

    cdef int take(self, Run run) except -1:
        cdef list members = [], rooms = [], picked = []
        cdef Py_ssize_t index, at
        for member in self._members:
            at = room_of(member, run)
            if at:
                members.append(member)
                rooms.append(at)
                picked.append([])
        for index in range(run.count):
            if not members:
                break
            at = next_random() % <uint64_t>len(members)
            (<list>picked[at]).append(index)
            rooms[at] -= 1
            if rooms[at] == 0:
                hand_over(members.pop(at), run.picked(picked.pop(at)))
                rooms.pop(at)
        for at in range(len(members)):
            if picked[at]:
                hand_over(members[at], run if run.count == 1 else run.picked(picked[at]))
        return 0


cdef Py_ssize_t room_of(object observer, Run run) except -1:
    """How many messages of the run an observer of either kind would take now."""
    return (<RunObserver>observer).room(run) if isinstance(observer, RunObserver) else run.count


cdef int hand_over(object observer, Run run) except -1:
    """Give the run to an observer of either kind; what it raises is its own affair."""
    if isinstance(observer, RunObserver):
        (<RunObserver>observer).take(run)
    else:
        for message in run.messages():
            contain(observer.observe, message)
    return 0
