from libc.stdint cimport int32_t, int64_t, uint8_t

from hubbub.broker.waiting_line cimport Place
from hubbub.broker.work_item cimport Item
from hubbub.log.batch cimport Buffer, Record
from hubbub.log.builder cimport BatchBuilder

cdef enum Kind:
    MESSAGE = 109               # "m"
    SETTLED = 115               # "s"
    ATTEMPTS = 97               # "a"
    CLOSED = 99                 # "c"


cdef struct Stored:
    int64_t offset
    int64_t timestamp_ms
    Record record


cdef class Records:
    cdef readonly bytes data
    cdef readonly Py_ssize_t count
    cdef readonly int64_t after     # the offset that follows
    cdef Stored* at
    cdef Py_ssize_t _room

    cdef int kind(self, Py_ssize_t index) noexcept
    cdef Py_ssize_t find(self, int64_t offset) noexcept
    cdef int place(self, Py_ssize_t index, Place* place) except -1
    cdef Item item(self, Py_ssize_t index)
    cdef int64_t order(self, Py_ssize_t index) except -1
    cdef list numbers(self, Py_ssize_t index)
    cdef Stored* _add(self) except NULL


cdef class RecordWriter:
    cdef bytes _mark
    cdef bytes _headers

    cdef int add_message(self, BatchBuilder batch, const Place* place, int level,
                         Item item) except -1


cdef int add_settled(BatchBuilder batch, int64_t now_ms, int64_t* offsets,
                     Py_ssize_t count) except -1
cdef int add_closed(BatchBuilder batch, int64_t now_ms, int64_t order) except -1
cdef int add_attempts(BatchBuilder batch, int64_t now_ms, dict attempts) except -1
