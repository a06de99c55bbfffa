from libc.stdint cimport int64_t

from hubbub.broker.run cimport Run


cdef class Storing:
    cdef Run _run
    cdef int64_t _now_ms
    cdef list _stored
    cdef dict _open
    cdef readonly dict refused

    cdef int put(self, Py_ssize_t index, object topic) except -1
    cdef int _put_plain(self, Py_ssize_t index, object topic, object partition,
                        bytes mark) except -1
    cdef int _put_message(self, Py_ssize_t index, object topic, object partition,
                          object message, bytes mark) except -1
    cdef int close(self) except -1
    cdef object _begin(self, object partition, int64_t timestamp_ms)
    cdef int _append(self, object batch) except -1


cdef int store(Run run, object holder, int64_t now_ms, list stored, dict refused,
               dict failed) except -1
cdef int store_at_home(Run run, Py_ssize_t first, Py_ssize_t end, int64_t now_ms, list stored,
                       dict refused) except -1
cdef Py_ssize_t holders(tuple topics) except -1
cdef int store_queued(Run run, int64_t now_ms, list stored, dict refused, dict failed) except -1
cdef object store_elsewhere(Run run, Py_ssize_t index, object holder, int64_t now_ms, list stored)
