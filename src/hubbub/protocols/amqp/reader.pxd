from libc.stdint cimport uint8_t, uint16_t, uint32_t

from hubbub.broker.stream cimport StreamSession
from hubbub.protocols.amqp.contents cimport AmqpPublisher, ContentReader
from hubbub.protocols.amqp.deliveries cimport ChannelLimits


cdef class AmqpReader(StreamSession):
    cdef readonly AmqpPublisher publisher
    cdef readonly object work_queues
    cdef public str principal
    cdef public uint32_t frame_max      # the largest frame that the client may send
    cdef public bint closed             # nothing is carried out any more
    cdef public bint parted             # nothing is read any more
    cdef public bint blocked            # of a publisher, while memory is short
    cdef public bint waiting            # for the disk, before anything more is carried out
    cdef readonly bint heard            # since ``forget_heard``
    cdef readonly bint has_published
    cdef readonly dict channels         # number -> ContentReader
    cdef bint _greeted
    cdef list _published                # channels that published in this chunk
    cdef dict _relieved                 # as keys, those whose consumers may have room again
    cdef ContentReader _last

    cdef Py_ssize_t _part(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int _too_large(self, int kind, uint32_t size) except -1
    cdef Py_ssize_t _protocol_header(self, const uint8_t* data, Py_ssize_t size) except -2
    cdef int _frame(self, int kind, int number, const uint8_t* payload, Py_ssize_t size) except -1
    cdef int _on_channel(self, ContentReader channel, int kind, const uint8_t* payload,
                         Py_ssize_t size) except -1
    cdef int _note_published(self, ContentReader channel) except -1
    cdef int _method(self, ContentReader channel, const uint8_t* payload,
                     Py_ssize_t size) except -1
    cpdef int relieve(self, ContentReader channel) except -1
    cdef int _wake_relieved(self) except -1
    cdef int _finish(self) except -1
