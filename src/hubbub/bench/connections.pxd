# cython: language_level=3
"""What a load keeps of its connections, and of the groups that they belong to."""

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

# How a protocol's receipts look; see `answers.Receipt`.
cdef struct ReceiptForm:
    char[16] before
    char[16] after
    Py_ssize_t before_size
    Py_ssize_t after_size
    Py_ssize_t identifier_size
    Py_ssize_t size  # of a receipt; 0: a protocol of lines
    bint cumulative

cdef struct Group:
    int* publishers
    int* subscribers
    int publisher_count
    int subscriber_count
    int turn
    bint touched
    int64_t granted
    int64_t completed  # messages that every subscriber has, or that were acknowledged


cdef inline uint32_t load32(const char* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, sizeof(value))
    return value


cdef inline int64_t load_big(const char* at, Py_ssize_t size) noexcept nogil:
    """A number of ``size`` bytes in network byte order."""
    cdef int64_t value = 0
    cdef Py_ssize_t number
    for number in range(size):
        value = value << 8 | <unsigned char>at[number]
    return value


cdef inline int append(int** list, int* count, int number) except -1:
    cdef int* grown = <int*>realloc(list[0], (count[0] + 1) * sizeof(int))
    if grown == NULL:
        raise MemoryError
    list[0] = grown
    grown[count[0]] = number
    count[0] += 1
    return 0
