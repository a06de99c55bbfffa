from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t


cdef struct Place:
    int64_t order
    int64_t offset              # in the queue's log; -1: not stored
    int64_t expires_ms          # Unix time; -1: never
    PyObject* item              # a reference of its own; NULL: only in the log
    int32_t size                # of the value
    int32_t deliveries


cdef struct Level:
    Place* ring
    Py_ssize_t ring_room        # a power of two, or 0
    Py_ssize_t ring_head
    Py_ssize_t ring_count
    Place* heap
    Py_ssize_t heap_room
    Py_ssize_t heap_count


cdef class WaitingLine:
    cdef Level* levels
    cdef int highest            # the highest level there is
    cdef int top                # no level above it holds anything
    cdef readonly Py_ssize_t count
    cdef readonly int64_t bytes

    cdef int push(self, int level, const Place* place) except -1
    cdef int give_back(self, int level, const Place* place) except -1
    cdef Place* head(self) noexcept
    cdef bint pop(self, Place* out) noexcept
    cdef int _added(self, int level, const Place* place) except -1


cdef inline Place* ring_at(Level* level, Py_ssize_t index) noexcept nogil:
    """The place at ``index`` from the front of the ring."""
    return &level.ring[(level.ring_head + index) & (level.ring_room - 1)]
