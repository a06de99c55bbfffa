from libc.stdint cimport int64_t

from hubbub.broker.work_item cimport Held


cdef class Noting:
    cdef Round round
    cdef bint _noted            # among those whom the next flush asks
    cdef public object failure

    cdef int note(self) except -1
    cdef int write(self) except -1
    cdef int hand_out(self) except -1


cdef class Round:
    cdef readonly Held held
    cdef readonly object timers
    cdef int64_t now_ms         # Unix time, as of this flush
    cdef bint news              # something was put since the queues were last asked
    cdef list _noted
    cdef list _failed           # those whose failures the next flush clears
    cdef object _timer
    cdef bint _flushing
    cdef object on_flushed

    cpdef int flush(self) except -1
    cdef int _later(self) except -1
    cdef int _ask(self) except -1
