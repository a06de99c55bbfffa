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
    cdef list targets           # who gets what is put while a dead letter is handed over
    cdef list buried            # (queue, offset, size, targets) of dead letters under way
    cdef bint news              # something was put since the queues were last asked
    cdef list _noted
    cdef list _failed           # those whose failures the next flush clears
    cdef object _timer
    cdef bint _flushing
    cdef Py_ssize_t _expired    # dead letters of what expired, since ``begin``
    cdef int64_t _expired_bytes
    cdef object _on_flushed
    cdef int64_t _low           # bytes in memory of which nothing needs to be said
    cdef int64_t _high

    cpdef int flush(self) except -1
    cdef int begin(self) except -1
    cdef bint may_expire(self, int64_t size) noexcept
    cdef int forget_told(self, Noting queue) except -1
    cdef bint is_relieved(self) noexcept
    cdef int _later(self) except -1
    cdef int _ask(self) except -1
