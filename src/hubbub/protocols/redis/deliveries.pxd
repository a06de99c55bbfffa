from hubbub.broker.run cimport Run, RunObserver, Style
from hubbub.protocols.redis.replies cimport Replies


cdef class FrameHead:
    cdef object __weakref__
    cdef RespStyle _resp2
    cdef RespStyle _resp3

    cdef RespStyle style(self, int protocol)


cdef class RespStyle(Style):
    cdef bytes _head


cdef class ClientObserver(RunObserver):
    cdef object _client
    cdef Replies _replies
    cdef FrameHead _head
