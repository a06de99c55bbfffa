from libc.stdint cimport uint8_t, uint64_t

from hubbub.broker.dispatch cimport Outcome, Publisher
from hubbub.broker.outbox cimport Outbox
from hubbub.broker.run cimport Burst, Run
from hubbub.broker.stream cimport StreamSession
from hubbub.protocols.mqtt.deliveries cimport Outgoing


cdef struct Pending:
    Py_ssize_t index    # of the message in the burst, if it is there
    int packet_id
    int qos


cdef class MqttPublisher(Publisher):
    cdef Pending* _pending      # what the burst's publisher waits for, in order
    cdef Py_ssize_t _pending_count
    cdef Py_ssize_t _pending_room
    cdef list _kept             # bytes that views of the burst refer to
    cdef Burst _will
    cdef readonly uint64_t received_messages
    cdef readonly uint64_t received_bytes       # of payload

    cdef int begin(self, object source) except -1
    cdef int expect(self, Py_ssize_t index, int packet_id, int qos) except -1


cdef struct Properties:
    const uint8_t* start
    Py_ssize_t size
    int alias           # 0: none


cdef class MqttReader(StreamSession):
    cdef readonly MqttPublisher publisher
    cdef public int version             # 0 until CONNECT was accepted
    cdef public str principal
    cdef public Py_ssize_t packet_limit
    cdef public int topic_alias_maximum
    cdef public set received            # Packet Identifiers of QoS 2 that wait for PUBREL
    cdef public object receipts
    cdef readonly object acknowledgements
    cdef public Outgoing own            # where what it publishes may come back to it
    cdef readonly bint closed
    cdef bint _retains                  # something in the burst is to be retained
    cdef dict _aliases

    cdef Py_ssize_t _packet(self, const uint8_t* data, Py_ssize_t size) except -3
    cdef int _too_large(self) except -1
    cdef int _control(self, int head, const uint8_t* body, Py_ssize_t size) except -1
    cdef int _take_publish(self, int head, const uint8_t* body, Py_ssize_t size) except -1
    cdef int _take_properties(self, const uint8_t** at, const uint8_t* end,
                              Properties* properties) except -1
    cdef int _add(self, int head, const uint8_t* topic, Py_ssize_t topic_size, int packet_id,
                  const Properties* properties, const uint8_t* payload, Py_ssize_t size) except -1
    cdef bytes _topic_of(self, const uint8_t* topic, Py_ssize_t size, int alias)
    cdef int _publish(self) except -1
    cdef int _give_up(self) except -1
    cdef int _hand_over(self, Outbox own) except -1
    cdef object _remember(self, Run run)
    cdef int _acknowledge(self, Run run, Outcome outcome, object remembered) except -1
    cdef bint _await_repeated(self, Outcome outcome) except -1
    cdef int _note_taken(self, Outcome outcome, object publication) except -1
    cdef bytes _answers(self, Run run, Outcome outcome, bint is_stored, dict not_retained)
    cdef int _reason(self, Run run, Outcome outcome, bint is_stored,
                     const Pending* pending) except -1
    cdef int _refused(self, object error, const Pending* pending) except -1
