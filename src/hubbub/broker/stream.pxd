from libc.stdint cimport uint8_t

from hubbub.broker.outbox cimport Outbox

cdef enum:
    # What was left of the bytes before is put in front of those that follow if it is not more than
    # this, so that they are parsed where they were received.
    HEADROOM = 64 * 1024


cdef class StreamSession:
    cdef readonly Outbox outbox     # set by subclasses
    cdef bytearray _kept
    cdef public double active_at    # when bytes came last, in the moments of ``Timers``

    cdef Py_ssize_t consume(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef bint is_paused(self) except -1
    cdef int end_of_input(self) except -1
    cdef int take_in(self, uint8_t* data, Py_ssize_t size, bint headroom) except -1
    cdef int keep(self, const uint8_t* data, Py_ssize_t size) except -1
