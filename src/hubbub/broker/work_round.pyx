# cython: language_level=3, boundscheck=False, wraparound=False
"""What queues note in a turn, and the flush that carries it out: first to disk, then to takers."""

from libc.stdint cimport INT64_MAX

import logging

logger = logging.getLogger(__name__)

cdef enum:
    # Dead letters may find their way into a next queue, and from there on. What goes on for longer
    # does so in later turns, so that the others have theirs.
    PASSES = 16
    # What expired goes to the dead letters so many at once, some ten milliseconds' work, and so
    # many bytes: after a long stop it may be all of a queue that only the disk has room for.
    EXPIRED_MOST = 1000
    EXPIRED_BYTES_MOST = 16 * 1024 * 1024


cdef class Noting:
    """Something that notes, to write and hand out when it is asked to."""

    cdef int note(self) except -1:
        """Be asked at the next flush."""
        if not self._noted:
            self._noted = True
            self.round._noted.append(self)
            if self.round._timer is None and not self.round._flushing:
                self.round._later()
        return 0

    cdef int write(self) except -1:
        """Append what was noted."""
        return 0

    cdef int hand_out(self) except -1:
        """Deliver what can be."""
        return 0


cdef class Round:

    def __init__(self, timers not None, on_flushed=None):
        self.held = Held()
        self.timers = timers
        self._on_flushed = on_flushed
        self._high = INT64_MAX
        self.buried = []
        self._noted = []
        self._failed = []

    def attend(self, int64_t low, int64_t high):
        self._low, self._high = low, high

    cdef int begin(self) except -1:
        """What happens from here on happens now."""
        self.now_ms = self.timers.wall_ms
        self._expired = self._expired_bytes = 0
        return 0

    cdef bint may_expire(self, int64_t size) noexcept:
        """Whether one more of so many bytes may become a dead letter before others have a turn."""
        if self._expired >= EXPIRED_MOST or self._expired_bytes >= EXPIRED_BYTES_MOST:
            return False
        self._expired += 1
        self._expired_bytes += size
        return True

    cdef int forget_told(self, Noting queue) except -1:
        """Before it writes on its own: the next flush leaves the failure that this may have."""
        if self._failed and not self._flushing and queue in self._failed:
            queue.failure = None
            self._failed = [other for other in self._failed if other is not queue]
        return 0

    cdef bint is_relieved(self) noexcept:
        """Whether so little is in memory that somebody waits to hear of it."""
        return self.held.bytes < self._low

    def take_buried(self):
        buried, self.buried = self.buried, []
        return buried

    def _due(self):
        self._timer = None
        self.flush()

    cpdef int flush(self) except -1:
        if self._flushing or not (self._noted or self._failed):
            return 0  # what comes up in the middle is carried out by the same flush
        self._flushing = True
        self.begin()
        for queue in self._failed:
            (<Noting>queue).failure = None
        self._failed = []
        try:
            for _ in range(PASSES):
                self.news = False
                self._ask()
                if not self.news:
                    break
        finally:
            self._flushing = False
        if self._noted or self._failed:
            self._later()  # who put in this turn has asked by then what became of it
        if self._on_flushed is not None and (
                self.buried or not self._low <= self.held.bytes <= self._high):
            self._on_flushed()
        return 0

    cdef int _later(self) except -1:
        """Flush in the next turn."""
        if self._timer is None:
            self._timer = self.timers.after(0, self._due)
        return 0

    cdef int _ask(self) except -1:
        """Let all who noted something write, and only then hand out."""
        cdef list noted = self._noted
        cdef Noting queue
        self._noted = []
        for index in range(len(noted)):
            queue = <Noting>noted[index]
            queue._noted = False
            try:
                queue.write()
            except Exception:
                logger.exception("a queue could not write")
            if queue.failure is not None:
                self._failed.append(queue)
        for index in range(len(noted)):
            try:
                (<Noting>noted[index]).hand_out()
            except Exception:
                logger.exception("a queue could not hand out")
        return 0
