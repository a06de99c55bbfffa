# cython: language_level=3, boundscheck=False, wraparound=False
"""What one connection is told, in the order in which it has to hear it."""

from collections import deque
from enum import Enum, auto

from hubbub.protocols.redis.codec import RESP2, Failure, array_header, encode, encode_failure

# Replies that wait for the disk before no more requests are read: at a million publishes a second,
# what some tens of milliseconds of syncing hold up. Those of one burst cost one place.
MAX_WAITING = 128 * 1024
# What a client may leave unread of answers. Redis sets no limit for ordinary clients and runs out
# of memory; this is several times the largest answer.
MAX_UNREAD_BYTES = 256 * 1024 * 1024


class ReplyMode(Enum):
    ON = auto()
    OFF = auto()
    SKIP_NEXT = auto()  # the command after this one goes unanswered
    SKIP = auto()  # this one does


_ON = ReplyMode.ON
_OFF = ReplyMode.OFF
_SKIP = ReplyMode.SKIP


cdef class Slot:

    def fill(self, value):
        if type(value) is Failure:
            self._replies._stats.count_error(value.line)
        self._replies._fill(self, encode(value, self._replies.protocol))

    def fill_encoded(self, bytes chunk not None):
        self._replies._fill(self, chunk)

    def fill_failure(self, str line not None, Py_ssize_t answers):
        for _ in range(answers):
            self._replies._stats.count_error(line)
        self._replies._fill(self, encode_failure(line) * answers)


cdef Slot new_slot(Replies replies, bytes chunk, Py_ssize_t answers):
    cdef Slot slot = Slot.__new__(Slot)
    slot._replies = replies
    slot.chunk = chunk
    slot._answers = answers
    slot._is_push = answers == 0
    return slot


cdef class Replies:

    def __init__(self, Outbox outbox not None, stats):
        self.protocol = RESP2
        self.mode = _ON
        self.outbox = outbox
        self._stats = stats

    @property
    def full(self):
        return self.is_full()

    @property
    def muted(self):
        return self.mode is _OFF or self.mode is _SKIP

    def begin_command(self):
        self.begin()

    def end_command(self):
        self.end()

    def send(self, value):
        if not self.muted:
            self.answer(encode(value, self.protocol))

    def fail(self, str line not None):
        self._stats.count_error(line)
        if not self.muted:
            self.answer(encode_failure(line))

    def announce_array(self, size):
        if not self.muted:
            self.answer(array_header(size))

    def confirm(self, value):
        self.answer(encode(value, self.protocol))

    def later(self, Py_ssize_t answers=1):
        cdef Slot slot = new_slot(self, None, answers)
        if self.muted:
            slot._is_unheard = True
        else:
            self._wait(slot)
        return slot

    def close(self):
        self._closing = True
        if not self._waiting:
            self.outbox.close()

    def deliver(self, bytes frame not None):
        self.deliver_frame(frame)

    cdef bint is_full(self) except -1:
        """As ``full``."""
        return self._waiting_answers != 0 and self._waiting_answers >= MAX_WAITING

    cdef int begin(self) except -1:
        self._in_command = True
        return 0

    cdef int end(self) except -1:
        self._in_command = False
        if self._own_pushes is not None:
            own, self._own_pushes = self._own_pushes, None
            for frame in own:
                self._held_bytes -= len(frame)
                self.deliver_frame(frame)
        if self.mode is not _ON and self.mode is not _OFF:
            self.mode = _ON if self.mode is _SKIP else _SKIP
        return 0

    cdef int deliver_frame(self, bytes frame) except -1:
        """As ``deliver``."""
        if not self._in_command and not self._waiting:
            return self._push(frame)
        if self._held_bytes + len(frame) > self.outbox.limit:
            return self._overflow()
        self._held_bytes += len(frame)
        if self._in_command:
            if self._own_pushes is None:
                self._own_pushes = []
            self._own_pushes.append(frame)
        else:
            self._wait(new_slot(self, frame, 0))
        return 0

    cdef int answer(self, bytes chunk) except -1:
        """Send an encoded reply, in its turn."""
        if self.outbox.size + self._waiting_bytes + len(chunk) > MAX_UNREAD_BYTES:
            return self._overflow()
        if self._waiting:
            self._waiting_bytes += len(chunk)
            self._wait(new_slot(self, chunk, 1))
        else:
            self.outbox.add(chunk)
        return 0

    cdef int _fill(self, Slot slot, bytes chunk) except -1:
        """Answer what ``later`` kept a place for, and send on all that waited only for it."""
        cdef Slot first
        if slot._is_unheard:
            return 0
        slot.chunk = chunk
        self._waiting_bytes += len(chunk)
        while self._waiting:
            first = <Slot>self._waiting[0]
            if first.chunk is None:
                return 0
            self._waiting.popleft()
            self._waiting_answers -= first._answers
            if first._is_push:
                self._held_bytes -= len(first.chunk)
                self._push(first.chunk)
            else:
                self._waiting_bytes -= len(first.chunk)
                self.outbox.add(first.chunk)
        if self._closing:
            self.outbox.close()
        return 0

    def _wait(self, Slot slot):
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(slot)
        self._waiting_answers += slot._answers

    cdef int _push(self, bytes frame) except -1:
        if not self.outbox.overflowed and not self.outbox.deliver(frame):
            self._stats.count_slow_consumer()
        return 0

    cdef int _overflow(self) except -1:
        if not self.outbox.overflowed:
            self.outbox.overflow()
            self._stats.count_slow_consumer()
        return 0
