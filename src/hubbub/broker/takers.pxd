from hubbub.broker.leases cimport Entry


cdef class Taker:
    cdef public object subscriber

    cdef Py_ssize_t credit(self) except -1
    cdef int deliver(self, Entry entry) except -1


cdef class Takers:
    cdef list _groups           # by falling priority, none of them empty
    cdef bint _single
    cdef readonly Taker active
    cdef readonly Py_ssize_t count

    cdef Taker next(self)
    cdef int add(self, Taker taker, int priority) except -1
    cdef bint remove(self, Taker taker) except -1
