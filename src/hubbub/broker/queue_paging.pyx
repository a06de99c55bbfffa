# cython: language_level=3, boundscheck=False, wraparound=False
"""Messages that wait far behind are in the log only, and read again when their turn is near."""

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

from hubbub.broker.queue_records cimport Records
from hubbub.broker.waiting_line cimport Level, Place, ring_at
from hubbub.broker.work_item cimport Item, hold, release, weight

cdef extern from "Python.h":
    void _decref "Py_DECREF" (PyObject*)


cdef int64_t page_out(WaitingLine line, QueueLog log, Held held, int64_t excess,
                      bint deep) except -1:
    """Let go of ``excess`` bytes of what comes last and can be read again; how many it were.

    What is before messages that are in the log only is near its turn, and stays unless ``deep``.
    """
    cdef int64_t freed = 0
    cdef int64_t durable = log.partition.durable_offset
    cdef Py_ssize_t index
    cdef Level* level
    cdef Place* place
    for number in range(line.highest + 1):
        level = &line.levels[<int>number]
        index = level.ring_count
        while index > 0 and freed < excess:
            index -= 1
            place = ring_at(level, index)
            if place.offset < 0 or place.offset >= durable:
                continue
            if place.item == NULL:
                if deep:
                    continue
                break
            freed += weight(<Item>place.item)
            release(held, <Item>place.item)
            _decref(place.item)
            place.item = NULL
    return freed


cdef int64_t load(WaitingLine line, QueueLog log, Held held) except -1:
    """Read what is next in the line, and what follows it nearby; how many bytes it were.

    It is 0 where the log has lost what is next. Raises StorageError.
    """
    cdef Place* head = line.head()
    cdef Records records = log.around(head.offset)
    cdef Level* level = &line.levels[line.top]
    cdef Place* place
    cdef int64_t loaded, more
    cdef Py_ssize_t index
    loaded = 0 if records is None else fill(head, records, held)
    if not loaded:
        return 0
    for index in range(level.ring_count):
        place = ring_at(level, index)
        if place == head:
            continue
        # Behind what is in memory it is looked at again, and what was read is still there then.
        more = fill(place, records, held) if place.item == NULL else 0
        if not more:
            break
        loaded += more
    return loaded


cdef int64_t fill(Place* place, Records records, Held held) except -1:
    """Give the place its item if it is among the records; its weight."""
    cdef Py_ssize_t index = records.find(place.offset)
    cdef Item item
    if index < 0:
        return 0
    item = records.item(index)
    Py_INCREF(item)
    place.item = <PyObject*>item
    hold(held, item)
    return weight(item)
