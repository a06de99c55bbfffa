# cython: language_level=3, boundscheck=False, wraparound=False
"""A work queue: what is put into it goes to one taker each, and is forgotten when it is settled.

``put`` and the ways to settle only note. The flush stores what is to be stored and then delivers,
so that nobody has a message that a crash could take out of the queue.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from libc.stdlib cimport free, realloc

from hubbub.broker.queue_log cimport REFUSED
from hubbub.broker.queue_paging cimport load, page_out
from hubbub.broker.queue_recovery cimport recover
from hubbub.broker.queue_rewriting cimport Rewriting
from hubbub.broker.work_item cimport hold, release, weight

import logging

from hubbub.model.errors import HubbubError

logger = logging.getLogger(__name__)

cdef extern from "Python.h":
    void _decref "Py_DECREF" (PyObject*)

cdef int64_t NO_LIMIT = 2 ** 62

# What a queue holds in memory of stored messages that wait, and as much of what is on lease: enough
# that takers seldom wait for the disk, little enough for hundreds of queues.
HELD_MOST = 16 * 1024 * 1024

cdef enum:
    # What is appended between two looks at what of the log can be given back.
    TRIM_STEP = 32 * 1024 * 1024

# How often what the disk refused is tried again, in seconds.
RETRY_AFTER = 1.0

# How soon those who listen are asked again about what none of them may have, in seconds.
RECONSIDER_AFTER = 30.0

cdef enum:
    # How much of that is set aside: as much as shared subscriptions do.
    WITHHELD_MOST = 10_000
    # And of what those have no room for who may have it, which is looked at whenever there is room.
    PASSED_MOST = 100


@cython.final
cdef class WorkQueue(Lender):

    def __init__(self, str name not None, settings not None, Round work_round not None,
                 bytes attributes not None=b"", QueueLog log=None, on_grown=None):
        self.name = name
        self.settings = settings
        self.attributes = attributes
        self.round = work_round
        self._ttl_ms = -1 if settings.message_ttl_ms is None else settings.message_ttl_ms
        self._most = NO_LIMIT if settings.max_length is None else settings.max_length
        self._most_bytes = NO_LIMIT if settings.max_bytes is None else settings.max_bytes
        self._limited = settings.max_length is not None or settings.max_bytes is not None
        self._refuses = settings.overflow == "reject"
        limit = settings.delivery_limit
        self._delivery_limit = -1 if limit is None else limit
        self._waiting = WaitingLine(settings.priorities)
        self._takers = Takers(settings.single_active)
        self._passed = []
        self._withheld = []
        self.leases = Leases()
        self.held_most = HELD_MOST
        self.log = log
        self._on_grown = on_grown
        if log is not None:
            self._next_order = recover(log, self._waiting)
            self.recovered_before = self._delivered_before = log.delivered_before
            self.wake()

    def __dealloc__(self):
        for index in range(self._fresh_count):
            _decref(self._fresh[index].item)
        free(self._fresh)

    @property
    def ready(self):
        return self._waiting.count + self._fresh_count + self._set_aside

    @property
    def _set_aside(self):
        return len(self._passed) + len(self._withheld)

    @property
    def ready_bytes(self):
        return self._waiting.bytes + self._fresh_bytes

    @property
    def unsettled(self):
        return self.leases.count - self._set_aside

    @property
    def takers(self):
        return list(self._takers)

    @property
    def active(self):
        return self._takers.active

    # Putting.

    cpdef int put(self, Item item) except -1:
        if self.deleted:
            return 1
        if self._limited and self._refuses and self._is_full(item):
            # What came with it may find takers, and leave room.
            if self._fresh_count and self._takers.count:
                self.round.forget_told(self)
                self.write()
                self._hand_out_early()
            if self._is_full(item):
                return 0
        self._add_fresh(item)
        if self.log is not None and item.persistent and self.round.targets is not None:
            self.round.targets.append(self)
        self.round.news = True
        self.note()
        return 1

    def has_room(self, Py_ssize_t count, int64_t size):
        return not (self._limited and self._refuses) or (
            self._waiting.count + self._fresh_count + count <= self._most
            and self._waiting.bytes + self._fresh_bytes + size <= self._most_bytes)

    cdef int _hand_out_early(self) except -1:
        try:
            self.hand_out()
        except Exception:
            logger.exception("queue %s could not hand out", self.name)
        return 0

    cdef bint _is_full(self, Item item) noexcept:
        return (self._waiting.count + self._fresh_count >= self._most
                or self._waiting.bytes + self._fresh_bytes + PyBytes_GET_SIZE(item.value)
                > self._most_bytes)

    cdef int _level_of(self, Item item) noexcept:
        return min(max(item.priority, 0), self._waiting.highest)

    cdef int _add_fresh(self, Item item) except -1:
        cdef Py_ssize_t room
        cdef Place* fresh
        cdef Place* place
        if self._fresh_count == self._fresh_room:
            room = max(2 * self._fresh_room, <Py_ssize_t>16)
            fresh = <Place*>realloc(self._fresh, room * sizeof(Place))
            if fresh == NULL:
                raise MemoryError
            self._fresh, self._fresh_room = fresh, room
        place = &self._fresh[self._fresh_count]
        self._fresh_count += 1
        place.order = self._next_order
        self._next_order += 1
        place.offset = place.expires_ms = -1
        place.deliveries = 0
        place.size = <int>PyBytes_GET_SIZE(item.value)
        place.item = <PyObject*>item
        Py_INCREF(item)
        hold(self.round.held, item)
        self._fresh_bytes += place.size
        return 0

    cdef int write(self) except -1:
        """Store what was noted; what was put waits with the others from now on."""
        cdef Py_ssize_t index
        cdef int64_t ttl_ms
        cdef Place* place
        cdef Item item
        self.round.now_ms = self.round.timers.wall_ms
        for index in range(self._fresh_count):
            place = &self._fresh[index]
            item = <Item>place.item
            ttl_ms = item.ttl_ms
            if self._ttl_ms >= 0 and (ttl_ms < 0 or self._ttl_ms < ttl_ms):
                ttl_ms = self._ttl_ms
            place.expires_ms = -1 if ttl_ms < 0 else self.round.now_ms + ttl_ms
        if self.log is not None:
            self._store()
        for index in range(self._fresh_count):
            place = &self._fresh[index]
            if place.offset == REFUSED:
                self._forget(place)
                continue
            if place.offset >= 0:
                self._waiting_held += weight(<Item>place.item)
            self._waiting.push(self._level_of(<Item>place.item), place)
        self._fresh_count = 0
        self._fresh_bytes = 0
        return 0

    cdef int _store(self) except -1:
        error = self.log.write(
            self._fresh, self._fresh_count, self._waiting.highest, self.round.now_ms)
        if error is not None:
            self.failure = error
            if self.log.has_notes():
                self._try_again()
        elif self.log.untrimmed >= TRIM_STEP and self._on_grown is not None:
            self._on_grown(self)
        return 0

    # Handing out.

    cdef int hand_out(self) except -1:
        """Deliver what takers have room for; then what has expired goes, and what is too much."""
        cdef Place* head
        cdef Place place
        cdef Taker taker
        if self._passed:
            self._offer_passed()
        while True:
            head = self._waiting.head()
            if head == NULL:
                break
            # On the very millisecond it is not late, so that one that may not wait finds a taker.
            if 0 <= head.expires_ms < self.round.now_ms:
                if not self._expire_head(head):
                    break
                continue
            taker = self._next_taker()
            if taker is None:
                if self._takers.choosy and self._pass_over():
                    continue
                break
            if self._waiting.pop(&place):
                self._deliver(taker, self._lease(&place))
        self._expire()
        if self._limited and not self._refuses:
            while self._waiting.count > self._most or self._waiting.bytes > self._most_bytes:
                if not self._bury_head("maxlen"):
                    break
        if self.log is not None:
            self._let_go()
        return self._arm()

    cdef Taker _next_taker(self):
        """Who gets what is first, which is in memory then; None where nobody takes it."""
        cdef Place* head
        cdef Taker taker
        if not self._takers.choosy:
            taker = self._takers.next(None)
            return taker if taker is not None and self._load_head() else None
        if not self._load_head():
            return None
        head = self._waiting.head()
        return None if head == NULL else self._takers.next(<Item>head.item)

    cdef bint _pass_over(self) except -1:
        """Set aside what nobody with room may have, so that what is behind it need not wait.

        If nobody may have it at all, it is offered again later: rights change.
        """
        cdef Place* head = self._waiting.head()
        cdef Place place
        cdef bint is_wanted
        if head == NULL or head.item == NULL or not self._takers.have_room():
            return False
        is_wanted = self._takers.may_have(<Item>head.item)
        if len(self._passed) >= PASSED_MOST if is_wanted else len(self._withheld) >= WITHHELD_MOST:
            return False
        self._waiting.pop(&place)
        if is_wanted:
            self._passed.append(self._lease(&place))
            return True
        self._withheld.append(self._lease(&place))
        if self._reconsider is None:
            self._reconsider = self.round.timers.after(RECONSIDER_AFTER, self._look_at_withheld)
        return True

    cdef int _offer_passed(self) except -1:
        """Let what was passed over wait in its old place again."""
        passed, self._passed = self._passed, []
        for entry in passed:
            self._put_back(<Entry>entry)
        return 0

    cdef int _offer_withheld(self) except -1:
        """Likewise what nobody was there for."""
        if self._reconsider is not None:
            self._reconsider.cancel()
            self._reconsider = None
        if self._passed or self._withheld:
            self._passed += self._withheld
            self._withheld = []
            self._offer_passed()
            self.note()
        return 0

    def _look_at_withheld(self):
        self._offer_withheld()
        self.round.flush()

    cdef int _deliver(self, Taker taker, Entry entry) except -1:
        if entry.order >= self._delivered_before:
            self._delivered_before = entry.order + 1
        try:
            taker.deliver(entry)
        except BaseException:
            self.give_back(entry, False)
            raise
        return 0

    cpdef Entry get(self):
        cdef Place place
        if self._fresh_count:
            self.round.flush()
        self._offer_withheld()
        self.round.begin()
        self._expire()
        if self._is_late() or not self._load_head() or not self._waiting.pop(&place):
            return None
        entry = self._lease(&place)
        self._arm()
        self._delivered_before = max(self._delivered_before, entry.order + 1)
        return entry

    cdef bint _load_head(self) except -1:
        """Have what is next in memory, if anything is; whether that was possible."""
        cdef Place* head = self._waiting.head()
        cdef Place place
        cdef int64_t loaded
        while head != NULL and head.item == NULL:
            try:
                loaded = load(self._waiting, self.log, self.round.held)
            except HubbubError:
                self._try_again()
                return False
            self._waiting_held += loaded
            if not loaded:
                logger.error("queue %s has lost a message at offset %s", self.name, head.offset)
                self._waiting.pop(&place)
                self._forget(&place)
            head = self._waiting.head()
        return True

    cdef int _let_go(self) except -1:
        """Keep in the log only what is stored and not near its turn, where it is much."""
        if self._waiting_held > max(self.held_most, self._page_at):
            self._waiting_held -= page_out(
                self._waiting, self.log, self.round.held,
                self._waiting_held - self.held_most // 2, False)
            # What could not be let go yet is looked at again when there is noticeably more.
            self._page_at = self._waiting_held + self.held_most // 16
        elif self._waiting_held < self.held_most:
            self._page_at = 0
        return self.leases.let_go(self.log, self.round.held, self.held_most)

    def page_out(self, int64_t most):
        if self.log is not None and self._waiting_held > most:
            self._waiting_held -= page_out(
                self._waiting, self.log, self.round.held, self._waiting_held - most, True)

    cdef Entry _lease(self, Place* place):
        """A lease of what was just taken out of the line."""
        self._taken(place)
        return self.leases.begin(self, place, self._waiting.top)

    cdef int _taken(self, Place* place) noexcept:
        """The place was taken out of the line."""
        if place.offset >= 0 and place.item != NULL:
            self._waiting_held -= weight(<Item>place.item)
        return 0

    cdef int _expire(self) except -1:
        """What waits first is dropped as soon as its time has come, and only then."""
        while self._is_late():
            if not self._expire_head(self._waiting.head()):
                break
        return 0

    cdef bint _expire_head(self, Place* head) except -1:
        """Drop what waits first, whose time has come; False where that is not possible now."""
        if self.on_dead is not None and not self.round.may_expire(head.size):
            return False
        return self._bury_head("expired")

    cdef bint _is_late(self) noexcept:
        """Whether what waits first should not be there any more."""
        cdef Place* head = self._waiting.head()
        return head != NULL and 0 <= head.expires_ms <= self.round.now_ms

    cdef int _arm(self) except -1:
        """Look again when what waits first will have expired."""
        cdef Place* head = self._waiting.head()
        if head == NULL or head.expires_ms < 0 or self.deleted:
            return 0
        if self._retry is not None:
            return 0  # it cannot be read now, and is looked at again then
        timers = self.round.timers
        seconds = max(head.expires_ms - self.round.now_ms, 1) / 1000
        if self._timer is not None:
            if self._timer.when <= timers.now + seconds:
                return 0
            self._timer.cancel()
        self._timer = timers.after(seconds, self._look)
        return 0

    cdef int _try_again(self) except -1:
        if self._retry is None and not self.deleted:
            self._retry = self.round.timers.after(RETRY_AFTER, self._look_again)
        return 0

    def _look(self):
        self._timer = None
        self.note()
        self.round.flush()

    def _look_again(self):
        self._retry = None
        self.note()
        self.round.flush()

    # Settling.

    cpdef int settle(self, Entry entry) except -1:
        if not entry.leased or entry.queue is not self:
            return 0
        self.leases.end(entry)
        if entry.held is not None:
            release(self.round.held, entry.held)
        if entry.offset >= 0 and self.log is not None:
            self.log.settle(entry.offset, entry.size)
            self.note()
        elif self._waiting.count or self._passed or self.round.is_relieved():
            self.note()  # its taker has room again, or publishers have
        return 0

    cpdef int give_back(self, Entry entry, bint counts) except -1:
        if not entry.leased or entry.queue is not self:
            return 0
        if self.deleted:
            return self.settle(entry)
        if counts:
            entry.deliveries += 1
            if 0 <= self._delivery_limit < entry.deliveries:
                return self._bury(entry, "delivery_limit")
            if entry.offset >= 0:
                self.log.attempt(entry.offset, entry.deliveries)
        self._put_back(entry)
        return self.note()

    cdef int _put_back(self, Entry entry) except -1:
        """Let it wait in its old place."""
        cdef Place place
        self.leases.end(entry)
        place.order = entry.order
        place.offset = entry.offset
        place.expires_ms = entry.expires_ms
        place.deliveries = entry.deliveries
        place.size = entry.size
        place.item = NULL
        if entry.held is not None:
            place.item = <PyObject*>entry.held
            Py_INCREF(entry.held)
            if entry.offset >= 0:
                self._waiting_held += weight(entry.held)
        return self._waiting.give_back(entry.level, &place)

    cpdef int reject(self, Entry entry) except -1:
        if entry.leased and entry.queue is self:
            self._bury(entry, "rejected")
        return 0

    cdef bint _bury_head(self, str reason) except -1:
        """What waits first is a dead letter; False where it cannot be read now."""
        cdef Place place
        if self.on_dead is None:
            if self._waiting.pop(&place):
                self._forget(&place)
        elif not self._load_head():
            return False
        elif self._waiting.pop(&place):
            self._bury(self._lease(&place), reason)
        return True

    cdef int _bury(self, Entry entry, str reason) except -1:
        """Hand the dead letter to whom it concerns; only then is it gone from here."""
        cdef list before = self.round.targets
        cdef list targets = []
        if self.on_dead is not None and not self.deleted:
            self.round.targets = targets
            try:
                self.on_dead(entry, reason)
            except Exception:
                logger.exception("a dead letter of queue %s is lost", self.name)
            self.round.targets = before
        if targets and entry.offset >= 0 and self.log is not None and entry.leased:
            # Power loss could take it back there: here it is settled when it is durable there.
            self.round.buried.append((self, entry.offset, entry.size, targets))
            self.leases.end(entry)
            if entry.held is not None:
                release(self.round.held, entry.held)
            return self.note()
        return self.settle(entry)

    def settle_stored(self, int64_t offset, Py_ssize_t size):
        if self.log is not None:
            self.log.settle(offset, size)
            self.note()

    cdef int _forget(self, Place* place) except -1:
        """Done with what was taken out of the line."""
        self._taken(place)
        if place.item != NULL:
            release(self.round.held, <Item>place.item)
            _decref(place.item)
        if place.offset >= 0 and self.log is not None:
            self.log.settle(place.offset, place.size)
            self.note()
        return 0

    # Takers.

    def join(self, Taker taker not None, int priority=0):
        self._takers.add(taker, priority)
        self._offer_withheld()
        self.wake()

    def leave(self, Taker taker not None):
        if not self._takers.remove(taker):
            return
        self.wake()
        if not self._takers.count and self.on_consumers_gone is not None:
            self.on_consumers_gone()

    cpdef int wake(self) except -1:
        if self._waiting.count or self._passed:
            self.note()
        return 0

    # The end.

    def purge(self):
        cdef Place place
        cdef Py_ssize_t index, count = self.ready
        self._offer_withheld()
        for index in range(self._fresh_count):
            self._forget(&self._fresh[index])
        self._fresh_count = 0
        self._fresh_bytes = 0
        while self._waiting.pop(&place):
            self._forget(&place)
        self.note()  # whoever waits for room in memory is told at the next flush
        return count

    def when_durable(self, done not None):
        if self.log is None:
            done(None)
            return
        if self._fresh_count or self.log.has_notes():
            self.write()
        if self.failure is not None:
            done(self.failure)
        else:
            self.log.partition.when_durable(self.log.end, done)

    def rewrite(self, int64_t limit):
        cdef Rewriting rewriting = Rewriting(
            self.log, self.round.held, limit, self.round.timers.wall_ms)
        cdef int64_t held = self.leases.held_bytes
        try:
            self.leases.rewrite(rewriting)
            rewriting.add_line(self._waiting)
            if rewriting.count:
                rewriting.finish()
        finally:
            self._waiting_held += rewriting.loaded - (self.leases.held_bytes - held)
            self.note()  # what was read may be too much to hold
        return rewriting.count > 0

    def rest(self):
        if self.log is not None:
            self.log.close(self._delivered_before, self.round.timers.wall_ms)

    def close(self):
        self.deleted = True
        self.log = None
        self.purge()
        for timer in (self._timer, self._retry):
            if timer is not None:
                timer.cancel()
        self._timer = self._retry = None
        for taker in self.takers:
            self._takers.remove(taker)
        self.on_dead = self.on_consumers_gone = None
