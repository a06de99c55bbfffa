from libc.stdint cimport int64_t

from hubbub.broker.leases cimport Entry, Leases, Lender
from hubbub.broker.queue_log cimport QueueLog
from hubbub.broker.takers cimport Taker, Takers
from hubbub.broker.waiting_line cimport Place, WaitingLine
from hubbub.broker.work_item cimport Item
from hubbub.broker.work_round cimport Round


cdef class WorkQueue(Lender):
    cdef readonly str name
    cdef readonly object settings
    cdef readonly bytes attributes
    cdef readonly bint deleted
    cdef public object on_dead
    cdef public object on_consumers_gone
    cdef public int64_t held_most
    cdef object _on_grown       # called when much was appended to the log
    cdef int64_t _ttl_ms        # -1: none
    cdef int64_t _most          # messages that may wait
    cdef int64_t _most_bytes
    cdef bint _limited
    cdef bint _refuses
    cdef int _delivery_limit    # -1: none
    cdef int64_t _next_order
    cdef int64_t _delivered_before  # nothing from this order on was ever delivered
    cdef WaitingLine _waiting
    cdef int64_t _waiting_held  # bytes in memory of what is stored and waits
    cdef int64_t _page_at       # how many of them are too many
    cdef Takers _takers
    cdef Place* _fresh          # put since the last flush
    cdef Py_ssize_t _fresh_count
    cdef Py_ssize_t _fresh_room
    cdef int64_t _fresh_bytes
    cdef object _timer          # for what waits first and will expire
    cdef object _retry          # for what the disk refused
    cdef list _passed           # entries that nobody has room for who may have them
    cdef list _withheld         # entries that nobody may have
    cdef object _reconsider     # for these

    cpdef int put(self, Item item) except -1
    cpdef int wake(self) except -1
    cpdef Entry get(self)
    cdef int _deliver(self, Taker taker, Entry entry) except -1
    cdef int _hand_out_early(self) except -1
    cdef bint _is_full(self, Item item) noexcept
    cdef int _level_of(self, Item item) noexcept
    cdef int _add_fresh(self, Item item) except -1
    cdef int _store(self) except -1
    cdef Taker _next_taker(self)
    cdef int _put_back(self, Entry entry) except -1
    cdef bint _pass_over(self) except -1
    cdef int _offer_passed(self) except -1
    cdef int _offer_withheld(self) except -1
    cdef bint _load_head(self) except -1
    cdef int _taken(self, Place* place) noexcept
    cdef Entry _lease(self, Place* place)
    cdef int _let_go(self) except -1
    cdef int _bury(self, Entry entry, str reason) except -1
    cdef bint _bury_head(self, str reason) except -1
    cdef int _expire(self) except -1
    cdef bint _expire_head(self, Place* head) except -1
    cdef bint _is_late(self) noexcept
    cdef int _arm(self) except -1
    cdef int _try_again(self) except -1
    cdef int _forget(self, Place* place) except -1
