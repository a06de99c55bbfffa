# cython: language_level=3, boundscheck=False, wraparound=False
"""What a channel was sent and has not acknowledged, by delivery tag."""

from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport free, realloc
from libc.string cimport memmove

from hubbub.broker.leases cimport Entry

cdef enum:
    LEAST_ROOM = 16


cdef class PrefetchWindow:

    def __init__(self, Py_ssize_t prefetch):
        self.prefetch = prefetch


cdef class Unacknowledged:

    def __dealloc__(self):
        cdef Py_ssize_t at
        for at in range(self._head, self._end):
            if self._slots[at].entry != NULL:
                release(&self._slots[at])
        free(self._slots)

    def __len__(self):
        return self.count

    def push(self, entry not None, PrefetchWindow consumer=None):
        return self.add(entry, consumer)

    def skip(self):
        return self.next_tag()

    def acknowledge(self, uint64_t tag, *, bint multiple=False):
        return bool(self.settle(tag, multiple))

    def take(self, uint64_t tag, *, bint multiple=False):
        if multiple:
            return self.take_until(self.last_tag if tag == 0 else tag)
        return self.take_one(tag)

    def take_all(self):
        return self.take_until(self.last_tag)

    def peek(self, uint64_t tag, *, bint multiple=False):
        cdef Py_ssize_t at, last = self._last(tag, multiple)
        if last < 0:
            return [] if multiple and tag == 0 else None
        return [<object>self._slots[at].entry
                for at in range(self._head if multiple else last, last + 1)
                if self._slots[at].entry != NULL and not self._slots[at].held]

    def hold(self, uint64_t tag, *, bint multiple=False):
        cdef Py_ssize_t at, last = self._last(tag, multiple)
        cdef list tags = []
        for at in range(self._head if multiple else last, last + 1):
            if last >= 0 and self._slots[at].entry != NULL and not self._slots[at].held:
                self._slots[at].held = True
                tags.append(self._slots[at].tag)
        return tags

    def let_go(self, list tags not None):
        cdef Py_ssize_t at
        for tag in tags:
            at = self._place(tag)
            if at >= 0:
                self._slots[at].held = False

    def forget_consumer(self, PrefetchWindow consumer not None):
        cdef Py_ssize_t at
        for at in range(self._head, self._end):
            if self._slots[at].consumer == <PyObject*>consumer:
                self._slots[at].consumer = NULL
                Py_DECREF(consumer)
        consumer.outstanding = 0

    cdef uint64_t next_tag(self) noexcept:
        """The tag that is sent next, for a delivery that needs no acknowledgement."""
        self.last_tag += 1
        return self.last_tag

    cdef uint64_t add(self, object entry, PrefetchWindow consumer) except? 0:
        """As ``push``."""
        cdef Slot* slots
        cdef Slot* slot
        cdef Py_ssize_t room
        if self._end == self._room:
            self._tidy()
        if self._end == self._room:
            room = max(self._room * 2, <Py_ssize_t>LEAST_ROOM)
            slots = <Slot*>realloc(self._slots, room * sizeof(Slot))
            if slots == NULL:
                raise MemoryError
            self._slots, self._room = slots, room
        slot = &self._slots[self._end]
        self._end += 1
        self.count += 1
        self.last_tag += 1
        slot.tag = self.last_tag
        Py_INCREF(entry)
        slot.entry = <PyObject*>entry
        slot.consumer = NULL
        slot.held = False
        if consumer is not None:
            Py_INCREF(consumer)
            slot.consumer = <PyObject*>consumer
            consumer.outstanding += 1
        return slot.tag

    cdef Py_ssize_t _find(self, uint64_t tag) noexcept:
        """Where the tag stands, -1 if nothing is unacknowledged under it."""
        cdef Py_ssize_t at = self._place(tag)
        return -1 if at < 0 or self._slots[at].held else at

    cdef Py_ssize_t _last(self, uint64_t tag, bint multiple) noexcept:
        """Where the last stands that a method is about, -1 if there is none."""
        return self._end - 1 if multiple and tag == 0 else self._find(tag)

    cdef Py_ssize_t _place(self, uint64_t tag) noexcept:
        """As ``_find``, of what is held, too."""
        cdef Py_ssize_t low = self._head, high = self._end, middle
        if low < high and self._slots[low].tag == tag:
            return low if self._slots[low].entry != NULL else -1
        while low < high:
            middle = (low + high) // 2
            if self._slots[middle].tag < tag:
                low = middle + 1
            else:
                high = middle
        if low < self._end and self._slots[low].tag == tag and self._slots[low].entry != NULL:
            return low
        return -1

    cdef int settle(self, uint64_t tag, bint multiple) except -1:
        """As ``acknowledge``."""
        cdef Py_ssize_t at, first
        cdef Slot* slot
        if multiple and tag == 0:
            at = self._end - 1
            if at < self._head:
                return 1  # all of nothing
        else:
            at = self._find(tag)
            if at < 0:
                return 0
        first = self._head if multiple else at
        for first in range(first, at + 1):
            slot = &self._slots[first]
            if slot.entry != NULL:
                entry = <object>slot.entry
                self.count -= 1
                release(slot)
                if isinstance(entry, Entry):
                    (<Entry>entry).queue.settle(<Entry>entry)
                else:
                    entry.queue.settle(entry)
        self._skip()
        return 1

    cdef list take_one(self, uint64_t tag):
        cdef list taken = []
        cdef Py_ssize_t at = self._find(tag)
        if at >= 0:
            self._take(&self._slots[at], taken)
            self._skip()
        return taken

    cdef list take_until(self, uint64_t tag):
        """All up to ``tag``."""
        cdef list taken = []
        cdef Py_ssize_t at
        for at in range(self._head, self._end):
            if self._slots[at].tag > tag:
                break
            self._take(&self._slots[at], taken)
        self._skip()
        return taken

    cdef int _take(self, Slot* slot, list taken) except -1:
        if slot.entry != NULL and not slot.held:
            taken.append(<object>slot.entry)
            self.count -= 1
            release(slot)
        return 0

    cdef int _skip(self) except -1:
        """Begin with what is in use."""
        while self._head < self._end and self._slots[self._head].entry == NULL:
            self._head += 1
        if self._head == self._end:
            self._head = self._end = 0
        return 0

    cdef int _tidy(self) except -1:
        """Close the gaps, where there are many; what is appended next may need no more memory."""
        cdef Py_ssize_t at, to = 0
        if self.count > self._room // 2:
            return 0
        for at in range(self._head, self._end):
            if self._slots[at].entry != NULL:
                if at != to:
                    memmove(&self._slots[to], &self._slots[at], sizeof(Slot))
                to += 1
        self._head, self._end = 0, to
        return 0


cdef int release(Slot* slot) except -1:
    """Let go of what a slot refers to."""
    entry, slot.entry = <object>slot.entry, NULL
    Py_DECREF(entry)
    if slot.consumer != NULL:
        consumer, slot.consumer = <object>slot.consumer, NULL
        (<PrefetchWindow>consumer).outstanding -= 1
        Py_DECREF(consumer)
    return 0
