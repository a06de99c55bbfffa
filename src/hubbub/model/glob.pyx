# cython: language_level=3, boundscheck=False, wraparound=False
"""Redis's glob: ``*``, ``?``, ``[a-z]``, ``[^a]`` and ``\\x``.

One point to return to (the last star) makes it quadratic at worst, never exponential or recursive
(CVE-2022-36021, CVE-2024-31228).
"""


cdef Py_ssize_t match_class(const unsigned char* pattern, Py_ssize_t size, Py_ssize_t at,
                            unsigned char byte, bint* matched) noexcept nogil:
    """The index after the class that opens before ``at``; an unclosed one ends with the pattern."""
    cdef bint negated = at < size and pattern[at] == c"^"
    cdef bint found = False
    cdef unsigned char low, high
    if negated:
        at += 1
    while at < size and pattern[at] != c"]":
        if pattern[at] == c"\\" and at + 1 < size:
            at += 1
            if pattern[at] == byte:
                found = True
        elif at + 2 < size and pattern[at + 1] == c"-":
            low, high = pattern[at], pattern[at + 2]
            if low > high:
                low, high = high, low
            if low <= byte <= high:
                found = True
            at += 2
        elif pattern[at] == byte:
            found = True
        at += 1
    matched[0] = found != negated
    return at + 1 if at < size else size


cdef bint match(const unsigned char* pattern, Py_ssize_t size,
                const unsigned char* name, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t position = 0, index = 0, after, star = -1, retry = 0
    cdef bint matched
    while index < length:
        matched = False
        after = position + 1
        if position < size:
            if pattern[position] == c"*":
                star, retry = position, index
                position += 1
                continue
            if pattern[position] == c"?":
                matched = True
            elif pattern[position] == c"[":
                after = match_class(pattern, size, position + 1, name[index], &matched)
            else:
                if pattern[position] == c"\\" and position + 1 < size:
                    position += 1
                    after = position + 1
                matched = pattern[position] == name[index]
        if matched:
            position = after
            index += 1
        elif star >= 0:
            retry += 1
            position, index = star + 1, retry
        else:
            return False
    while position < size and pattern[position] == c"*":
        position += 1
    return position == size


def matches(bytes pattern not None, bytes name not None):
    """Whether ``name`` matches the Redis glob ``pattern``."""
    cdef const unsigned char* pattern_bytes = pattern
    cdef const unsigned char* name_bytes = name
    cdef Py_ssize_t size = len(pattern), length = len(name)
    cdef bint result
    with nogil:
        result = match(pattern_bytes, size, name_bytes, length)
    return bool(result)
