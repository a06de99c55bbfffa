from libc.stdint cimport int64_t, uint64_t

cdef enum:
    # 128 steps per doubling: no value is off by more than 0.8 %.
    STEP_BITS = 7
    STEPS = 1 << STEP_BITS
    # Up to 2 ** 34 nanoseconds, 17 seconds; what takes longer counts as that.
    HIGHEST_BIT = 33
    CELLS = (HIGHEST_BIT - STEP_BITS + 2) * STEPS

cdef class Histogram:
    cdef uint64_t cells[CELLS]
    cdef readonly uint64_t count
    cdef int64_t highest
    cdef void add(self, int64_t value) noexcept nogil
