"""What a channel was sent and has not acknowledged, by delivery tag."""

from cpython.object cimport PyObject
from libc.stdint cimport uint64_t


cdef struct Slot:
    uint64_t tag
    PyObject* entry     # NULL: settled
    PyObject* consumer  # a PrefetchWindow; NULL: fetched by basic.get, or its consumer is cancelled
    bint held           # settled by a transaction that is not committed


cdef class PrefetchWindow:
    cdef public Py_ssize_t prefetch
    cdef readonly Py_ssize_t outstanding


cdef class Unacknowledged:
    cdef Slot* _slots
    cdef Py_ssize_t _head       # the first slot that may be in use
    cdef Py_ssize_t _end        # after the last one
    cdef Py_ssize_t _room
    cdef readonly Py_ssize_t count
    cdef readonly uint64_t last_tag

    cdef uint64_t next_tag(self) noexcept
    cdef uint64_t add(self, object entry, PrefetchWindow consumer) except? 0
    cdef Py_ssize_t _find(self, uint64_t tag) noexcept
    cdef int _take(self, Slot* slot, list taken) except -1
    cdef list take_until(self, uint64_t tag)
    cdef list take_one(self, uint64_t tag)
    cdef Py_ssize_t _place(self, uint64_t tag) noexcept
    cdef Py_ssize_t _last(self, uint64_t tag, bint multiple) noexcept
    cdef int settle(self, uint64_t tag, bint multiple) except -1
    cdef int _skip(self) except -1
    cdef int _tidy(self) except -1
