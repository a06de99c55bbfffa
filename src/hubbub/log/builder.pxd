from libc.stdint cimport int64_t, uint8_t

from hubbub.log.batch cimport Buffer


cdef class BatchBuilder:
    cdef Buffer _out
    cdef int64_t _timestamp
    cdef int64_t _max_timestamp
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t size

    cdef int add(self, int64_t timestamp_ms, const uint8_t* key, Py_ssize_t key_size,
                 const uint8_t* value, Py_ssize_t value_size, bytes headers) except -1
    cdef int _added(self, int64_t timestamp_ms) except -1
