# cython: language_level=3, boundscheck=False, wraparound=False
"""Messages that somebody has and has not settled, in the order in which they were handed out."""

cimport cython

from hubbub.broker.work_item cimport release, weight

from hubbub.model.errors import StorageError

cdef extern from "Python.h":
    void _decref "Py_DECREF" (PyObject*)


# The list below holds no references, so that there are no cycles, and nothing for the collector.
@cython.no_gc
@cython.freelist(1024)
cdef class Entry:

    def __dealloc__(self):
        if self.leased and self.queue.leases is not None:
            self.queue.leases.end(self)  # dropped by mistake: nobody may find it in the list

    @property
    def redelivered(self):
        return self.is_again()

    cdef bint is_again(self) noexcept:
        """Whether somebody may have had it before."""
        return self.deliveries > 0 or self.order < self.queue.recovered_before

    cpdef Item item(self):
        cdef Item item = self.held
        if item is None:
            if self.queue.log is not None and self.offset >= 0:
                item = self.queue.log.read(self.offset)
            if item is None:
                raise StorageError("the message is lost")
        return item


cdef class Lender(Noting):
    """A queue, as far as those who have its entries need it."""

    cpdef int settle(self, Entry entry) except -1:
        return 0

    cpdef int give_back(self, Entry entry, bint counts) except -1:
        return 0

    cpdef int reject(self, Entry entry) except -1:
        return 0


cdef class Leases:

    cdef Entry begin(self, Lender queue, Place* place, int level):
        """Lease what was taken out of the line, with its reference."""
        cdef Entry entry = Entry.__new__(Entry)
        entry.queue = queue
        entry.offset = place.offset
        entry.order = place.order
        entry.expires_ms = place.expires_ms
        entry.deliveries = place.deliveries
        entry.size = place.size
        entry.level = level
        entry.leased = True
        if place.item != NULL:
            entry.held = <Item>place.item
            _decref(place.item)
            if place.offset >= 0:
                self.held_bytes += weight(entry.held)
        self.count += 1
        entry._before = self._last
        if self._last == NULL:
            self._first = <PyObject*>entry
        else:
            (<Entry>self._last)._after = <PyObject*>entry
        self._last = <PyObject*>entry
        if self._held == NULL:
            self._held = <PyObject*>entry
        return entry

    cdef int end(self, Entry entry) noexcept:
        """Whoever has the entry can do nothing more with it."""
        entry.leased = False
        self.count -= 1
        if entry._before == NULL:
            self._first = entry._after
        else:
            (<Entry>entry._before)._after = entry._after
        if entry._after == NULL:
            self._last = entry._before
        else:
            (<Entry>entry._after)._before = entry._before
        if self._held == <PyObject*>entry:
            self._held = entry._after
        if entry.offset >= 0 and entry.held is not None:
            self.held_bytes -= weight(entry.held)
        return 0

    cdef int let_go(self, QueueLog log, Held held, int64_t most) except -1:
        """Keep in the log only what was handed out first, until so many bytes are in memory."""
        cdef Entry entry
        while self.held_bytes > most and self._held != NULL:
            entry = <Entry>self._held
            if entry.offset >= 0 and entry.held is not None:
                if not log.is_durable(entry.offset):
                    break
                self.held_bytes -= weight(entry.held)
                release(held, entry.held)
                entry.held = None
            self._held = entry._after
        return 0

    cdef int rewrite(self, Rewriting rewriting) except -1:
        """Have those stored anew that are due. Raises StorageError."""
        cdef PyObject* at = self._first
        cdef Entry entry
        cdef Place place
        self._held = self._first
        while at != NULL:
            entry = <Entry>at
            place.order = entry.order
            place.offset = entry.offset
            place.expires_ms = entry.expires_ms
            place.deliveries = entry.deliveries
            place.item = NULL if entry.held is None else <PyObject*>entry.held
            rewriting.add(&place, entry.level, &entry.offset)
            if entry.held is None and place.item != NULL:
                entry.held = <Item>place.item
                _decref(place.item)
                self.held_bytes += weight(entry.held)
            at = entry._after
        return 0
