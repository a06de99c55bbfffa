# cython: language_level=3, boundscheck=False, wraparound=False
"""Messages at the front of a log, stored anew at its end: what lay between can be given back."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdlib cimport free, realloc

from hubbub.broker.queue_records cimport add_settled
from hubbub.broker.waiting_line cimport Level, ring_at
from hubbub.broker.work_item cimport Item, hold, weight

from hubbub.log.builder import BatchBuilder as NewBatch

cdef enum:
    # A batch of them, and so what is rewritten in one turn.
    STEP_BYTES = 1024 * 1024


cdef class Rewriting:
    """One batch of messages at offsets before ``limit``; it settles them where they were."""

    def __init__(self, QueueLog log not None, Held held not None, int64_t limit, int64_t now_ms):
        self._log = log
        self._held = held
        self._limit = limit
        self._now_ms = now_ms
        self._writer = RecordWriter()
        self._batch = NewBatch(now_ms)

    def __dealloc__(self):
        free(self._where)
        free(self._before)

    cdef int add(self, Place* place, int level, int64_t* where) except -1:
        """Take it into the batch, if it is one of those and there is room.

        ``where`` says its offset, until ``finish`` at least. The place has its item then: what was
        just appended cannot be read before it is durable. Raises StorageError.
        """
        cdef Item item
        if not 0 <= place.offset < self._limit or self._batch.size >= STEP_BYTES:
            return 0
        if place.item == NULL:
            item = self._log.read(place.offset)
            if item is None:
                return 0  # which is seen when its turn comes
            Py_INCREF(item)
            place.item = <PyObject*>item
            hold(self._held, item)
            self.loaded += weight(item)
        item = <Item>place.item
        self._writer.add_message(self._batch, place, level, item)
        if self.count == self._room:
            self._grow()
        self._where[self.count] = where
        self._before[self.count] = place.offset
        self.count += 1
        return 0

    cdef int add_line(self, WaitingLine line) except -1:
        """Take all that wait."""
        cdef Level* level
        cdef Py_ssize_t index
        cdef Place* place
        cdef int number
        for number in range(line.highest + 1):
            level = &line.levels[number]
            for index in range(level.heap_count):
                place = &level.heap[index]
                self.add(place, number, &place.offset)
            for index in range(level.ring_count):
                place = ring_at(level, index)
                self.add(place, number, &place.offset)
        return 0

    cdef int finish(self) except -1:
        """Append the batch. Raises StorageError, and then all are where they were."""
        cdef Py_ssize_t index
        cdef int64_t offset
        add_settled(self._batch, self._now_ms, self._before, self.count)
        appended = self._log.partition.append(self._batch.finish(), self._now_ms, own=True)
        offset = appended.base_offset
        for index in range(self.count):
            self._log.live.remove(self._where[index][0])
            self._where[index][0] = offset
            self._log.live.add(offset)
            offset += 1
        self._log.end = self._log.moved_end = appended.next_offset
        self._log.moved_bytes += self._batch.size
        self._log.moved_count += self.count
        return 0

    cdef int _grow(self) except -1:
        cdef Py_ssize_t room = max(2 * self._room, <Py_ssize_t>64)
        cdef void* grown = realloc(self._where, room * sizeof(int64_t*))
        if grown == NULL:
            raise MemoryError
        self._where = <int64_t**>grown
        grown = realloc(self._before, room * sizeof(int64_t))
        if grown == NULL:
            raise MemoryError
        self._before = <int64_t*>grown
        self._room = room
        return 0
