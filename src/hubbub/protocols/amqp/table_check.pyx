# cython: language_level=3, boundscheck=False, wraparound=False
"""Whether a field table is one (AMQP 0-9-1 section 4.2.5.5); nothing is made of it.

The rules are those of ``tables.decode_table``, which says what is wrong.
"""

from libc.stdint cimport uint32_t

from hubbub.protocols.amqp.wire cimport get_long

cdef enum:
    DEEPEST = 32        # tables.MAX_DEPTH
    SIZED = -1          # a value behind its size in four bytes
    NONE = -2           # no such type


def checked(bytes encoded not None):
    cdef const uint8_t* at = encoded
    return bool(is_table(at, at + len(encoded)))


cdef bint is_table(const uint8_t* at, const uint8_t* end) noexcept nogil:
    """Whether the entries between the two are whole, of types that there are, and not too deep."""
    cdef const uint8_t* ends[DEEPEST + 1]   # of the tables and arrays that we are in
    cdef bint named[DEEPEST + 1]            # tables, whose values have names
    cdef int depth = 0
    cdef Py_ssize_t size
    cdef uint8_t letter
    ends[0], named[0] = end, True
    while True:
        while at == ends[depth]:
            if depth == 0:
                return True
            depth -= 1
        if named[depth]:
            if 1 + at[0] >= ends[depth] - at:
                return False
            at += 1 + at[0]
        letter = at[0]
        at += 1
        size = size_of(letter)
        if size == SIZED:
            if ends[depth] - at < 4 or <Py_ssize_t>get_long(at) > ends[depth] - at - 4:
                return False
            size = <Py_ssize_t>get_long(at)
            at += 4
            if letter == c"F" or letter == c"A":
                if depth == DEEPEST:
                    return False
                depth += 1
                ends[depth], named[depth] = at + size, letter == c"F"
                continue
        if size == NONE or size > ends[depth] - at or not is_number(letter, at):
            return False
        at += size


cdef inline Py_ssize_t size_of(uint8_t letter) noexcept nogil:
    """How long a value of this type is."""
    if letter == c"S" or letter == c"F" or letter == c"A" or letter == c"x":
        return SIZED
    if letter == c"l" or letter == c"L" or letter == c"T" or letter == c"d":
        return 8
    if letter == c"I" or letter == c"i" or letter == c"f":
        return 4
    if letter == c"t" or letter == c"b" or letter == c"B":
        return 1
    if letter == c"s" or letter == c"u":
        return 2
    if letter == c"V":
        return 0
    return 5 if letter == c"D" else NONE


cdef inline bint is_number(uint8_t letter, const uint8_t* at) noexcept nogil:
    """False for a float that is infinite or not a number, all bits of whose exponent are set."""
    cdef uint32_t bits
    if letter != c"d" and letter != c"f":
        return True
    bits = get_long(at)
    if letter == c"f":
        return bits & 0x7F800000 != 0x7F800000
    return bits & 0x7FF00000 != 0x7FF00000
