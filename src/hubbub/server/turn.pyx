# cython: language_level=3, boundscheck=False, wraparound=False
"""One turn of the event loop: time moves, what is due fires, and what was written is sent."""

from libc.stdlib cimport free, malloc
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from hubbub.broker.stream cimport HEADROOM

import logging

logger = logging.getLogger(__name__)

cdef double NEVER = float("inf")


cdef long long wall_ms() noexcept nogil:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <long long>now.tv_sec * 1000 + now.tv_nsec // 1_000_000


cdef class Flushable:

    cdef int flush_now(self) except -1:
        """Send what was written."""
        return 0


cdef int flush_each(list ready) except -1:
    """A flush that fails is a fault of ours, and only that connection's affair."""
    cdef Py_ssize_t at = 0
    while at < len(ready):
        try:
            while at < len(ready):
                (<Flushable>ready[at]).flush_now()
                at += 1
        except Exception:
            logger.exception("a flush failed")
            at += 1
    return 0


cdef class Turn:

    def __cinit__(self):
        self._memory = <uint8_t*>malloc(HEADROOM + READ_MOST)
        if self._memory == NULL:
            raise MemoryError
        self.received = self._memory + HEADROOM

    def __dealloc__(self):
        free(self._memory)

    def __init__(self, loop, timers):
        self._loop = loop
        self.timers = timers
        self._ready = []
        self._alarm_due = NEVER

    def begin(self):
        self.enter()

    def ready(self, Flushable connection not None):
        self.will_flush(connection)

    cdef int will_flush(self, Flushable connection) except -1:
        """As ``ready``."""
        self._ready.append(connection)
        return self._end_soon()

    cdef int enter(self) except -1:
        """As ``begin``; a turn that has begun already goes on."""
        if not self._ending:
            self._advance()
            self._end_soon()
        return 0

    cdef int _advance(self) except -1:
        self.timers.advance(self._loop.time(), wall_ms())
        return 0

    cdef int _end_soon(self) except -1:
        if not self._ending:
            self._ending = True
            self._loop.call_soon(self._end)
        return 0

    def _end(self):
        self._advance()
        self._ending = False
        ready, self._ready = self._ready, []
        flush_each(ready)
        self._set_alarm()

    def _ring(self):
        self._alarm = None
        self._alarm_due = NEVER
        self.enter()
        self._set_alarm()

    cdef int _set_alarm(self) except -1:
        due = self.timers.next_due()
        if due is None or due == self._alarm_due:
            return 0
        if due <= self._loop.time():
            return self._end_soon()
        # One that rings too early only looks again: most timers are cancelled before they are due.
        if due < self._alarm_due:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_due = due
            self._alarm = self._loop.call_at(due, self._ring)
        return 0
