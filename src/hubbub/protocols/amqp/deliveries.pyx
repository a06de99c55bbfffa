# cython: language_level=3, boundscheck=False, wraparound=False
"""Deliveries: what a queue hands out, as frames on a channel."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from hubbub.broker.work_item cimport Item
from hubbub.protocols.amqp.wire cimport (
    FRAME_BODY, FRAME_BYTES, FRAME_END, FRAME_HEAD_BYTES, FRAME_HEADER, FRAME_METHOD,
    put_frame_head, put_longlong, put_short)

# How much may wait for the socket of one connection before its consumers get no more: enough to
# keep it busy. What a consumer without a prefetch limit has not read yet stays in the queue.
SOCKET_AHEAD_BYTES = 1024 * 1024

cdef enum:
    CLASS_BASIC = 60
    METHOD_DELIVER = 60
    CONTENT_HEADER_BYTES = 12   # class, weight, body size
    BODY_SHARED_BYTES = 2048    # the outbox refers to what is as large, and copies what is not
    NO_LIMIT = 1 << 30

cdef Py_ssize_t AHEAD = SOCKET_AHEAD_BYTES


cdef class ChannelLimits:

    def __init__(self, int number, Outbox outbox not None, Py_ssize_t frame_max, on_low):
        self.on_low = on_low
        self.number = number
        self.outbox = outbox
        self.frame_max = frame_max
        self.unacknowledged = Unacknowledged()
        self.fetched = PrefetchWindow(0)
        self.is_flowing = True

    cpdef bint is_behind(self) except -1:
        if self.outbox.size <= AHEAD:
            return False
        if not self.is_starved:
            self.is_starved = True
            self.outbox.when_below(AHEAD // 2, self.on_low)
        return True


cdef class AmqpTaker(Taker):

    def __init__(self, ChannelLimits channel not None, bytes tag not None, Py_ssize_t prefetch, *,
                 bint no_ack, subscriber, decorate=None):
        self.channel = channel
        self.limit = PrefetchWindow(prefetch)
        self.tag = tag
        self.no_ack = no_ack
        self.subscriber = subscriber
        self.decorate = decorate

    cdef Py_ssize_t credit(self) except -1:
        cdef ChannelLimits channel = self.channel
        cdef Py_ssize_t left = NO_LIMIT
        if channel.is_behind():
            return 0
        if not channel.is_flowing or channel.outbox.closing or channel.outbox.aborted:
            return 0
        if self.no_ack:
            return NO_LIMIT  # prefetch limits count what is to be acknowledged
        if self.limit.prefetch:
            left = self.limit.prefetch - self.limit.outstanding
        if channel.prefetch:
            left = min(left, channel.prefetch - channel.unacknowledged.count
                       + channel.fetched.outstanding)
        return max(left, <Py_ssize_t>0)

    cdef int deliver(self, Entry entry) except -1:
        cdef ChannelLimits channel = self.channel
        cdef Item item = entry.item()
        cdef uint64_t tag
        cdef bytes mark = item.mark
        if self.decorate is not None:
            mark = <bytes>self.decorate(entry)
        if self.no_ack:
            tag = channel.unacknowledged.next_tag()
        else:
            tag = channel.unacknowledged.add(entry, self.limit)
        write_delivery(channel.outbox, channel.number, channel.frame_max, self.tag, tag,
                       entry.is_again(), mark, item.value)
        if self.no_ack:
            entry.queue.settle(entry)
        return 0


def routing_size(bytes mark not None):
    return routing_bytes(<const uint8_t*>PyBytes_AS_STRING(mark))


cdef inline Py_ssize_t routing_bytes(const uint8_t* mark) noexcept:
    """How long the two short strings are that a mark begins with."""
    cdef Py_ssize_t exchange = 1 + mark[0]
    return exchange + 1 + mark[exchange]


cdef int write_delivery(Outbox outbox, int channel, Py_ssize_t frame_max, bytes tag,
                        uint64_t delivery_tag, bint redelivered, bytes mark,
                        bytes body) except -1:
    """Write basic.deliver and its content."""
    cdef const uint8_t* routing = <const uint8_t*>PyBytes_AS_STRING(mark)
    cdef Py_ssize_t routing_size = routing_bytes(routing)
    cdef Py_ssize_t properties_size = PyBytes_GET_SIZE(mark) - routing_size
    cdef Py_ssize_t tag_size = PyBytes_GET_SIZE(tag), body_size = PyBytes_GET_SIZE(body)
    cdef Py_ssize_t method_size = 4 + 1 + tag_size + 8 + 1 + routing_size
    cdef uint8_t head[FRAME_HEAD_BYTES + 4 + 256 + 9]
    cdef uint8_t* at = put_frame_head(head, FRAME_METHOD, channel, method_size)
    at = put_short(put_short(at, CLASS_BASIC), METHOD_DELIVER)
    at[0] = <uint8_t>tag_size
    memcpy(at + 1, PyBytes_AS_STRING(tag), tag_size)
    at = put_longlong(at + 1 + tag_size, delivery_tag)
    at[0] = redelivered
    outbox.copy(head, at + 1 - head)
    outbox.copy(routing, routing_size)
    return write_content(outbox, channel, frame_max, routing + routing_size, properties_size, body,
                         body_size)


cdef int write_content(Outbox outbox, int channel, Py_ssize_t frame_max, const uint8_t* properties,
                       Py_ssize_t properties_size, bytes body, Py_ssize_t body_size) except -1:
    """Write the end of a method frame, the content header and the body (section 2.3.5.2)."""
    cdef Py_ssize_t most = frame_max - FRAME_BYTES, at_body = 0, part
    cdef uint8_t head[1 + FRAME_HEAD_BYTES + CONTENT_HEADER_BYTES]
    cdef uint8_t* at = head
    at[0] = FRAME_END
    at = put_frame_head(at + 1, FRAME_HEADER, channel, CONTENT_HEADER_BYTES + properties_size)
    at = put_longlong(put_short(put_short(at, CLASS_BASIC), 0), body_size)
    outbox.copy(head, at - head)
    outbox.copy(properties, properties_size)
    head[0] = FRAME_END
    while at_body < body_size:
        part = min(most, body_size - at_body)
        at = put_frame_head(head + 1, FRAME_BODY, channel, part)
        outbox.copy(head, at - head)
        if part == body_size and part >= BODY_SHARED_BYTES:
            outbox.add(body)
        else:
            outbox.copy(<const uint8_t*>PyBytes_AS_STRING(body) + at_body, part)
        at_body += part
    outbox.copy(head, 1)
    return 0


def encode_delivery(int channel, Py_ssize_t frame_max, bytes tag not None, uint64_t delivery_tag,
                    bint redelivered, bytes mark not None, bytes body not None):
    cdef Outbox outbox = Outbox()
    write_delivery(outbox, channel, frame_max, tag, delivery_tag, redelivered, mark, body)
    return b"".join(outbox.take())


def encode_content(int channel, Py_ssize_t frame_max, bytes method not None,
                   bytes properties not None, bytes body not None):
    cdef Outbox outbox = Outbox()
    cdef uint8_t head[FRAME_HEAD_BYTES]
    put_frame_head(head, FRAME_METHOD, channel, PyBytes_GET_SIZE(method))
    outbox.copy(head, FRAME_HEAD_BYTES)
    outbox.add(method)
    write_content(outbox, channel, frame_max, <const uint8_t*>PyBytes_AS_STRING(properties),
                  PyBytes_GET_SIZE(properties), body, PyBytes_GET_SIZE(body))
    return b"".join(outbox.take())
