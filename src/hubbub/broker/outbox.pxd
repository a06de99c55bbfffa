from libc.stdint cimport uint8_t, uint64_t

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len


cdef class Outbox:
    cdef list _chunks           # sealed, in order; those before _head are sent
    cdef Py_ssize_t _head
    cdef Py_ssize_t _offset     # of the chunk at _head, how much is sent
    cdef object _tail           # bytes that are still written to, their last reference
    cdef uint8_t* _end          # where the next byte of the tail goes
    cdef Py_ssize_t _room       # what still fits behind it
    cdef object _on_ready
    cdef bint _announced
    cdef Py_ssize_t _low        # and whom to tell when there is less than that to send
    cdef object _on_low
    cdef readonly Py_ssize_t size
    cdef public Py_ssize_t limit
    cdef public bytes farewell
    cdef readonly bint closing
    cdef readonly bint aborted
    cdef readonly bint overflowed

    cdef bint copy(self, const uint8_t* start, Py_ssize_t size) except -1
    cdef bint add(self, bytes chunk) except -1
    cdef bint deliver(self, bytes chunk) except -1
    cdef int announce(self) except -1
    cdef int seal(self) except -1
    cdef int gather(self, iovec* out, int room)
    cdef int sent(self, Py_ssize_t count) except -1
    cdef int _keep_begun(self) except -1


cdef uint64_t delivered_bytes() noexcept
