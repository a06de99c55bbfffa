from libc.stdint cimport uint8_t

from hubbub.broker.dispatch cimport Publisher
from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport Run
from hubbub.broker.stream cimport StreamSession

cdef enum:
    MOST_ARGUMENTS = 5  # one more than any verb has


cdef struct Line:
    # The arguments of one control line, where they were received.
    const uint8_t* start[MOST_ARGUMENTS]
    Py_ssize_t size[MOST_ARGUMENTS]
    int count


cdef class NatsReader(StreamSession):
    cdef Publisher _publisher
    cdef readonly bint closed
    cdef public bint verbose
    cdef public bint pedantic
    cdef public bint headers
    cdef public bint no_responders
    cdef public bint echoes
    cdef public bint trusted        # nobody has to say who it is, or it has
    cdef public bint heard          # bytes came since it was last set to false
    cdef public str principal
    cdef bint quick                 # nothing is to be said of a PUB
    cdef public Py_ssize_t max_payload
    cdef public Py_ssize_t max_control_line

    cdef Py_ssize_t _operation(self, const uint8_t* data, Py_ssize_t size) except -3
    cdef Py_ssize_t _idle(self, const uint8_t* data, Py_ssize_t size) except -3
    cdef int _sub(self, Line* line) except -1
    cdef int _unsub(self, Line* line) except -1
    cdef int _refused(self, object error, Route route) except -1
    cdef Py_ssize_t _with_arguments(self, const uint8_t* data, Py_ssize_t size,
                                    Py_ssize_t verb) except -3
    cdef Py_ssize_t _quick_pub(self, const uint8_t* data, Py_ssize_t size) except -3
    cdef Py_ssize_t _pub(self, const uint8_t* data, Py_ssize_t size, Py_ssize_t at, Line* line,
                         bint with_headers) except -3
    cdef int _add(self, Line* line, const uint8_t* payload, Py_ssize_t header_size,
                  Py_ssize_t size) except -1
    cdef Route _route(self, const uint8_t* subject, Py_ssize_t size)
    cdef int _answer_nobody(self, Route route, Line* line) except -1
    cdef bint _is_taken(self, Route route, Run run) except -1
    cdef int _publish(self) except -1
    cdef Py_ssize_t _fail(self, str error) except -3
