# cython: language_level=3, boundscheck=False, wraparound=False
"""Whose turn it is among those who take from a queue."""


cdef class Taker:

    cdef Py_ssize_t credit(self) except -1:
        """How many more it takes right now; never negative."""
        return 0

    cdef int deliver(self, Entry entry) except -1:
        """Take it; it is the taker's to settle or to give back."""
        return 0


cdef class OpenTaker(Taker):

    @property
    def room(self):
        return 0

    def take(self, entry):
        """See the stub."""

    cdef Py_ssize_t credit(self) except -1:
        return max(0, self.room)

    cdef int deliver(self, Entry entry) except -1:
        self.take(entry)
        return 0


cdef class _Group:
    """Takers of one priority, one after the other."""

    cdef int priority
    cdef list takers
    cdef Py_ssize_t turn        # the place of the next one


cdef class Takers:

    def __init__(self, bint single=False):
        self._groups = []
        self._single = single

    def __iter__(self):
        for group in self._groups:
            yield from (<_Group>group).takers

    cdef Taker next(self, Item item):
        """Who gets the next one; None where nobody who may have it has room.

        Those of a lower priority get something only when all above them have no room. Where nobody
        is choosy, the item need not be known.
        """
        cdef _Group group
        cdef Taker taker
        if self._single:
            taker = self.active
            return taker if taker is not None and takes(taker, item) else None
        for index in range(len(self._groups)):
            group = <_Group>self._groups[index]
            for _ in range(len(group.takers)):
                if group.turn >= len(group.takers):
                    group.turn = 0
                taker = <Taker>group.takers[group.turn]
                group.turn += 1
                if takes(taker, item):
                    return taker
        return None

    cdef bint have_room(self) except -1:
        """Whether any of those whose turn it may be would take something."""
        cdef Taker taker
        if self._single:
            return self.active is not None and self.active.credit() > 0
        for taker in self:
            if taker.credit() > 0:
                return True
        return False

    cdef bint may_have(self, Item item) except -1:
        """Whether any of them may have it, with room or without."""
        cdef Taker taker
        if self._single:
            return self.active is not None and allows(self.active, item)
        for taker in self:
            if allows(taker, item):
                return True
        return False

    cdef int add(self, Taker taker, int priority) except -1:
        """One more; the last of its priority."""
        cdef Py_ssize_t at = 0
        cdef _Group group
        while at < len(self._groups) and (<_Group>self._groups[at]).priority > priority:
            at += 1
        if at < len(self._groups) and (<_Group>self._groups[at]).priority == priority:
            (<_Group>self._groups[at]).takers.append(taker)
        else:
            group = _Group.__new__(_Group)
            group.priority = priority
            group.takers = [taker]
            self._groups.insert(at, group)
        self.count += 1
        self.choosy += taker.may_have is not None
        if self._single and self.active is None:
            self.active = taker
        return 0

    cdef bint remove(self, Taker taker) except -1:
        """One less; whether it was there. Where one is active, the first of all follows it."""
        cdef _Group group
        cdef Py_ssize_t at
        for index in range(len(self._groups)):
            group = <_Group>self._groups[index]
            if taker not in group.takers:
                continue
            at = group.takers.index(taker)
            del group.takers[at]
            if at < group.turn:
                group.turn -= 1
            if not group.takers:
                del self._groups[index]
            self.count -= 1
            self.choosy -= taker.may_have is not None
            if taker is self.active:
                self.active = (<_Group>self._groups[0]).takers[0] if self._groups else None
            return True
        return False


cdef inline bint takes(Taker taker, Item item) except -1:
    """Whether it has room, and may have this."""
    return taker.credit() > 0 and (item is None or allows(taker, item))


cdef inline bint allows(Taker taker, Item item) except -1:
    return taker.may_have is None or bool(taker.may_have(item))
