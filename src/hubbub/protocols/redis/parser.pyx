# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""RESP requests, cut anywhere: multibulk (``*1\\r\\n$4\\r\\nPING\\r\\n``) and inline (``PING\\n``).

A length field only says what to wait for, never what to allocate: an argument becomes an object
once its bytes are here. What a feed yields depends on the bytes and never on where they were cut.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr

# Redis's PROTO_INLINE_MAX_SIZE: of an inline request, and of a line that carries a length.
MAX_LINE_BYTES = 64 * 1024
# What Redis allowed until 7.0; later ones let a million-argument request hold gigabytes.
MAX_ARGUMENTS = 1024 * 1024
# Before authentication (CVE-2021-32675): enough for HELLO with AUTH and SETNAME.
MAX_UNTRUSTED_ARGUMENTS = 10
MAX_UNTRUSTED_BULK_BYTES = 16 * 1024
# proto-max-bulk-len: a message larger than a subscriber's outbox could never be delivered.
MAX_BULK_BYTES = 32 * 1024 * 1024
# client-query-buffer-limit: one request, all arguments and their length lines together.
MAX_REQUEST_BYTES = 64 * 1024 * 1024

cdef Py_ssize_t LINE_LIMIT = MAX_LINE_BYTES
cdef Py_ssize_t ARGUMENT_LIMIT = MAX_ARGUMENTS
cdef Py_ssize_t UNTRUSTED_ARGUMENT_LIMIT = MAX_UNTRUSTED_ARGUMENTS
cdef Py_ssize_t UNTRUSTED_BULK_LIMIT = MAX_UNTRUSTED_BULK_BYTES

# A length of 18 digits and a sign cannot overflow 64 bits, and no limit is near it.
cdef int MAX_LENGTH_DIGITS = 18

cdef enum:
    NOT_A_NUMBER = -2
    UNKNOWN = -1

cdef frozenset HTTP_METHODS = frozenset(
    (b"CONNECT", b"DELETE", b"GET", b"HEAD", b"OPTIONS", b"PATCH", b"POST", b"PUT", b"TRACE")
)


cdef Py_ssize_t parse_length(const unsigned char* digits, Py_ssize_t size) noexcept nogil:
    """The number as Redis reads it (no plus, no leading zero); any negative one is ``UNKNOWN``."""
    cdef Py_ssize_t at = 0, value = 0
    cdef bint negative = size > 1 and digits[0] == c"-"
    if negative:
        at = 1
    if at == size or size > MAX_LENGTH_DIGITS:
        return NOT_A_NUMBER
    if digits[at] == c"0":
        return 0 if size == 1 else NOT_A_NUMBER
    while at < size:
        if not c"0" <= digits[at] <= c"9":
            return NOT_A_NUMBER
        value = value * 10 + (digits[at] - c"0")
        at += 1
    return UNKNOWN if negative else value


cdef inline bint is_space(unsigned char byte) noexcept nogil:
    return byte == c" " or 9 <= byte <= 13


cdef int hex_digit(unsigned char byte) noexcept nogil:
    if c"0" <= byte <= c"9":
        return byte - c"0"
    if c"a" <= (byte | 0x20) <= c"f":
        return (byte | 0x20) - c"a" + 10
    return -1


cdef unsigned char unescape(unsigned char byte) noexcept nogil:
    if byte == c"n":
        return c"\n"
    if byte == c"r":
        return c"\r"
    if byte == c"t":
        return c"\t"
    if byte == c"b":
        return 8
    if byte == c"a":
        return 7
    return byte


cdef Py_ssize_t read_double_quoted(const unsigned char* line, Py_ssize_t size, Py_ssize_t at,
                                   bytearray word):
    """The index after the closing quote, or ``UNKNOWN``; escapes are ``\\xHH`` and C's."""
    while at < size:
        if line[at] == c'"':
            return at + 1
        if line[at] != c"\\" or at + 1 >= size:
            word.append(line[at])
            at += 1
        elif (line[at + 1] == c"x" and at + 3 < size
              and hex_digit(line[at + 2]) >= 0 and hex_digit(line[at + 3]) >= 0):
            word.append(hex_digit(line[at + 2]) * 16 + hex_digit(line[at + 3]))
            at += 4
        else:
            word.append(unescape(line[at + 1]))
            at += 2
    return UNKNOWN


cdef Py_ssize_t read_single_quoted(const unsigned char* line, Py_ssize_t size, Py_ssize_t at,
                                   bytearray word):
    """The index after the closing quote, or ``UNKNOWN``: ``'`` knows only ``\\'``."""
    while at < size:
        if line[at] == c"'":
            return at + 1
        if line[at] == c"\\" and at + 1 < size and line[at + 1] == c"'":
            at += 1
        word.append(line[at])
        at += 1
    return UNKNOWN


cdef list split_words(const unsigned char* line, Py_ssize_t size):
    """The words of an inline request, or None where quotes are unbalanced."""
    cdef list words = []
    cdef bytearray word
    cdef Py_ssize_t at = 0
    while True:
        while at < size and is_space(line[at]):
            at += 1
        if at == size:
            return words
        word = bytearray()
        while at < size and not is_space(line[at]):
            if line[at] == c'"' or line[at] == c"'":
                if line[at] == c'"':
                    at = read_double_quoted(line, size, at + 1, word)
                else:
                    at = read_single_quoted(line, size, at + 1, word)
                # A closing quote ends its word: "a"b has unbalanced quotes.
                if at == UNKNOWN or (at < size and not is_space(line[at])):
                    return None
                break
            word.append(line[at])
            at += 1
        words.append(bytes(word))


cdef class RequestParser:
    """Finds whole requests where they were received.

    After ``failure`` is set nothing more comes out: it is the protocol error to answer before the
    connection is closed, empty where the close has to be silent.
    """

    def __init__(self):
        self.trusted = True
        self.max_bulk_bytes = MAX_BULK_BYTES
        self.max_request_bytes = MAX_REQUEST_BYTES
        self.failure = None
        self._at = 0
        self._arguments = []
        self._missing = 0
        self._bulk = UNKNOWN
        self._size = 0

    def requests(self, bytes data not None, Py_ssize_t limit=0):
        cdef list requests = []
        used = self.scan(<const unsigned char*>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data),
                         requests, limit)
        return requests, used

    cdef Py_ssize_t scan(self, const unsigned char* start, Py_ssize_t size, list requests,
                         Py_ssize_t limit) except -1:
        """Add whole requests from ``start`` on, at most ``limit`` unless that is 0; the bytes used.

        What follows them begins with the byte behind, and has to come again with more of it.
        """
        self._at = 0
        if self.failure is not None:
            return 0
        while self._at < size and (limit == 0 or len(requests) < limit):
            if self._missing == 0 and start[self._at] != c"*":
                if not self._inline(start, size, requests):
                    break
            elif not self._multibulk(start, size, requests):
                break
        if self.failure is not None:
            self._arguments = []
        return self._at

    cdef bint is_inside(self) noexcept:
        """Whether the next byte belongs to a request that has begun."""
        return self._missing != 0

    cdef bint _fail(self, str text) except -1:
        self.failure = text
        return False

    cdef bint _inline(self, const unsigned char* start, Py_ssize_t size, list requests) except -1:
        cdef const unsigned char* line = start + self._at
        cdef Py_ssize_t available = size - self._at, length
        cdef const unsigned char* end = <const unsigned char*>memchr(
            line, c"\n", min(available, LINE_LIMIT + 1))
        if end == NULL:
            if available > LINE_LIMIT:
                return self._fail("too big inline request")
            return False
        length = end - line
        self._at += length + 1
        if length and line[length - 1] == c"\r":
            length -= 1
        words = split_words(line, length)
        if words is None:
            return self._fail("unbalanced quotes in request")
        if words:
            # A browser made to talk to this port begins with "POST /path HTTP/1.1".
            if words[len(words) - 1].startswith(b"HTTP/") and words[0].upper() in HTTP_METHODS:
                return self._fail("")
            requests.append(words)
        return True

    cdef bint _multibulk(self, const unsigned char* start, Py_ssize_t size,
                         list requests) except -1:
        if self._missing == 0 and not self._count(start, size):
            return False
        while self._missing:
            if self._bulk == UNKNOWN and not self._bulk_length(start, size):
                return False
            if size - self._at < self._bulk + 2:
                return False
            self._arguments.append(
                PyBytes_FromStringAndSize(<const char*>start + self._at, self._bulk))
            # Like Redis, skip the two bytes of the line end without reading them.
            self._at += self._bulk + 2
            self._bulk = UNKNOWN
            self._missing -= 1
        if self._arguments:
            requests.append(self._arguments)
            self._arguments = []
        return True

    cdef Py_ssize_t _line(self, const unsigned char* start, Py_ssize_t size, str too_big) except -2:
        """The length of the line that carries a length, ``UNKNOWN`` if there is none yet."""
        cdef Py_ssize_t available = size - self._at
        cdef const unsigned char* line = start + self._at
        cdef const unsigned char* end = <const unsigned char*>memchr(
            line, c"\r", min(available, LINE_LIMIT + 1))
        if end == NULL:
            if available > LINE_LIMIT:
                self._fail(too_big)
            return UNKNOWN
        if end - line + 2 > available:
            return UNKNOWN
        return end - line

    cdef bint _count(self, const unsigned char* start, Py_ssize_t size) except -1:
        cdef Py_ssize_t length = self._line(start, size, "too big mbulk count string"), count
        if length == UNKNOWN:
            return False
        count = parse_length(start + self._at + 1, length - 1)
        if count == NOT_A_NUMBER or count > ARGUMENT_LIMIT:
            return self._fail("invalid multibulk length")
        if count > UNTRUSTED_ARGUMENT_LIMIT and not self.trusted:
            return self._fail("unauthenticated multibulk length")
        self._at += length + 2
        self._size = 0
        self._missing = max(count, 0)
        return True

    cdef bint _bulk_length(self, const unsigned char* start, Py_ssize_t size) except -1:
        cdef Py_ssize_t length = self._line(start, size, "too big bulk count string"), bulk
        if length == UNKNOWN:
            return False
        if start[self._at] != c"$":
            return self._fail(f"expected '$', got '{chr(start[self._at])}'")
        bulk = parse_length(start + self._at + 1, length - 1)
        if bulk < 0 or bulk > self.max_bulk_bytes:
            return self._fail("invalid bulk length")
        if bulk > UNTRUSTED_BULK_LIMIT and not self.trusted:
            return self._fail("unauthenticated bulk length")
        self._size += length + bulk + 4
        if self._size > self.max_request_bytes:
            return self._fail("")  # Redis hangs up at its query buffer limit without a word
        self._at += length + 2
        self._bulk = bulk
        return True
