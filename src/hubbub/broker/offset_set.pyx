# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Offsets that are still needed, a bit each from the lowest one on."""

from libc.stdlib cimport free, realloc
from libc.string cimport memmove, memset

cdef enum:
    BITS = 64
    LEAST_WORDS = 16


cdef extern from *:
    """
    static inline int lowest_bit(uint64_t word) { return __builtin_ctzll(word); }
    """
    int lowest_bit(uint64_t word) noexcept nogil


cdef class OffsetSet:

    def __dealloc__(self):
        free(self._words)

    cpdef int add(self, int64_t offset) except -1:
        cdef Py_ssize_t word
        if self.count == 0:
            self._begin = self._end = 0
            self._base = offset - offset % BITS
        if offset < self._base + self._begin * BITS:
            raise ValueError("offsets are added in their order")
        word = (offset - self._base) // BITS
        if word >= self._end:
            if word >= self._room:
                self._grow(offset)
                word = (offset - self._base) // BITS
            memset(&self._words[self._end], 0, (word + 1 - self._end) * sizeof(uint64_t))
            self._end = word + 1
        if not self._words[word] >> (offset % BITS) & 1:
            self._words[word] |= <uint64_t>1 << (offset % BITS)
            self.count += 1
        return 0

    cpdef bint remove(self, int64_t offset) noexcept:
        cdef Py_ssize_t word = (offset - self._base) // BITS
        cdef uint64_t bit = <uint64_t>1 << (offset % BITS)
        if offset < self._base or word < self._begin or word >= self._end:
            return False
        if not self._words[word] & bit:
            return False
        self._words[word] &= ~bit
        self.count -= 1
        return True

    cpdef int remove_range(self, int64_t first, int64_t count) except -1:
        cdef int64_t offset
        # As far as there are any: a length may be that of many that went before.
        cdef int64_t after = min(first + count, self._base + self._end * BITS)
        for offset in range(max(first, self._base + self._begin * BITS), after):
            self.remove(offset)
        return 0

    cpdef bint has(self, int64_t offset) noexcept:
        cdef Py_ssize_t word = (offset - self._base) // BITS
        if offset < self._base or word < self._begin or word >= self._end:
            return False
        return self._words[word] >> (offset % BITS) & 1

    cpdef int64_t first(self) noexcept:
        if self.count == 0:
            return -1
        while self._words[self._begin] == 0:
            self._begin += 1
        return self._base + self._begin * BITS + lowest_bit(self._words[self._begin])

    cdef int _grow(self, int64_t offset) except -1:
        """Have room for it, with the first that is needed in the first word of all."""
        cdef uint64_t* fresh
        cdef Py_ssize_t room, words
        self.first()
        if self._end > self._begin:
            memmove(self._words, self._words + self._begin,
                    (self._end - self._begin) * sizeof(uint64_t))
        self._base += self._begin * BITS
        self._end -= self._begin
        self._begin = 0
        words = (offset - self._base) // BITS + 1
        if words > self._room // 2:
            room = max(2 * words, <Py_ssize_t>LEAST_WORDS)
            fresh = <uint64_t*>realloc(self._words, room * sizeof(uint64_t))
            if fresh == NULL:
                raise MemoryError
            self._words, self._room = fresh, room
        return 0
