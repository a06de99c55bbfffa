# cython: language_level=3, boundscheck=False, wraparound=False
"""What a work queue held, found again in its log after a start."""

from libc.stdint cimport INT64_MAX
from libc.stdlib cimport free, qsort, realloc

from hubbub.broker.queue_records cimport ATTEMPTS, CLOSED, MESSAGE, SETTLED, Records
from hubbub.broker.waiting_line cimport Place

from hubbub.log.reader import READ_BYTES
from hubbub.model.errors import CorruptLogError

cdef enum:
    # Messages that are noted although they are settled further on: so many, and as many as are not.
    SPARE = 64 * 1024


cdef struct Found:
    Place place
    int level


cdef class _Finds:
    """Messages, most of which may be settled."""

    cdef Found* finds
    cdef Py_ssize_t count
    cdef Py_ssize_t room

    def __dealloc__(self):
        free(self.finds)

    cdef Found* add(self) except NULL:
        cdef Found* grown
        cdef Py_ssize_t room
        if self.count == self.room:
            room = max(2 * self.room, <Py_ssize_t>64)
            grown = <Found*>realloc(self.finds, room * sizeof(Found))
            if grown == NULL:
                raise MemoryError
            self.finds, self.room = grown, room
        self.count += 1
        return &self.finds[self.count - 1]

    cdef int forget_settled(self, QueueLog log) except -1:
        cdef Py_ssize_t index, kept = 0
        for index in range(self.count):
            if log.live.has(self.finds[index].place.offset):
                self.finds[kept] = self.finds[index]
                kept += 1
        self.count = kept
        return 0


cdef int by_order(const void* first, const void* second) noexcept nogil:
    cdef int64_t left = (<const Found*>first).place.order
    cdef int64_t right = (<const Found*>second).place.order
    return (left > right) - (left < right)


cdef int64_t recover(QueueLog log, WaitingLine line) except -1:
    """Put into ``line`` what is not settled; the order of what is put next.

    Raises: StorageError.
    """
    cdef _Finds finds = _Finds.__new__(_Finds)
    cdef dict attempts = {}
    cdef Found* found
    cdef Py_ssize_t index
    cdef int64_t next_order = 0
    offset = log.partition.start_offset
    while offset < log.partition.durable_offset:
        try:
            data = log.partition.read(offset, READ_BYTES)
        except CorruptLogError as damage:
            offset = damage.next_good
            continue
        if not data:
            break
        offset = replay(Records(data), offset, log, finds, attempts)
        if finds.count > 2 * log.live.count + SPARE:
            finds.forget_settled(log)
    finds.forget_settled(log)
    qsort(finds.finds, finds.count, sizeof(Found), by_order)
    for index in range(finds.count):
        found = &finds.finds[index]
        found.place.deliveries = attempts.get(found.place.offset, found.place.deliveries)
        line.push(min(found.level, line.highest), &found.place)
        log.live_bytes += found.place.size
        next_order = found.place.order + 1
    log.delivered_before = min(log.delivered_before, next_order)
    return next_order


cdef int64_t replay(Records records, int64_t start, QueueLog log, _Finds finds,
                    dict attempts) except -1:
    """Do again what the records say, from ``start`` on; the offset that follows them."""
    cdef Py_ssize_t index
    cdef int64_t offset
    cdef int kind
    cdef Found* found
    for index in range(records.count):
        offset = records.at[index].offset
        kind = records.kind(index)
        if offset < start:
            continue
        log.delivered_before = records.order(index) if kind == CLOSED else INT64_MAX
        if kind == MESSAGE:
            found = finds.add()
            found.level = records.place(index, &found.place)
            log.live.add(offset)
        elif kind == SETTLED:
            for first, count in records.numbers(index):
                log.live.remove_range(first, count)
        elif kind == ATTEMPTS:
            attempts.update(records.numbers(index))
    return records.after
