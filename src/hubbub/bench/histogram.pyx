# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""Durations, counted in cells that are 0.8 % wide: exact below 256 ns, and up to 17 s."""


cdef inline int cell_of(int64_t value) noexcept nogil:
    cdef int shift = 0
    cdef int64_t most = (<int64_t>1 << (HIGHEST_BIT + 1)) - 1
    if value > most:
        value = most
    while value >> shift >= 2 * STEPS:
        shift += 1
    return shift * STEPS + <int>(value >> shift)


cdef inline int64_t top_of(int cell) noexcept nogil:
    """The largest value that falls into a cell."""
    cdef int shift = cell // STEPS - 1
    if shift <= 0:
        return cell
    return ((<int64_t>(cell - shift * STEPS) + 1) << shift) - 1


cdef class Histogram:
    """How often each duration came up, in nanoseconds."""

    cdef void add(self, int64_t value) noexcept nogil:
        if value < 0:
            value = 0
        self.cells[cell_of(value)] += 1
        self.count += 1
        if value > self.highest:
            self.highest = value

    @property
    def max(self):
        return self.highest

    def record(self, int64_t nanoseconds):
        self.add(nanoseconds)

    def percentile(self, double percent):
        cdef uint64_t seen = 0
        cdef double wanted = self.count * percent / 100
        cdef int cell
        if not self.count:
            raise ValueError("nothing was recorded")
        for cell in range(CELLS):
            seen += self.cells[cell]
            if seen and seen >= wanted:
                return min(top_of(cell), self.highest)
        return self.highest
