from libc.stdint cimport int64_t

from hubbub.broker.routes cimport NameCache, Routes
from hubbub.broker.run cimport Burst, Run


cdef class Outcome:
    cdef readonly list stored
    cdef readonly dict failed
    cdef readonly dict refused
    cdef list _delivered

    cdef bint is_mixed(self) noexcept
    cdef Py_ssize_t delivered(self, Run run, Py_ssize_t index) except -1


cdef class Dispatcher:
    cdef readonly Routes routes
    cdef object _access
    cdef bint _open
    cdef object _timers

    cdef int64_t wall_ms(self) except -1
    cdef double now(self) except -1
    cdef Outcome publish_run(self, Run run, str principal)
    cdef Outcome _settle(self, Run run, object holder, dict refused, list stored)
    cdef int _authorise(self, Run run, str principal, dict refused) except -1
    cdef int _deliver(self, Run run, Outcome outcome) except -1
    cdef int _deliver_allowed(self, Run run, Outcome outcome) except -1


cdef class Publisher:
    cdef readonly Dispatcher dispatcher
    cdef readonly NameCache names
    cdef readonly Burst burst
