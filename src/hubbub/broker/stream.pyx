# cython: language_level=3, boundscheck=False, wraparound=False
"""From chunks to a stream: a session parses what it got where it lies, and the rest is kept."""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy


cdef class StreamSession:

    @property
    def unparsed_bytes(self):
        return 0 if self._kept is None else len(self._kept)

    @property
    def paused(self):
        return self.is_paused()

    def resume(self):
        """Nothing was left: what is received is carried out at once, only reading on waits."""

    def receive(self, bytes data not None):
        # Without headroom the bytes are only read.
        self.take_in(<uint8_t*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), False)

    cdef Py_ssize_t consume(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Act on what is whole of ``data``, which begins where the last call ended; its size."""
        raise TypeError("a session says what its bytes mean")

    cdef bint is_paused(self) except -1:
        """As ``paused``, which native subclasses need not look up."""
        return False

    cdef int end_of_input(self) except -1:
        """Nothing more will come: close when all that is to be said is said."""
        self.outbox.close()
        return 0

    cdef int take_in(self, uint8_t* data, Py_ssize_t size, bint headroom) except -1:
        """As ``receive``; ``headroom``: the bytes in front of ``data`` may be written to."""
        cdef bytearray kept = self._kept
        cdef Py_ssize_t before, used
        if kept is not None:
            before = PyByteArray_GET_SIZE(kept)
            if not headroom or before > HEADROOM:
                kept += data[:size]
                used = self.consume(<const uint8_t*>PyByteArray_AS_STRING(kept),
                                    PyByteArray_GET_SIZE(kept))
                if used == PyByteArray_GET_SIZE(kept):
                    self._kept = None
                else:
                    del kept[:used]
                return 0
            data -= before
            size += before
            memcpy(data, PyByteArray_AS_STRING(kept), before)
            self._kept = None
        used = self.consume(data, size)
        if used < size:
            self.keep(data + used, size - used)
        return 0

    cdef int keep(self, const uint8_t* data, Py_ssize_t size) except -1:
        self._kept = bytearray(data[:size])
        return 0
