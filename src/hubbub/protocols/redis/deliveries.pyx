# cython: language_level=3, boundscheck=False, wraparound=False
"""Messages as the frames that subscribers get."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from hubbub.broker.routes cimport Route
from hubbub.broker.writing cimport number_size, put, put_bytes, put_line_end, put_number
from hubbub.broker.run cimport View

from hubbub.protocols.redis import mapping
from hubbub.protocols.redis.codec import RESP2, RESP3, encode_bulk, push_header


class _ChannelBulk:
    """A route's channel as the element of a frame (see ``Route.spelled``)."""

    @staticmethod
    def spelled(address):
        return encode_bulk(mapping.channel_of(address))


cdef object CHANNEL = _ChannelBulk()


cdef class FrameHead:

    def __init__(self, *words):
        size = len(words) + 2
        fixed = b"".join(encode_bulk(word) for word in words)
        self._resp2 = RespStyle(push_header(size, RESP2) + fixed)
        self._resp3 = RespStyle(push_header(size, RESP3) + fixed)

    cdef RespStyle style(self, int protocol):
        """The style of this version of the protocol."""
        return self._resp3 if protocol == 3 else self._resp2


cdef class RespStyle(Style):
    """Frames of one kind, which any number of clients may get."""

    def __init__(self, bytes head not None):
        self._head = head

    cdef bytes render(self, Run run):
        cdef Py_ssize_t room = 0, index, size
        cdef const View* view
        cdef const void* last = NULL
        cdef bytes channel = None
        cdef bytes frames
        cdef uint8_t* at
        # What stands before a payload is written again only where it differs from the one before.
        cdef const uint8_t* head = NULL
        cdef Py_ssize_t head_size = 0, headed = -1
        for index in range(run.count):
            view = &run.views[index]
            if view.route != last:
                last = view.route
                channel = (<Route>view.route).spelled(CHANNEL)
            # Kafka's tombstone is an empty payload, for Redis has no null message.
            size = max(view.value_size, 0)
            room += (PyBytes_GET_SIZE(self._head) + PyBytes_GET_SIZE(channel)
                     + 1 + number_size(size) + 2 + size + 2)
        frames = PyBytes_FromStringAndSize(NULL, room)
        at = <uint8_t*>PyBytes_AS_STRING(frames)
        last = NULL
        for index in range(run.count):
            view = &run.views[index]
            size = max(view.value_size, 0)
            if view.route == last and size == headed:
                at = put(at, head, head_size)
            else:
                last = view.route
                channel = (<Route>view.route).spelled(CHANNEL)
                head = at
                headed = size
                at = put_bytes(put_bytes(at, self._head), channel)
                at[0] = c"$"
                at = put_line_end(put_number(at + 1, size))
                head_size = at - head
            at = put_line_end(put(at, view.value, size))
        return frames


cdef class ClientObserver(RunObserver):

    def __init__(self, client, Replies replies not None, FrameHead head not None):
        self._client = client
        self._replies = replies
        self.outbox = replies.outbox
        self._head = head

    @property
    def subscriber(self):
        return self._client.subscriber

    cdef int take(self, Run run) except -1:
        return self._replies.deliver_frame(
            run.rendered(self._head.style(self._replies.protocol)))
