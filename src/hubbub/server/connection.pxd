from libc.stdint cimport uint64_t

from hubbub.broker.outbox cimport Outbox
from hubbub.server.turn cimport Flushable, Turn


cdef class Connection(Flushable):
    cdef object _loop
    cdef object _listener
    cdef Turn _turn
    cdef object _open
    cdef object _session
    cdef Outbox _outbox
    cdef int _socket
    cdef readonly object gone
    cdef Py_ssize_t _read_bytes
    cdef bint _reading
    cdef bint _writing
    cdef bint _heard_all
    cdef object _deadline

    cdef int _receive(self) except -1
    cdef int _feed(self, Py_ssize_t size) except -1
    cdef int _pace(self, Py_ssize_t size, uint64_t delivered) except -1
    cdef int _end_of_input(self) except -1
    cdef int _end_within(self, double seconds) except -1
    cdef int _send(self) except -1
    cdef int _look(self) except -1
    cdef bint _is_paused(self) except -1
    cdef int _end(self) except -1
