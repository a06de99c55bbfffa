# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""What waits in a queue, by priority and then in the order in which it came.

A level is a ring of what came and a heap of what came back: the first of the two heads is next. So
what is given back finds its old place, in whatever order that happens, and nothing is moved for it.
"""

from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

cdef extern from "Python.h":
    void _xdecref "Py_XDECREF" (PyObject*)

cdef enum:
    LEAST_ROOM = 16
    # A level that has been larger gives its memory back when it is empty: some megabytes.
    SPARE_ROOM = 64 * 1024


cdef class WaitingLine:
    """Places of levels from 0 to ``highest``; ``pop`` hands over the reference that each has."""

    def __cinit__(self, int highest=0):
        self.levels = <Level*>calloc(highest + 1, sizeof(Level))
        if self.levels == NULL:
            raise MemoryError
        self.highest = highest

    def __dealloc__(self):
        cdef int level
        cdef Place place
        if self.levels != NULL:
            while self.pop(&place):
                _xdecref(place.item)
            for level in range(self.highest + 1):
                free(self.levels[level].ring)
                free(self.levels[level].heap)
            free(self.levels)

    cdef int push(self, int level, const Place* place) except -1:
        """Add what came after all that is there."""
        cdef Level* line = &self.levels[level]
        if line.ring_count == line.ring_room:
            grow_ring(line)
        line.ring_count += 1
        ring_at(line, line.ring_count - 1)[0] = place[0]
        return self._added(level, place)

    cdef int give_back(self, int level, const Place* place) except -1:
        """Put what was taken back where it was."""
        cdef Level* line = &self.levels[level]
        cdef Py_ssize_t at = line.heap_count, parent
        if at == line.heap_room:
            grow_heap(line)
        while at:
            parent = (at - 1) // 2
            if line.heap[parent].order < place.order:
                break
            line.heap[at] = line.heap[parent]
            at = parent
        line.heap[at] = place[0]
        line.heap_count += 1
        return self._added(level, place)

    cdef Place* head(self) noexcept:
        """What is next; NULL where there is nothing."""
        cdef Level* line
        if self.count == 0:
            return NULL
        line = &self.levels[self.top]
        while line.ring_count == 0 and line.heap_count == 0:
            self.top -= 1
            line = &self.levels[self.top]
        if line.heap_count and (
                line.ring_count == 0 or line.heap[0].order < ring_at(line, 0).order):
            return &line.heap[0]
        return ring_at(line, 0)

    cdef bint pop(self, Place* out) noexcept:
        """Take what is next, its reference with it; its level is ``top`` then."""
        cdef Place* first = self.head()
        cdef Level* line
        if first == NULL:
            return False
        out[0] = first[0]
        line = &self.levels[self.top]
        if line.heap_count and first == &line.heap[0]:
            pop_heap(line)
        else:
            line.ring_head = (line.ring_head + 1) & (line.ring_room - 1)
            line.ring_count -= 1
            if line.ring_count == 0 and line.ring_room > SPARE_ROOM:
                free(line.ring)
                line.ring = NULL
                line.ring_room = line.ring_head = 0
        self.count -= 1
        self.bytes -= out.size
        return True

    cdef int _added(self, int level, const Place* place) except -1:
        self.count += 1
        self.bytes += place.size
        if level > self.top:
            self.top = level
        return 0


cdef int grow_ring(Level* line) except -1:
    cdef Py_ssize_t room = line.ring_room * 2 if line.ring_room else LEAST_ROOM
    cdef Place* ring = <Place*>realloc(line.ring, room * sizeof(Place))
    if ring == NULL:
        raise MemoryError
    # What had wrapped round to the front follows now on what was the end.
    memcpy(ring + line.ring_room, ring, line.ring_head * sizeof(Place))
    line.ring, line.ring_room = ring, room
    return 0


cdef int grow_heap(Level* line) except -1:
    cdef Py_ssize_t room = line.heap_room * 2 if line.heap_room else LEAST_ROOM
    cdef Place* heap = <Place*>realloc(line.heap, room * sizeof(Place))
    if heap == NULL:
        raise MemoryError
    line.heap, line.heap_room = heap, room
    return 0


cdef void pop_heap(Level* line) noexcept:
    """Remove the first, whose place the last one sinks down from."""
    cdef Py_ssize_t at = 0, child
    cdef Py_ssize_t count = line.heap_count - 1
    cdef Place last = line.heap[count]
    line.heap_count = count
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        if child + 1 < count and line.heap[child + 1].order < line.heap[child].order:
            child += 1
        if last.order < line.heap[child].order:
            break
        line.heap[at] = line.heap[child]
        at = child
    line.heap[at] = last
