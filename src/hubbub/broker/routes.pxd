from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef class Route:
    cdef readonly str address
    cdef readonly tuple observers   # the same object for all addresses with the same observers
    cdef readonly tuple topics      # that capture the address; the first decides
    cdef readonly bint reserved
    cdef bint overlapping           # a connection is among the observers more than once
    cdef bint kept                  # an observer may store what is published there
    cdef bint special               # reserved, or captured by a topic
    cdef uint32_t hash              # of the address: its partition, where a message has no key
    cdef bint _stale
    cdef uint64_t _epoch
    cdef dict _spelled
    cdef object _last_mapping       # the one that asked last, and what it was told
    cdef bytes _last_spelled

    cdef Py_ssize_t partition(self, const uint8_t* key, Py_ssize_t key_size, Py_ssize_t count)
    cdef bytes spelled(self, object mapping)


cdef class Routes:
    cdef object _observers
    cdef object _catalogue
    cdef dict _routes
    cdef dict _sets
    cdef uint64_t _epoch

    cdef Route find(self, str address)
    cdef int _forget(self) except -1
    cdef inline bint holds(self, Route route) noexcept:
        return not route._stale and route._epoch == self._epoch


cdef struct Entry:
    uint64_t hash
    PyObject* name
    PyObject* route


cdef class NameCache:
    cdef Routes _routes
    cdef object _address_of
    cdef Entry* _entries

    cdef Route route(self, const uint8_t* name, Py_ssize_t size)
    cdef Route _fill(self, Entry* entry, uint64_t hash, const uint8_t* name, Py_ssize_t size)
