from libc.stdint cimport int64_t


cdef class Held:
    cdef readonly int64_t bytes


cdef class Item:
    cdef readonly bytes value
    cdef readonly bytes mark
    cdef readonly int64_t timestamp_ms
    cdef readonly int64_t ttl_ms
    cdef readonly int priority
    cdef readonly bint persistent
    cdef int _holders           # places that refer to it, in any queue


cdef Item new_item(bytes value, bytes mark, int64_t timestamp_ms, int64_t ttl_ms, int priority,
                   bint persistent)
cdef Py_ssize_t weight(Item item) noexcept
cdef void hold(Held held, Item item) noexcept
cdef void release(Held held, Item item) noexcept
