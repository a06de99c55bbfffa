from hubbub.broker.run cimport Run, RunObserver


cdef class Turns(RunObserver):
    cdef list _members
    cdef object _rotation       # only held, for other addresses to go on from
    cdef Py_ssize_t _turn

    cdef Py_ssize_t _next(self, list rooms) except -2
    cdef object among(self, object may_receive, str address)

cdef Py_ssize_t room_of(object observer, Run run) except -1
cdef int hand_over(object observer, Run run) except -1
