"""Bytes, numbers and line ends as text protocols write them, one behind the other."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy


cdef inline Py_ssize_t number_size(Py_ssize_t number) noexcept nogil:
    """How many digits a number that is not negative has."""
    cdef Py_ssize_t size = 1
    while number >= 10:
        number //= 10
        size += 1
    return size


cdef inline uint8_t* put_number(uint8_t* at, Py_ssize_t number) noexcept nogil:
    """Write a number that is not negative, in decimal; where the next byte goes."""
    cdef uint8_t digits[20]
    cdef int count = 0
    while True:
        digits[count] = <uint8_t>(c"0" + number % 10)
        number //= 10
        count += 1
        if number == 0:
            break
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at


cdef inline uint8_t* put(uint8_t* at, const uint8_t* start, Py_ssize_t size) noexcept nogil:
    """Write these bytes; where the next one goes."""
    if size:
        memcpy(at, start, size)
    return at + size


cdef inline uint8_t* put_bytes(uint8_t* at, bytes what) noexcept:
    return put(at, <const uint8_t*>PyBytes_AS_STRING(what), PyBytes_GET_SIZE(what))


cdef inline uint8_t* put_line_end(uint8_t* at) noexcept nogil:
    at[0], at[1] = c"\r", c"\n"
    return at + 2
