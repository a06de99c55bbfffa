from libc.stdint cimport int64_t

from hubbub.broker.queue_log cimport QueueLog
from hubbub.broker.waiting_line cimport WaitingLine
from hubbub.broker.work_item cimport Held


cdef int64_t page_out(WaitingLine line, QueueLog log, Held held, int64_t excess,
                      bint deep) except -1
cdef int64_t load(WaitingLine line, QueueLog log, Held held) except -1
