from hubbub.broker.leases cimport Entry
from hubbub.broker.work_item cimport Item


cdef class Taker:
    cdef public object subscriber
    cdef public object may_have     # (item) -> bool; None: everything

    cdef Py_ssize_t credit(self) except -1
    cdef int deliver(self, Entry entry) except -1


cdef class Takers:
    cdef list _groups           # by falling priority, none of them empty
    cdef bint _single
    cdef readonly Taker active
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t choosy      # of these: who may not have everything

    cdef Taker next(self, Item item)
    cdef bint have_room(self) except -1
    cdef bint may_have(self, Item item) except -1
    cdef int add(self, Taker taker, int priority) except -1
    cdef bint remove(self, Taker taker) except -1
