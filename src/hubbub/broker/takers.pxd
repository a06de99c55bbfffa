cdef class Creditor:
    cdef Py_ssize_t credit(self) except -1


cdef class Takers:
    cdef list _groups           # by falling priority, none of them empty
    cdef bint _single
    cdef readonly Creditor active
    cdef readonly Py_ssize_t count

    cdef Creditor next(self)
    cdef int add(self, Creditor taker, int priority) except -1
    cdef bint remove(self, Creditor taker) except -1
