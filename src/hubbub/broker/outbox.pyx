# cython: language_level=3, boundscheck=False, wraparound=False
"""What a session wants sent: chunks of bytes that the server writes at the end of the loop turn.

What many connections get is one bytes object that all of them refer to; what is small is copied
into a tail of the connection's own, so that a turn ends in few and long writes.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject** bytes_, Py_ssize_t size) except -1

# What a consumer that stops reading may hold of the broker's memory before it is cut off: what
# Redis allows a Pub/Sub client (client-output-buffer-limit pubsub 32mb).
OUTBOX_LIMIT_BYTES = 32 * 1024 * 1024

cdef enum:
    # From this size on a reference is cheaper than a copy and an entry more for writev.
    SHARE_BYTES = 2 * 1024
    # A tail is made so large at once, and grows by another one: a page or two of small frames.
    TAIL_BYTES = 8 * 1024

# All that was ever pushed to any outbox: the server measures by it what a read set going.
cdef uint64_t _delivered = 0


cdef uint64_t delivered_bytes() noexcept:
    return _delivered


def _nobody():
    """Nobody waits."""


cdef class Outbox:

    def __init__(self, on_ready=_nobody, Py_ssize_t limit=OUTBOX_LIMIT_BYTES):
        self._chunks = []
        self._on_ready = on_ready
        self.limit = limit

    def write(self, bytes chunk not None):
        self.add(chunk)

    def push(self, bytes chunk not None):
        return self.deliver(chunk)

    def wake(self):
        self._announced = False
        self.announce()

    def overflow(self):
        if self.overflowed:
            return
        self.overflowed = True
        if self.farewell is None:
            self.abort()
        elif not self.closing and not self.aborted:
            self._keep_begun()
            self.add(self.farewell)
            self.closing = True
            self.wake()

    def abort(self):
        if not self.aborted:
            self.aborted = True
            self._offset = 0
            self._keep_begun()
            self.wake()

    def close(self):
        if not self.closing:
            self.closing = True
            self.wake()  # also where what was written waits for the socket

    def take(self):
        self.seal()
        chunks = self._chunks[self._head:]
        if self._offset:
            chunks[0] = chunks[0][self._offset:]
        self._chunks = []
        self._head = self._offset = self.size = 0
        self._announced = False
        return chunks

    def when_below(self, Py_ssize_t size, on_low):
        self._low = size
        self._on_low = on_low

    cdef bint add(self, bytes chunk) except -1:
        """As ``write``; whether it is taken."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(chunk)
        if size < SHARE_BYTES:
            return self.copy(<const uint8_t*>PyBytes_AS_STRING(chunk), size)
        if self.closing or self.aborted:
            return False
        self.seal()
        self._chunks.append(chunk)
        self.size += size
        self.announce()
        return True

    cdef bint deliver(self, bytes chunk) except -1:
        """As ``push``."""
        global _delivered
        cdef Py_ssize_t size = PyBytes_GET_SIZE(chunk)
        if self.size + size > self.limit:
            self.overflow()
            return False
        _delivered += <uint64_t>size
        self.add(chunk)
        return True

    cdef bint copy(self, const uint8_t* start, Py_ssize_t size) except -1:
        """As ``add``, of bytes that are only borrowed."""
        if self.closing or self.aborted or size == 0:
            return False
        if size > self._room:
            self.seal()
            self._room = max(size, <Py_ssize_t>TAIL_BYTES)
            self._tail = PyBytes_FromStringAndSize(NULL, self._room)
            self._end = <uint8_t*>PyBytes_AS_STRING(self._tail)
        memcpy(self._end, start, size)
        self._end += size
        self._room -= size
        self.size += size
        self.announce()
        return True

    cdef int announce(self) except -1:
        if not self._announced:
            self._announced = True
            self._on_ready()
        return 0

    cdef int seal(self) except -1:
        """Make the tail a chunk; what is written next begins another."""
        cdef PyObject* tail
        cdef Py_ssize_t used, room
        if self._tail is None:
            return 0
        room, self._room = self._room, 0
        used = PyBytes_GET_SIZE(self._tail) - room
        if room:
            # The resized object takes over the only reference there is.
            tail = <PyObject*>self._tail
            _incref(tail)
            self._tail = None
            _PyBytes_Resize(&tail, used)
            self._chunks.append(<object>tail)
            _decref(tail)
        else:
            self._chunks.append(self._tail)
            self._tail = None
        return 0

    cdef int gather(self, iovec* out, int room):
        """Where the first ``room`` chunks stand; how many there are."""
        cdef int count = 0
        cdef Py_ssize_t index = self._head
        cdef Py_ssize_t offset = self._offset
        self.seal()
        self._announced = False
        while count < room and index < len(self._chunks):
            chunk = <bytes>self._chunks[index]
            out[count].iov_base = PyBytes_AS_STRING(chunk) + offset
            out[count].iov_len = PyBytes_GET_SIZE(chunk) - offset
            offset = 0
            count += 1
            index += 1
        return count

    cdef int sent(self, Py_ssize_t count) except -1:
        """The socket has taken so many bytes."""
        cdef Py_ssize_t left
        self.size -= count
        if self._on_low is not None and self.size < self._low:
            on_low, self._on_low = self._on_low, None
            on_low()
        while count:
            left = PyBytes_GET_SIZE(self._chunks[self._head]) - self._offset
            if count < left:
                self._offset += count
                break
            count -= left
            self._offset = 0
            self._chunks[self._head] = None
            self._head += 1
        if self._head == len(self._chunks):
            self._chunks.clear()
            self._head = 0
        elif self._head * 2 > len(self._chunks):
            del self._chunks[:self._head]
            self._head = 0
        return 0

    cdef int _keep_begun(self) except -1:
        """Drop all but the chunk that is partly sent, which a frame boundary ends."""
        self.seal()
        self._chunks = self._chunks[self._head:self._head + 1] if self._offset else []
        self._head = 0
        self.size = len(self._chunks[0]) - self._offset if self._chunks else 0
        return 0


cdef extern from "Python.h":
    void _incref "Py_INCREF" (PyObject*)
    void _decref "Py_DECREF" (PyObject*)
