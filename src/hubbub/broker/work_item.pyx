# cython: language_level=3, boundscheck=False, wraparound=False
"""A message that waits in work queues: made once, shared by all of them, counted once."""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

cdef enum:
    # What an item costs beside its bytes: three objects' heads, and its place in a queue.
    OVERHEAD_BYTES = 192


cdef class Held:
    """How many bytes of messages are in memory, however many queues they wait in."""


@cython.freelist(1024)
cdef class Item:

    def __init__(self, bytes value not None, bytes mark not None=b"", int64_t timestamp_ms=0,
                 int64_t ttl_ms=-1, int priority=0, bint persistent=False):
        self.value = value
        self.mark = mark
        self.timestamp_ms = timestamp_ms
        self.ttl_ms = ttl_ms
        self.priority = priority
        self.persistent = persistent


cdef Item new_item(bytes value, bytes mark, int64_t timestamp_ms, int64_t ttl_ms, int priority,
                   bint persistent):
    """As the constructor, without its detour."""
    cdef Item item = Item.__new__(Item)
    item.value = value
    item.mark = mark
    item.timestamp_ms = timestamp_ms
    item.ttl_ms = ttl_ms
    item.priority = priority
    item.persistent = persistent
    return item


cdef Py_ssize_t weight(Item item) noexcept:
    """What it costs to keep it in memory."""
    return PyBytes_GET_SIZE(item.value) + PyBytes_GET_SIZE(item.mark) + OVERHEAD_BYTES


cdef void hold(Held held, Item item) noexcept:
    """One more place refers to the item."""
    if item._holders == 0:
        held.bytes += weight(item)
    item._holders += 1


cdef void release(Held held, Item item) noexcept:
    """A place that referred to it does no more."""
    item._holders -= 1
    if item._holders == 0:
        held.bytes -= weight(item)
