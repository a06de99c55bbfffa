# cython: language_level=3, boundscheck=False, wraparound=False
"""What a session writes, as the payload of WebSocket frames (RFC 6455 section 5.2).

The session writes to its outbox as ever. A frame is begun when the socket is ready for it, with a
header in front of the chunks that are there by then: they are shared with others as before, and
what an overflow drops are still whole chunks.
"""

from cpython.bytes cimport PyBytes_GET_SIZE

from hubbub.broker.outbox cimport Outbox, iovec

cdef enum:
    # The last fragment of a message, which is binary.
    FIN_BINARY = 0x82
    LENGTH_16 = 126
    LENGTH_64 = 127
    # Chunks join until there is so much, or there are so many as one system call takes.
    FRAME_BYTES = 64 * 1024
    FRAME_CHUNKS = 1000

# Status code 1000: nothing is wrong (section 7.4.1).
NORMAL_CLOSURE = b"\x88\x02\x03\xe8"


cdef class FrameOutbox(Outbox):
    cdef bint _framing
    cdef Py_ssize_t _begun      # what is still to be sent of what cannot be taken back
    cdef list _control          # whole frames, to be sent before the next one of the session's
    cdef bint _ended            # the last frame is among the chunks
    cdef bint _answered
    cdef public bytes last_frame

    def __init__(self, on_ready):
        Outbox.__init__(self, on_ready)
        self._control = []
        self.last_frame = NORMAL_CLOSURE

    @property
    def answered(self):
        return self._answered or self.size > self._begun + sum(map(len, self._control))

    def start_framing(self):
        self.seal()
        self._framing = True
        self._begun = self.size

    def write_control(self, bytes frame not None):
        if self.closing or self.aborted:
            return
        self._control.append(frame)
        self.size += PyBytes_GET_SIZE(frame)
        self.announce()

    def take(self):
        cdef int count
        if not self._framing:
            return Outbox.take(self)
        self.seal()
        taken = []
        before, count = self._offset, self._begin()
        while count:
            taken += self._chunks[self._head:self._head + count]
            self.sent(self._begun)
            count = self._begin()
        if before:
            taken[0] = taken[0][before:]
        self._announced = False
        return taken

    cdef int gather(self, iovec* out, int room):
        self.seal()
        if self._framing:
            room = min(room, self._begin())
        return Outbox.gather(self, out, room)

    cdef int sent(self, Py_ssize_t count) except -1:
        if self._framing:
            self._begun -= count
        return Outbox.sent(self, count)

    cdef int _begin(self) except -1:
        """Begin a frame unless one is begun; how many chunks are left of it."""
        if self._begun == 0:
            if self._control:
                self._put_first(b"".join(self._control))
                self._begun = PyBytes_GET_SIZE(self._chunks[self._head])
                self._control = []
            elif self._head < len(self._chunks):
                self._begin_data()
            elif self.closing and not self._ended:
                self._ended = True
                self._chunks.append(self.last_frame)
                self._begun = PyBytes_GET_SIZE(self.last_frame)
                self.size += self._begun
        return self._count_begun()

    cdef int _begin_data(self) except -1:
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t index = self._head
        cdef Py_ssize_t most = min(len(self._chunks), index + FRAME_CHUNKS)
        while index < most and size < FRAME_BYTES:
            size += PyBytes_GET_SIZE(self._chunks[index])
            index += 1
        header = _header(size)
        self._put_first(header)
        self._answered = True
        self.size += PyBytes_GET_SIZE(header)
        self._begun = PyBytes_GET_SIZE(header) + size
        return 0

    cdef int _put_first(self, bytes chunk) except -1:
        if self._head:
            self._head -= 1
            self._chunks[self._head] = chunk
        else:
            self._chunks.insert(0, chunk)
        return 0

    cdef int _count_begun(self) except -1:
        cdef Py_ssize_t left = self._begun + self._offset
        cdef Py_ssize_t index = self._head
        while left > 0:
            left -= PyBytes_GET_SIZE(self._chunks[index])
            index += 1
        return <int>(index - self._head)

    cdef int _keep_begun(self) except -1:
        """Drop all but what is left of the frame that is begun."""
        if not self._framing:
            return Outbox._keep_begun(self)
        self.seal()
        if self.aborted:
            self._begun = 0
        self._chunks = self._chunks[self._head:self._head + self._count_begun()]
        self._control = []
        self._head = 0
        self.size = self._begun
        return 0


cdef bytes _header(Py_ssize_t size):
    if size < LENGTH_16:
        return bytes((FIN_BINARY, size))
    if size < 0x10000:
        return bytes((FIN_BINARY, LENGTH_16)) + int(size).to_bytes(2, "big")
    return bytes((FIN_BINARY, LENGTH_64)) + int(size).to_bytes(8, "big")
