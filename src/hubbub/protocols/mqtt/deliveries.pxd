from libc.stdint cimport uint8_t

from hubbub.broker.outbox cimport Outbox
from hubbub.broker.run cimport Origin, Run, RunObserver, Style, View


cdef class MqttOrigin(Origin):
    pass


cdef struct Extra:
    const uint8_t* properties
    Py_ssize_t size
    bint retain             # whether it was published to be retained


cdef class PublishStyle(Style):
    cdef readonly int qos
    cdef bint _has_properties       # version 5
    cdef bint _as_published
    cdef bytes _identifiers         # as properties

    cdef int _extra(self, Run run, Py_ssize_t index, Extra* extra) except -1
    cdef Py_ssize_t _remaining(self, Py_ssize_t topic_size, const Extra* extra,
                               const View* view) noexcept
    cdef uint8_t* _put_head(self, uint8_t* at, bytes topic, const Extra* extra,
                            Py_ssize_t remaining) noexcept


cdef class Match:
    cdef object __weakref__
    cdef readonly int qos
    cdef readonly bint as_published
    cdef readonly tuple identifiers
    cdef PublishStyle _at_most_once
    cdef PublishStyle _at_least_once
    cdef PublishStyle _exactly_once

    cdef PublishStyle style(self, int qos)


cdef class Outgoing:
    cdef public Outbox outbox           # None while the client is away
    cdef public int receive_maximum
    cdef public bint one_by_one         # packets are this client's own: a limit of size, aliases
    cdef public bint keeps              # what is not acknowledged may have to be sent again
    cdef readonly dict in_flight        # Packet Identifier -> how far it is
    cdef int _last_id
    cdef object owner

    cdef Py_ssize_t room(self) except -1
    cdef int take_id(self) except -1
    cdef int deliver(self, Run run, Match match, int qos) except -1
    cdef int _deliver_acknowledged(self, Run run, Py_ssize_t count, Match match,
                                   int qos) except -1
    cdef int _hand(self, object call, Run run, Py_ssize_t first, Py_ssize_t end, Match match,
                   int qos) except -1


cdef class Deliveries(RunObserver):
    cdef readonly object owner
    cdef readonly object share
    cdef readonly Match only            # where it is the same for all addresses
    cdef readonly bint at_most_once     # the rest comes to the client another way
    cdef Outgoing _outgoing

    cdef Match _match(self, Run run, Py_ssize_t index)
