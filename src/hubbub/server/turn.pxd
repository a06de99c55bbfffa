from libc.stdint cimport uint8_t


cdef enum:
    READ_MOST = 256 * 1024


cdef class Flushable:
    cdef int flush_now(self) except -1


cdef class Turn:
    cdef object _loop
    cdef readonly object timers
    cdef list _ready
    cdef bint _ending
    cdef object _alarm
    cdef double _alarm_due
    cdef uint8_t* _memory
    cdef uint8_t* received  # where READ_MOST bytes go, with room in front

    cdef int enter(self) except -1
    cdef int will_flush(self, Flushable connection) except -1
    cdef int _advance(self) except -1
    cdef int _end_soon(self) except -1
    cdef int _set_alarm(self) except -1
