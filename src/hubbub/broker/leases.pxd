from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from hubbub.broker.queue_log cimport QueueLog
from hubbub.broker.queue_rewriting cimport Rewriting
from hubbub.broker.waiting_line cimport Place
from hubbub.broker.work_item cimport Held, Item
from hubbub.broker.work_round cimport Noting


cdef class Entry:
    cdef readonly Lender queue
    cdef readonly int64_t offset
    cdef readonly int64_t order
    cdef readonly int64_t expires_ms
    cdef readonly int deliveries
    cdef Item held              # None where it is in the log only
    cdef int size               # of its value
    cdef int level
    cdef bint leased
    cdef PyObject* _before      # those leased before and after it, only borrowed
    cdef PyObject* _after

    cdef bint is_again(self) noexcept
    cpdef Item item(self)


cdef class Lender(Noting):
    cdef readonly QueueLog log
    cdef Leases leases
    cdef int64_t recovered_before   # those of lower orders may have been delivered before a start

    cpdef int settle(self, Entry entry) except -1
    cpdef int give_back(self, Entry entry, bint counts) except -1
    cpdef int reject(self, Entry entry) except -1


cdef class Leases:
    cdef Py_ssize_t count
    cdef int64_t held_bytes     # in memory of what is stored
    cdef PyObject* _first
    cdef PyObject* _last
    cdef PyObject* _held        # those before it are in the log only

    cdef Entry begin(self, Lender queue, Place* place, int level)
    cdef int end(self, Entry entry) noexcept
    cdef int let_go(self, QueueLog log, Held held, int64_t most) except -1
    cdef int rewrite(self, Rewriting rewriting) except -1
