# cython: language_level=3
"""The C allocator's habits.

A turn renders chunks of some hundred kilobytes and frees them when they are sent. By default glibc
gives such memory back to the system, and the next turn pays a page fault for each 4 KiB of it:
a fifth of the time of four busy pairs.
"""

cdef extern from *:
    """
    #include <stdlib.h>
    #ifdef __GLIBC__
    #include <malloc.h>
    static void keep_memory(int most) {
        mallopt(M_MMAP_THRESHOLD, most);
        mallopt(M_TRIM_THRESHOLD, most);
    }
    #else
    static void keep_memory(int most) { (void)most; }
    #endif
    """
    void keep_memory(int most) nogil

cdef enum:
    # What stays at hand: a turn's deliveries to a hundred subscribers that need bytes of their own.
    KEPT_BYTES = 32 * 1024 * 1024


def keep_freed_memory():
    keep_memory(KEPT_BYTES)
