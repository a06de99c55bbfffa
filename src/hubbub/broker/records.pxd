from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport Burst, Origin


cdef class RecordOrigin(Origin):
    pass


cdef object fill(Burst burst, Route route, bytes batch)
