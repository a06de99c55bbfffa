from libc.stdint cimport uint8_t

from hubbub.broker.outbox cimport Outbox
from hubbub.broker.run cimport Origin, Run, RunObserver, Style, View


cdef struct Extra:
    const uint8_t* reply
    Py_ssize_t reply_size
    const uint8_t* headers
    Py_ssize_t headers_size


cdef class NatsOrigin(Origin):
    pass


cdef class MsgStyle(Style):
    cdef bytes _sid
    cdef bint _headers

    cdef int _extra(self, Run run, Py_ssize_t index, Extra* extra) except -1
    cdef Py_ssize_t _size(self, Py_ssize_t subject_size, const Extra* extra,
                          Py_ssize_t value_size) noexcept
    cdef uint8_t* _put_head(self, uint8_t* at, bytes subject, const Extra* extra,
                            Py_ssize_t value_size) noexcept


cdef class Subscription(RunObserver):
    cdef readonly object session
    cdef readonly object pattern
    cdef readonly object share
    cdef readonly bytes sid
    cdef MsgStyle _style
    cdef readonly bint closed
    cdef readonly Py_ssize_t delivered
    cdef readonly Py_ssize_t limit
