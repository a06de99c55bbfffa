from libc.stdint cimport int64_t, uint64_t


cdef class OffsetSet:
    cdef uint64_t* _words
    cdef Py_ssize_t _room
    cdef Py_ssize_t _begin      # words before it hold nothing
    cdef Py_ssize_t _end
    cdef int64_t _base          # the offset of the first bit of the first word
    cdef readonly Py_ssize_t count

    cpdef int add(self, int64_t offset) except -1
    cpdef bint remove(self, int64_t offset) noexcept
    cpdef int remove_range(self, int64_t first, int64_t count) except -1
    cpdef bint has(self, int64_t offset) noexcept
    cpdef int64_t first(self) noexcept
    cdef int _grow(self, int64_t offset) except -1
