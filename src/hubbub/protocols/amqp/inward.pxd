from hubbub.broker.run cimport Origin, Run, RunObserver, View


cdef class AmqpOrigin(Origin):
    pass


cdef class Inward(RunObserver):
    cdef readonly object subscriber_
    cdef readonly object arrived
