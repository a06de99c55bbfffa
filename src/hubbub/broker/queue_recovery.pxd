from libc.stdint cimport int64_t

from hubbub.broker.queue_log cimport QueueLog
from hubbub.broker.waiting_line cimport WaitingLine


cdef int64_t recover(QueueLog log, WaitingLine line) except -1
