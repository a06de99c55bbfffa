from libc.stdint cimport int64_t

from hubbub.broker.queue_log cimport QueueLog
from hubbub.broker.queue_records cimport RecordWriter
from hubbub.broker.waiting_line cimport Place, WaitingLine
from hubbub.log.builder cimport BatchBuilder


cdef class Rewriting:
    cdef QueueLog _log
    cdef int64_t _limit
    cdef int64_t _now_ms
    cdef RecordWriter _writer
    cdef BatchBuilder _batch
    cdef int64_t** _where       # what says the offset of each that is in the batch
    cdef int64_t* _before       # and those offsets
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t _room

    cdef int add(self, Place* place, int level, int64_t* where) except -1
    cdef int add_line(self, WaitingLine line) except -1
    cdef int finish(self) except -1
    cdef int _grow(self) except -1
