# cython: language_level=3
"""What a load keeps of its connections, of the groups that they belong to, and of moments."""

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

cdef struct Connection:
    int fd
    int group
    int place  # of a publisher in its group; -1: a subscriber
    bint blocked
    bint pong_due
    char* ring
    int64_t granted  # bytes it may send
    int64_t sent  # bytes
    int64_t replies
    int64_t received
    uint32_t* expected  # by publisher, the number of the next frame
    char* carry  # the start of what has not come whole
    Py_ssize_t carried
    char* receipts  # of a subscriber that sends some: those that have not left
    Py_ssize_t receipts_size
    int64_t unconfirmed  # deliveries since its last receipt

cdef struct Group:
    int* publishers
    int* subscribers
    int publisher_count
    int subscriber_count
    int turn
    bint touched
    int64_t granted
    int64_t completed  # messages that every subscriber has, or that were acknowledged

cdef struct Moment:
    int64_t at
    int64_t processor
    int64_t completed
    int64_t received
    int64_t replies


cdef inline uint32_t load32(const char* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, sizeof(value))
    return value


cdef inline int append(int** list, int* count, int number) except -1:
    cdef int* grown = <int*>realloc(list[0], (count[0] + 1) * sizeof(int))
    if grown == NULL:
        raise MemoryError
    list[0] = grown
    grown[count[0]] = number
    count[0] += 1
    return 0
