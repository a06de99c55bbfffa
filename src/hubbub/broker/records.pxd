from libc.stdint cimport int64_t, uint8_t

from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport Burst, Origin


cdef class RecordOrigin(Origin):
    pass


cdef class RecordReader:
    cdef bytes _inside              # the records, decompressed
    cdef const uint8_t* _at
    cdef const uint8_t* _end
    cdef Py_ssize_t _left
    cdef int64_t _base_timestamp
    cdef int64_t _max_timestamp
    cdef bint _append_time

    cdef bint fill(self, Burst burst, Route route) except -1
