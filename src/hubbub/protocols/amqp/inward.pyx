# cython: language_level=3, boundscheck=False, wraparound=False
"""Where AMQP meets the other protocols, message by message."""

from libc.stdint cimport uint8_t

from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport AT_MOST_ONCE, Run, View, value_of
from hubbub.protocols.amqp.reader cimport AmqpReader

from hubbub.protocols.amqp import mapping


cdef class AmqpOrigin(Origin):

    cdef object message(self, const View* view):
        cdef const uint8_t* mark = view.headers
        cdef Py_ssize_t at = 1 + mark[0]
        at += 1 + mark[at]
        return mapping.message_of(
            (<Route>view.route).address, value_of(view), mark[at:view.headers_size],
            view.timestamp_ms)


cdef class Inward(RunObserver):

    def __init__(self, subscriber, arrived):
        self.subscriber_ = subscriber
        self.arrived = arrived
        self.keeps = True

    @property
    def subscriber(self):
        return self.subscriber_

    cdef Py_ssize_t room(self, Run run) except -1:
        return 0 if isinstance(run.source, AmqpReader) else run.count

    cdef int take(self, Run run) except -1:
        cdef Py_ssize_t index
        if isinstance(run.source, AmqpReader):
            return 0
        for index, message in enumerate(run.messages()):
            for durable in self.arrived(message, run.views[index].qos > AT_MOST_ONCE):
                run.stored_in(durable)
        return 0
