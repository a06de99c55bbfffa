# cython: language_level=3, boundscheck=False, wraparound=False
"""The log of a durable work queue: what was put and what is settled, so that one sync covers both.

Which of its messages are still needed is known to the offset; what lies before them is given back.
"""

from libc.stdlib cimport free, realloc

from hubbub.broker.queue_records cimport add_attempts, add_closed, add_settled

from hubbub.log.builder import BatchBuilder as NewBatch
from hubbub.model.errors import (
    CorruptLogError, HubbubError, OffsetOutOfRangeError, StorageError
)

cdef enum:
    # What is put in one flush is one batch up to this size: what is read back is read whole.
    BATCH_BYTES = 1024 * 1024
    # One read for messages whose turn comes.
    CHUNK_BYTES = 256 * 1024


cdef class QueueLog:

    def __init__(self, partition not None):
        self.partition = partition
        self.live = OffsetSet()
        self.end = partition.end_offset
        self._writer = RecordWriter()
        self._attempts = {}

    def __dealloc__(self):
        free(self._settled)

    cdef bint has_notes(self) noexcept:
        """Whether something waits for the next batch."""
        return self._settled_count > 0 or bool(self._attempts)

    cdef bint is_durable(self, int64_t offset) except -1:
        """Whether it could be read."""
        cdef int64_t durable = self.partition.durable_offset
        return offset < durable

    cdef int settle(self, int64_t offset, Py_ssize_t size) except -1:
        """The message at the offset, of a value of ``size`` bytes, is needed no more."""
        if self.live.remove(offset):
            self.live_bytes -= size
            self._note_settled(offset)
            if self._attempts:
                self._attempts.pop(offset, None)
        return 0

    cdef int attempt(self, int64_t offset, int deliveries) except -1:
        """The message at the offset was given back, for the so many-th time."""
        self._attempts[offset] = deliveries
        return 0

    # Writing.

    cdef object write(self, Place* places, Py_ssize_t count, int highest, int64_t now_ms):
        """Append what is persistent of what was put, and what was settled; the error or None.

        Each gets its offset; what could not be stored has ``REFUSED``. What was settled is tried
        again with the next batch.
        """
        cdef Py_ssize_t index, first = 0
        cdef Item item
        try:
            for index in range(count):
                item = <Item>places[index].item
                if item.persistent:
                    self._begin(now_ms)
                    self._writer.add_message(
                        self._batch, &places[index], min(max(item.priority, 0), highest), item)
                    if self._batch.size >= BATCH_BYTES:
                        self._append(now_ms)
                        self._stored(places, &first, index + 1)
            if self._batch is not None or self.has_notes():
                self._begin(now_ms)
                self._append(now_ms)
                self._stored(places, &first, count)
        except HubbubError as error:
            self._batch = None
            for index in range(first, count):
                if (<Item>places[index].item).persistent:
                    places[index].offset = REFUSED
            return error
        return None

    cdef int _stored(self, Place* places, Py_ssize_t* first, Py_ssize_t after) except -1:
        """Note where those stand that were in the batch which was just appended."""
        cdef int64_t offset = self._base
        cdef Py_ssize_t index
        for index in range(first[0], after):
            if (<Item>places[index].item).persistent:
                places[index].offset = offset
                self.live.add(offset)
                self.live_bytes += places[index].size
                offset += 1
        first[0] = after
        return 0

    cdef int _begin(self, int64_t now_ms) except -1:
        if self._batch is None:
            self._batch = NewBatch(now_ms)
        return 0

    cdef int _append(self, int64_t now_ms) except -1:
        """Append the batch under way, and with it what was settled."""
        cdef BatchBuilder batch = self._batch
        if self._settled_count:
            add_settled(batch, now_ms, self._settled, self._settled_count)
        if self._attempts:
            add_attempts(batch, now_ms, self._attempts)
        appended = self.partition.append(batch.finish(), now_ms, own=True)
        self._base = appended.base_offset
        self.end = appended.next_offset
        self.untrimmed += batch.size
        self._batch = None
        self._settled_count = 0
        self._attempts.clear()
        return 0

    cdef int _note_settled(self, int64_t offset) except -1:
        cdef int64_t* grown
        cdef Py_ssize_t room
        if self._settled_count == self._settled_room:
            room = max(2 * self._settled_room, <Py_ssize_t>64)
            grown = <int64_t*>realloc(self._settled, room * sizeof(int64_t))
            if grown == NULL:
                raise MemoryError
            self._settled, self._settled_room = grown, room
        self._settled[self._settled_count] = offset
        self._settled_count += 1
        return 0

    cdef int close(self, int64_t order, int64_t now_ms) except -1:
        """Nothing follows, and nothing from ``order`` on was delivered. Raises StorageError."""
        if self.live.count:
            self._begin(now_ms)
            add_closed(self._batch, now_ms, max(order, self.delivered_before))
            self._append(now_ms)
        return 0

    # Reading.

    cdef Item read(self, int64_t offset):
        """The message at the offset; None where the log has lost it. Raises StorageError."""
        cdef Records records = self.around(offset)
        cdef Py_ssize_t index = -1 if records is None else records.find(offset)
        return None if index < 0 else records.item(index)

    cdef Records around(self, int64_t offset):
        """Records around the offset; None where the log is damaged there. Raises StorageError."""
        if self._records is not None and self._records.count:
            if self._records.at[0].offset <= offset < self._records.after:
                return self._records
        try:
            data = self.partition.read(offset, CHUNK_BYTES)
        except (CorruptLogError, OffsetOutOfRangeError):
            return None
        if not data:
            raise StorageError(f"nothing at offset {offset}")
        self._records = Records(data)
        return self._records

    # Giving space back.

    @property
    def needed_bytes(self):
        if not self.moved_count:
            return self.live_bytes
        return max(self.live_bytes, self.live.count * (self.moved_bytes // self.moved_count))

    def begin_moving(self):
        self.moved_bytes = self.moved_count = 0

    def trim(self):
        """Forget what lies before the first message that is needed."""
        cdef int64_t first = self.live.first()
        cdef int64_t durable = self.partition.durable_offset
        self.untrimmed = 0
        self._records = None
        # What was stored anew is not safe before that is durable, and until then the old one is.
        if durable < self.moved_end:
            return
        first = durable if first < 0 else min(first, durable)
        if first > self.partition.start_offset:
            self.partition.truncate_before(first)
