"""Numbers as text protocols write them."""

from libc.stdint cimport uint8_t


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
