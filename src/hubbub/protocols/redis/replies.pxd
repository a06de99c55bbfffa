from libc.stdint cimport uint8_t

from hubbub.broker.outbox cimport Outbox


cdef class Slot:
    cdef Replies _replies
    cdef readonly bytes chunk
    cdef bint _is_push
    cdef bint _is_unheard   # nobody wants the reply
    cdef Py_ssize_t _answers


cdef class Replies:
    cdef public int protocol
    cdef public object mode
    cdef readonly Outbox outbox
    cdef object _stats
    cdef object _waiting
    cdef Py_ssize_t _waiting_answers
    cdef Py_ssize_t _waiting_bytes  # of answers
    cdef Py_ssize_t _held_bytes     # of deliveries
    cdef bint _in_command
    cdef list _own_pushes
    cdef bint _closing

    cdef bint is_full(self) except -1
    cdef int begin(self) except -1
    cdef int end(self) except -1
    cdef int answer(self, bytes chunk) except -1
    cdef int deliver_frame(self, bytes frame) except -1
    cdef int _push(self, bytes frame) except -1
    cdef int _overflow(self) except -1
    cdef int _fill(self, Slot slot, bytes chunk) except -1
