from libc.stdint cimport uint64_t

from hubbub.broker.outbox cimport Outbox
from hubbub.broker.leases cimport Entry
from hubbub.broker.takers cimport Taker
from hubbub.protocols.amqp.unacknowledged cimport PrefetchWindow, Unacknowledged


cdef class ChannelLimits:
    """What all consumers of one channel share."""

    cdef readonly Unacknowledged unacknowledged
    cdef readonly PrefetchWindow fetched    # by basic.get, which no limit counts
    cdef readonly Outbox outbox
    cdef readonly int number
    cdef public Py_ssize_t frame_max
    cdef public Py_ssize_t prefetch     # unacknowledged deliveries in all, 0: no limit
    cdef public bint is_flowing         # channel.flow
    cdef public bint is_starved         # a consumer wanted more than the socket takes now
    cdef readonly object on_low

    cpdef bint is_behind(self) except -1


cdef class AmqpTaker(Taker):
    cdef readonly ChannelLimits channel
    cdef readonly PrefetchWindow limit
    cdef readonly bytes tag
    cdef readonly bint no_ack
    cdef readonly object decorate


cdef int write_delivery(Outbox outbox, int channel, Py_ssize_t frame_max, bytes tag,
                        uint64_t delivery_tag, bint redelivered, bytes mark,
                        bytes body) except -1
