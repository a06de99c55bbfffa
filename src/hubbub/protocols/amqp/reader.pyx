# cython: language_level=3, boundscheck=False, wraparound=False
"""Frames as they arrive: what happens to every message is done here, and the rest called out."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from hubbub.broker.outbox cimport Outbox
from hubbub.protocols.amqp.unacknowledged cimport Unacknowledged
from hubbub.protocols.amqp.wire cimport (
    FRAME_BODY, FRAME_BYTES, FRAME_END, FRAME_HEAD_BYTES, FRAME_HEADER, FRAME_HEARTBEAT,
    FRAME_METHOD, get_long, get_longlong, get_short)

import logging

from hubbub.protocols.amqp.codec import describe_frame
from hubbub.protocols.amqp.errors import (
    ChannelError, ConnectionFailure, frame_error, internal_error, unexpected_frame)

logger = logging.getLogger(__name__)

# What a client begins with, and what it is told to begin with if it does not (section 4.2.2).
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

cdef enum:
    HEADER_BYTES = 8
    CLASS_BASIC = 60
    METHOD_PUBLISH = 40
    METHOD_ACK = 80
    ACK_BYTES = 13      # class, method, delivery tag, bits
    METHOD_BYTES = 4


cdef bytes HEADER = PROTOCOL_HEADER


cdef object unexpected(int kind, const uint8_t* payload, Py_ssize_t size):
    """The error of a frame that does not belong here."""
    return unexpected_frame(describe_frame(kind, payload[:size]))


cdef object unknown(int kind, const uint8_t* payload, Py_ssize_t size):
    """The error of a frame that there is not."""
    return frame_error(f"{describe_frame(kind, payload[:size])}: unknown_frame")


cdef class AmqpReader(StreamSession):

    def __init__(self, AmqpPublisher publisher not None, work_queues, Outbox outbox not None):
        self.publisher = publisher
        self.work_queues = work_queues
        self.outbox = outbox
        self.principal = ""
        self.channels = {}
        self._published = []
        self._relieved = {}

    def settle(self):
        self._finish()

    def resume(self):
        if not self.waiting and self._kept is not None:
            self.receive(b"")

    def forget_heard(self):
        heard, self.heard = self.heard, False
        return heard

    cdef bint is_paused(self) except -1:
        return self.waiting or (self.blocked and self.has_published and not self.closed)

    cdef Py_ssize_t consume(self, const uint8_t* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t at = 0, used
        cdef uint32_t payload_size
        if self.closed:
            return self._part(data, size)
        self.heard = True
        if self.waiting:
            return 0
        if not self._greeted:
            used = self._protocol_header(data, size)
            if used <= 0:
                return size if self.parted else 0
            at = used
        self.publisher.begin(self)
        while size - at >= FRAME_HEAD_BYTES and not self.waiting:
            payload_size = get_long(data + at + 3)
            if payload_size > self.frame_max - FRAME_BYTES:
                self._too_large(data[at], payload_size)
                break
            if size - at < FRAME_BYTES + <Py_ssize_t>payload_size:
                break
            self._frame(data[at], get_short(data + at + 1), data + at + FRAME_HEAD_BYTES,
                        payload_size)
            at += FRAME_BYTES + payload_size
            if self.closed:
                break
        if self._relieved:
            self._wake_relieved()
        self._finish()
        return at + self._part(data + at, size - at) if self.closed else at

    cdef Py_ssize_t _part(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Once closed, all is passed over but the other side's answer, or a close of its own.

        Read on it is in any case: who closes a socket with something unread resets it, and takes
        from the other side what it has not read yet, such as why it was closed.
        """
        cdef Py_ssize_t at = 0
        cdef uint32_t payload_size
        cdef const uint8_t* payload
        while not self.parted and size - at >= FRAME_HEAD_BYTES:
            payload_size = get_long(data + at + 3)
            if payload_size > self.frame_max - FRAME_BYTES:
                self.parted = True
                break
            if size - at < FRAME_BYTES + <Py_ssize_t>payload_size:
                break
            payload = data + at + FRAME_HEAD_BYTES
            if payload[payload_size] != FRAME_END:
                self.parted = True
            elif data[at] == FRAME_METHOD and get_short(data + at + 1) == 0:
                self.parting_method(payload[:payload_size])
            at += FRAME_BYTES + payload_size
        return size if self.parted else at

    cdef int _too_large(self, int kind, uint32_t size) except -1:
        """Before its bytes are waited for: a length alone costs nothing."""
        shown = describe_frame(kind, b"")
        self.failed(frame_error(
            f"{shown}: {{frame_too_large,{size},{self.frame_max - FRAME_BYTES}}}"), b"")
        return 0

    cdef Py_ssize_t _protocol_header(self, const uint8_t* data, Py_ssize_t size) except -2:
        if size < HEADER_BYTES:
            if memcmp(data, <const char*>HEADER, size) == 0:
                return 0
        elif memcmp(data, <const char*>HEADER, HEADER_BYTES) == 0:
            self._greeted = True
            self.greeted()
            return HEADER_BYTES
        self.outbox.add(HEADER)
        self.closed = self.parted = True
        self.outbox.close()
        return -1

    cdef int _frame(self, int kind, int number, const uint8_t* payload, Py_ssize_t size) except -1:
        """Act on one frame; what it breaks is told to the client."""
        cdef ContentReader channel = self._last
        try:
            if payload[size] != FRAME_END:
                raise frame_error(f"{describe_frame(kind, payload[:size])}: "
                                  f"{{invalid_frame_end_marker,{payload[size]}}}")
            if kind == FRAME_HEARTBEAT:
                if number or size:  # section 4.2.7
                    raise unexpected(kind, payload, size) if number else unknown(
                        kind, payload, size)
                return 0
            if kind != FRAME_METHOD and kind != FRAME_HEADER and kind != FRAME_BODY:
                raise unknown(kind, payload, size)
            if number == 0:
                if kind != FRAME_METHOD:
                    raise unexpected(kind, payload, size)
                self._finish()
                self.connection_method(payload[:size])
                return 0
            if channel is None or channel.number != number:
                found = self.channels.get(number)
                if found is None:
                    self.unknown_channel(number, kind, payload[:size])
                    return 0
                channel = self._last = <ContentReader>found
            self._on_channel(channel, kind, payload, size)
        except ConnectionFailure as error:
            is_method = kind == FRAME_METHOD and size >= METHOD_BYTES and payload[size] == FRAME_END
            self.failed(error, payload[:size] if is_method else b"")
        except Exception as error:
            logger.exception("amqp: a frame could not be carried out")
            self.failed(internal_error(), b"")
        return 0

    def forget_channel(self, int number):
        """The channel is closed."""
        self.channels.pop(number, None)
        self._last = None

    cdef int _on_channel(self, ContentReader channel, int kind, const uint8_t* payload,
                         Py_ssize_t size) except -1:
        try:
            if kind == FRAME_METHOD:
                self._method(channel, payload, size)
            elif channel.is_closing:
                pass
            else:
                # Here, and not where its method came, which may have been in an earlier chunk.
                self._note_published(channel)
                if kind == FRAME_HEADER:
                    channel.header(payload, size)
                else:
                    channel.body(payload, size)
        except ChannelError as error:
            self._finish()
            self.channel_failed(channel, error, payload[:size] if kind == FRAME_METHOD else b"")
        return 0

    cdef int _note_published(self, ContentReader channel) except -1:
        """More than once is as good as once, where channels take turns."""
        cdef Py_ssize_t count = len(self._published)
        if count == 0 or self._published[count - 1] is not channel:
            self._published.append(channel)
        return 0

    cdef int _method(self, ContentReader channel, const uint8_t* payload,
                     Py_ssize_t size) except -1:
        cdef int method
        cdef Unacknowledged unacknowledged
        if size < METHOD_BYTES:
            raise unknown(FRAME_METHOD, payload, size)
        if not channel.is_closing:
            channel.expect_method()
        method = get_short(payload + 2)
        if get_short(payload) == CLASS_BASIC and not channel.is_closing:
            if method == METHOD_PUBLISH:
                self.has_published = True
                channel.publish_method(payload + METHOD_BYTES, size - METHOD_BYTES)
                return 0
            if method == METHOD_ACK and size == ACK_BYTES and not channel.in_transaction:
                unacknowledged = (<ChannelLimits>channel.limits).unacknowledged
                if unacknowledged.settle(get_longlong(payload + METHOD_BYTES), payload[12] & 1):
                    if (<ChannelLimits>channel.limits).prefetch:
                        self.relieve(channel)
                    return 0
        # What came before it has happened, when it asks.
        self._finish()
        self.channel_method(channel, payload[:size])
        return 0

    cpdef int relieve(self, ContentReader channel) except -1:
        self._relieved[channel] = None
        return 0

    cdef int _wake_relieved(self) except -1:
        """Once for all that was acknowledged in this chunk: a channel may have many consumers."""
        relieved, self._relieved = self._relieved, {}
        for channel in relieved:
            channel.wake()
        return 0

    cdef int _finish(self) except -1:
        """Publish to others, let the queues write and hand out, and confirm."""
        self.publisher.flush(self.principal)
        self.work_queues.flush()
        if self._published:
            published, self._published = self._published, []
            for channel in published:
                (<ContentReader>channel).finish()
        return 0
