from libc.stdint cimport int64_t

from hubbub.broker.offset_set cimport OffsetSet
from hubbub.broker.queue_records cimport Records, RecordWriter
from hubbub.broker.waiting_line cimport Place
from hubbub.broker.work_item cimport Item
from hubbub.log.builder cimport BatchBuilder

cdef enum:
    REFUSED = -2                # the offset of what could not be stored


cdef class QueueLog:
    cdef readonly object partition
    cdef readonly OffsetSet live
    cdef readonly int64_t live_bytes  # of the values of what is needed
    cdef int64_t end            # what follows the last record of the queue
    cdef int64_t delivered_before  # those of lower orders may have been, before a start
    cdef int64_t untrimmed      # bytes appended since the last trim
    cdef RecordWriter _writer
    cdef BatchBuilder _batch    # under way
    cdef int64_t _base          # the first offset of the last one
    cdef int64_t* _settled      # since the last batch
    cdef Py_ssize_t _settled_count
    cdef Py_ssize_t _settled_room
    cdef dict _attempts
    cdef int64_t moved_end      # what follows the last message that was stored anew
    cdef int64_t moved_bytes    # of the log, that the last ones took which were stored anew
    cdef int64_t moved_count    # and how many these were
    cdef Records _records       # those read last

    cdef bint has_notes(self) noexcept
    cdef bint is_durable(self, int64_t offset) except -1
    cdef int settle(self, int64_t offset, Py_ssize_t size) except -1
    cdef int attempt(self, int64_t offset, int deliveries) except -1
    cdef object write(self, Place* places, Py_ssize_t count, int highest, int64_t now_ms)
    cdef int close(self, int64_t order, int64_t now_ms) except -1
    cdef Item read(self, int64_t offset)
    cdef int _stored(self, Place* places, Py_ssize_t* first, Py_ssize_t after) except -1
    cdef int _begin(self, int64_t now_ms) except -1
    cdef int _append(self, int64_t now_ms) except -1
    cdef int _note_settled(self, int64_t offset) except -1
    cdef Records around(self, int64_t offset)
