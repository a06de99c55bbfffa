# cython: language_level=3, boundscheck=False, wraparound=False
"""A work queue: what is put into it goes to one taker each, and is forgotten when it is settled.

``put`` and the ways to settle only note. The flush stores what is to be stored and then delivers,
so that nobody has a message that a crash could take out of the queue.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.ref cimport Py_INCREF
from libc.stdlib cimport free, realloc

from hubbub.broker.work_item cimport hold, release

import logging

logger = logging.getLogger(__name__)

cdef extern from "Python.h":
    void _decref "Py_DECREF" (PyObject*)

cdef enum:
    LEASED = 1
    GONE = 2

cdef int64_t NO_LIMIT = 2 ** 62


@cython.no_gc
@cython.freelist(1024)
cdef class Entry:

    cpdef Item item(self):
        return self._item


cdef class Taker(Creditor):

    cdef int deliver(self, Entry entry) except -1:
        """Take it; it is the taker's to settle or to give back."""
        return 0


cdef class OpenTaker(Taker):

    @property
    def room(self):
        return 0

    def take(self, entry):
        """See the stub."""

    cdef Py_ssize_t credit(self) except -1:
        return self.room

    cdef int deliver(self, Entry entry) except -1:
        self.take(entry)
        return 0


@cython.final
cdef class WorkQueue(Noting):

    def __init__(self, str name not None, settings not None, Round work_round not None,
                 bytes attributes not None=b""):
        self.name = name
        self.settings = settings
        self.attributes = attributes
        self.round = work_round
        self._ttl_ms = -1 if settings.message_ttl_ms is None else settings.message_ttl_ms
        self._most = NO_LIMIT if settings.max_length is None else settings.max_length
        self._most_bytes = NO_LIMIT if settings.max_bytes is None else settings.max_bytes
        self._limited = settings.max_length is not None or settings.max_bytes is not None
        self._refuses = settings.overflow == "reject"
        limit = settings.delivery_limit
        self._delivery_limit = -1 if limit is None else limit
        self._waiting = WaitingLine(settings.priorities)
        self._takers = Takers(settings.single_active)

    def __dealloc__(self):
        for index in range(self._fresh_count):
            _decref(self._fresh[index].item)
        free(self._fresh)

    @property
    def ready(self):
        return self._waiting.count + self._fresh_count

    @property
    def ready_bytes(self):
        return self._waiting.bytes + self._fresh_bytes

    @property
    def takers(self):
        return list(self._takers)

    @property
    def active(self):
        return self._takers.active

    # Putting.

    cpdef int put(self, Item item) except -1:
        if self.deleted:
            return 1
        if self._limited and self._refuses and self._is_full(item):
            # What came with it may find takers, and leave room.
            if self._fresh_count and self._takers.count:
                self.write()
                self.hand_out()
            if self._is_full(item):
                return 0
        self._add_fresh(item)
        self.round.news = True
        self.note()
        return 1

    cdef bint _is_full(self, Item item) noexcept:
        return (self._waiting.count + self._fresh_count >= self._most
                or self._waiting.bytes + self._fresh_bytes + PyBytes_GET_SIZE(item.value)
                > self._most_bytes)

    cdef int _level_of(self, Item item) noexcept:
        return min(max(item.priority, 0), self._waiting.highest)

    cdef int _add_fresh(self, Item item) except -1:
        cdef Py_ssize_t room
        cdef Place* fresh
        cdef Place* place
        if self._fresh_count == self._fresh_room:
            room = max(2 * self._fresh_room, <Py_ssize_t>16)
            fresh = <Place*>realloc(self._fresh, room * sizeof(Place))
            if fresh == NULL:
                raise MemoryError
            self._fresh, self._fresh_room = fresh, room
        place = &self._fresh[self._fresh_count]
        self._fresh_count += 1
        place.order = self._next_order
        self._next_order += 1
        place.offset = -1
        place.deliveries = 0
        place.size = <int>PyBytes_GET_SIZE(item.value)
        place.item = <PyObject*>item
        Py_INCREF(item)
        hold(self.round.held, item)
        self._fresh_bytes += place.size
        return 0

    cdef int write(self) except -1:
        """Store what was noted; what was put waits with the others from now on."""
        cdef Py_ssize_t index
        cdef int64_t ttl_ms
        cdef Place* place
        cdef Item item
        self.round.now_ms = self.round.timers.wall_ms
        for index in range(self._fresh_count):
            place = &self._fresh[index]
            item = <Item>place.item
            ttl_ms = item.ttl_ms
            if self._ttl_ms >= 0 and (ttl_ms < 0 or self._ttl_ms < ttl_ms):
                ttl_ms = self._ttl_ms
            place.expires_ms = -1 if ttl_ms < 0 else self.round.now_ms + ttl_ms
        for index in range(self._fresh_count):
            place = &self._fresh[index]
            self._waiting.push(self._level_of(<Item>place.item), place)
        self._fresh_count = 0
        self._fresh_bytes = 0
        return 0

    # Handing out.

    cdef int hand_out(self) except -1:
        """Deliver what takers have room for; then what has expired goes, and what is too much."""
        cdef Place* head
        cdef Place place
        cdef Taker taker
        while True:
            head = self._waiting.head()
            if head == NULL:
                break
            # On the very millisecond it is not late, so that one that may not wait finds a taker.
            if 0 <= head.expires_ms < self.round.now_ms:
                self._bury_head("expired")
                continue
            taker = <Taker>self._takers.next()
            if taker is None:
                break
            self._waiting.pop(&place)
            taker.deliver(self._entry(&place, self._waiting.top))
        self._expire()
        if self._limited and not self._refuses:
            while self._waiting.count > self._most or self._waiting.bytes > self._most_bytes:
                self._bury_head("maxlen")
        return self._arm()

    cpdef Entry get(self):
        cdef Place place
        if self._fresh_count:
            self.round.flush()
        self.round.now_ms = self.round.timers.wall_ms
        self._expire()
        if not self._waiting.pop(&place):
            return None
        entry = self._entry(&place, self._waiting.top)
        self._arm()
        return entry

    cdef Entry _entry(self, Place* place, int level):
        """A lease of what was taken out of the line, with its reference."""
        cdef Entry entry = Entry.__new__(Entry)
        entry.queue = self
        entry.offset = place.offset
        entry.order = place.order
        entry.expires_ms = place.expires_ms
        entry.deliveries = place.deliveries
        entry._level = level
        entry._state = LEASED
        if place.item != NULL:
            entry._item = <Item>place.item
            _decref(place.item)
        self.unsettled += 1
        return entry

    cdef int _expire(self) except -1:
        """What waits first is dropped as soon as its time has come, and only then."""
        cdef Place* head = self._waiting.head()
        while head != NULL and 0 <= head.expires_ms <= self.round.now_ms:
            self._bury_head("expired")
            head = self._waiting.head()
        return 0

    cdef int _arm(self) except -1:
        """Look again when what waits first will have expired."""
        cdef Place* head = self._waiting.head()
        if head == NULL or head.expires_ms < 0 or self.deleted:
            return 0
        timers = self.round.timers
        seconds = max(head.expires_ms - self.round.now_ms, 1) / 1000
        if self._timer is not None:
            if self._timer.when <= timers.now + seconds:
                return 0
            self._timer.cancel()
        self._timer = timers.after(seconds, self._look)
        return 0

    def _look(self):
        self._timer = None
        self.note()
        self.round.flush()

    # Settling.

    cpdef int settle(self, Entry entry) except -1:
        if entry._state != LEASED or entry.queue is not self:
            return 0
        entry._state = GONE
        self.unsettled -= 1
        if entry._item is not None:
            release(self.round.held, entry._item)
        if self._waiting.count:
            self.note()  # its taker has room again
        return 0

    cpdef int give_back(self, Entry entry, bint counts) except -1:
        cdef Place place
        if entry._state != LEASED or entry.queue is not self:
            return 0
        if counts:
            entry.deliveries += 1
            if 0 <= self._delivery_limit < entry.deliveries and not self.deleted:
                return self._bury(entry, "delivery_limit")
        if self.deleted:
            return self.settle(entry)
        entry._state = GONE
        self.unsettled -= 1
        place.order = entry.order
        place.offset = entry.offset
        place.expires_ms = entry.expires_ms
        place.deliveries = entry.deliveries
        place.size = 0
        place.item = NULL
        if entry._item is not None:
            place.size = <int>PyBytes_GET_SIZE(entry._item.value)
            place.item = <PyObject*>entry._item
            Py_INCREF(entry._item)
        self._waiting.give_back(entry._level, &place)
        self.note()
        return 0

    cpdef int reject(self, Entry entry) except -1:
        if entry._state == LEASED and entry.queue is self:
            self._bury(entry, "rejected")
        return 0

    cdef int _bury_head(self, str reason) except -1:
        cdef Place place
        self._waiting.pop(&place)
        if self.on_dead is None:
            return self._forget(&place)
        return self._bury(self._entry(&place, self._waiting.top), reason)

    cdef int _bury(self, Entry entry, str reason) except -1:
        """Hand the dead letter to whom it concerns; only then is it gone from here."""
        if self.on_dead is not None and not self.deleted:
            try:
                self.on_dead(entry, reason)
            except Exception:
                logger.exception("a dead letter of queue %s is lost", self.name)
        return self.settle(entry)

    cdef int _forget(self, Place* place) except -1:
        """Done with what was taken out of the line."""
        if place.item != NULL:
            release(self.round.held, <Item>place.item)
            _decref(place.item)
        return 0

    # Takers.

    def join(self, Taker taker not None, int priority=0):
        self._takers.add(taker, priority)
        self.wake()

    def leave(self, Taker taker not None):
        if not self._takers.remove(taker):
            return
        self.wake()
        if not self._takers.count and self.on_consumers_gone is not None:
            self.on_consumers_gone()

    cpdef int wake(self) except -1:
        if self._waiting.count:
            self.note()
        return 0

    # The end.

    def purge(self):
        cdef Place place
        cdef Py_ssize_t index, count = self.ready
        for index in range(self._fresh_count):
            self._forget(&self._fresh[index])
        self._fresh_count = 0
        self._fresh_bytes = 0
        while self._waiting.pop(&place):
            self._forget(&place)
        return count

    def when_durable(self, done not None):
        done(None)

    def close(self):
        self.deleted = True
        self.purge()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for taker in self.takers:
            self._takers.remove(taker)
        self.on_dead = self.on_consumers_gone = None
