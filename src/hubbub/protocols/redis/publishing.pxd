from libc.stdint cimport uint8_t

from hubbub.broker.dispatch cimport Outcome, Publisher
from hubbub.broker.run cimport Run
from hubbub.broker.stream cimport StreamSession
from hubbub.protocols.redis.parser cimport RequestParser
from hubbub.protocols.redis.replies cimport Replies


cdef class RedisPublisher(Publisher):
    cdef object error_line
    cdef public long long publishes
    cdef public long long input_bytes


cdef class PublishingSession(StreamSession):
    cdef readonly Replies replies
    cdef readonly RequestParser parser
    cdef RedisPublisher _publisher
    cdef public bint closing
    cdef public str principal
    cdef public bint published_last
    cdef public Py_ssize_t burst_limit

    cdef Py_ssize_t _take(self, const uint8_t* data, Py_ssize_t size, Py_ssize_t most) except -2
    cdef int _publish(self) except -1
    cdef int _answer(self, Run run, Outcome outcome) except -1
