# cython: language_level=3, boundscheck=False, wraparound=False
"""Observers that share the messages among themselves: each goes to the next of them in turn.

Nothing is kept, so what the chosen one loses is lost; ``hubbub.broker.shared`` is for the rest.
"""

from hubbub.broker.run cimport Run, RunObserver

from weakref import WeakValueDictionary

from hubbub.model.faults import contain


cdef class _Rotation:
    """Whose turn it is first at the next address that reaches one share.

    From there each address has turns of its own: with one count for all, two addresses by turns
    would always meet the same two members.
    """

    cdef object __weakref__
    cdef Py_ssize_t next


# Kept for as long as there are routes to the share.
cdef object _rotations = WeakValueDictionary()


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
    for share, members in shares.items():
        found.append(members[0] if len(members) == 1 else Turns(members, rotation_of(share)))
    return tuple(found)


cdef _Rotation rotation_of(object share):
    rotation = _rotations.get(share)
    if rotation is None:
        rotation = _rotations[share] = _Rotation.__new__(_Rotation)
    return <_Rotation>rotation


cdef class Turns(RunObserver):
    """The members of one share that an address reaches, in the order in which they came."""

    def __init__(self, list members not None, rotation not None):
        self._members = members
        self._turn = (<_Rotation>rotation).next
        self._rotation = rotation
        (<_Rotation>rotation).next += 1

    @property
    def subscriber(self):
        return self._members[0].subscriber

    @property
    def members(self):
        return tuple(self._members)

    cdef object among(self, object may_receive, str address):
        """One of those who may have a message to this address, or None."""
        cdef list rooms = [may_receive(member, address) for member in self._members]
        cdef Py_ssize_t at = self._next(rooms)
        return None if at < 0 else self._members[at]

    cdef Py_ssize_t _next(self, list rooms) except -2:
        """Whose turn it is among those with room, -1 if there is none."""
        cdef Py_ssize_t at
        for _ in range(len(rooms)):
            at = self._turn % <Py_ssize_t>len(rooms)
            self._turn = at + 1
            if rooms[at]:
                return at
        return -1

    cdef Py_ssize_t room(self, Run run) except -1:
        cdef Py_ssize_t most = 0
        for member in self._members:
            most += room_of(member, run)
        return min(most, run.count)

    cdef int take(self, Run run) except -1:
        cdef list rooms = [room_of(member, run) for member in self._members]
        cdef list picked = [None] * len(rooms)
        cdef Py_ssize_t index, at
        for index in range(run.count):
            at = self._next(rooms)
            if at < 0:
                break
            rooms[at] -= 1
            if picked[at] is None:
                picked[at] = []
            (<list>picked[at]).append(index)
        for at in range(len(rooms)):
            if picked[at]:
                hand_over(self._members[at], run if run.count == 1 else run.picked(picked[at]))
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
