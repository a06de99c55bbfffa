# cython: language_level=3, boundscheck=False, wraparound=False
"""How a work queue's log says what was put and what is settled.

The first byte of a record's key is its kind. A message has its place in the key, its mark in a
header and its value where a value is. What was settled is ranges of offsets, and attempts are
offsets with how often each was given back; both are numbers that follow the kind. An orderly end
says which orders may have been delivered.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, qsort, realloc

from hubbub.broker.work_item cimport new_item
from hubbub.log.batch cimport read_record
from hubbub.log.layout cimport (
    AT_BASE_OFFSET, AT_BASE_TIMESTAMP, AT_LAST_OFFSET_DELTA, AT_RECORD_COUNT, AT_RECORDS, load32,
    load64, plus, read_varint, store32, store64
)

from hubbub.log.batch import scan
from hubbub.log.builder import encode_headers
from hubbub.log.records import MARK_HEADER
from hubbub.model.errors import CorruptBatchError

# A message's key: where its fields stand.
cdef enum:
    AT_LEVEL = 1
    AT_ORDER = 2
    AT_EXPIRES = 10
    AT_TTL = 18
    AT_DELIVERIES = 26
    KEY_BYTES = 30

cdef enum:
    LONGEST_VARINT = 10

cdef bytes NO_HEADERS = encode_headers(())


cdef class RecordWriter:
    """Adds messages to batches; consecutive ones mostly have the same mark."""

    cdef int add_message(self, BatchBuilder batch, const Place* place, int level,
                         Item item) except -1:
        cdef uint8_t[KEY_BYTES] key
        key[0] = MESSAGE
        key[AT_LEVEL] = <uint8_t>level
        store64(&key[AT_ORDER], place.order)
        store64(&key[AT_EXPIRES], place.expires_ms)
        store64(&key[AT_TTL], item.ttl_ms)
        store32(&key[AT_DELIVERIES], place.deliveries)
        if self._mark is not item.mark or self._headers is None:
            self._mark = item.mark
            self._headers = headers_of(item.mark)
        return batch.add(
            item.timestamp_ms, key, KEY_BYTES, <const uint8_t*>PyBytes_AS_STRING(item.value),
            PyBytes_GET_SIZE(item.value), self._headers)


cdef bytes headers_of(bytes mark):
    if not mark:
        return NO_HEADERS
    return encode_headers([(MARK_HEADER, mark)])


cdef int add_settled(BatchBuilder batch, int64_t now_ms, int64_t* offsets,
                     Py_ssize_t count) except -1:
    """Add what was settled, in any order, as (distance from the range before, length)."""
    cdef Buffer out = Buffer.__new__(Buffer)
    cdef int64_t first, after = 0
    cdef Py_ssize_t index = 0
    for index in range(1, count):
        if offsets[index] < offsets[index - 1]:
            qsort(offsets, count, sizeof(int64_t), by_number)
            break
    out.reserve(1)
    out.data[0] = SETTLED
    out.size = 1
    index = 0
    while index < count:
        first = offsets[index]
        out.reserve(2 * LONGEST_VARINT)
        out.varint(first - after)
        after = first
        while index < count and offsets[index] == after:
            after += 1
            index += 1
        out.varint(after - first)
    return batch.add(now_ms, out.data, out.size, NULL, -1, NO_HEADERS)


cdef int add_attempts(BatchBuilder batch, int64_t now_ms, dict attempts) except -1:
    """Add how often each of these offsets was given back."""
    cdef Buffer out = Buffer.__new__(Buffer)
    cdef int64_t before = 0
    out.reserve(1)
    out.data[0] = ATTEMPTS
    out.size = 1
    for offset, deliveries in attempts.items():
        out.reserve(2 * LONGEST_VARINT)
        out.varint(offset - before)
        out.varint(deliveries)
        before = offset
    return batch.add(now_ms, out.data, out.size, NULL, -1, NO_HEADERS)


cdef int add_closed(BatchBuilder batch, int64_t now_ms, int64_t order) except -1:
    """Add that nothing from ``order`` on was ever delivered."""
    cdef uint8_t[9] key
    key[0] = CLOSED
    store64(&key[1], order)
    return batch.add(now_ms, key, sizeof(key), NULL, -1, NO_HEADERS)


cdef int by_number(const void* first, const void* second) noexcept nogil:
    cdef int64_t left = (<const int64_t*>first)[0]
    cdef int64_t right = (<const int64_t*>second)[0]
    return (left > right) - (left < right)


cdef class Records:

    def __init__(self, bytes data not None):
        cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(data)
        self.data = data
        for info in scan(data):
            read_batch(self, start, info.size)
            start += <Py_ssize_t>info.size

    def __dealloc__(self):
        free(self.at)

    cdef int kind(self, Py_ssize_t index) noexcept:
        cdef Record* record = &self.at[index].record
        return record.key[0] if record.key_size > 0 else 0

    cdef Py_ssize_t find(self, int64_t offset) noexcept:
        """The index of the record at the offset; -1 where there is none."""
        cdef Py_ssize_t low = 0, high = self.count, middle
        while low < high:
            middle = (low + high) // 2
            if self.at[middle].offset < offset:
                low = middle + 1
            else:
                high = middle
        return low if low < self.count and self.at[low].offset == offset else -1

    cdef int place(self, Py_ssize_t index, Place* place) except -1:
        """Fill in the place of a message, without its item; its level."""
        cdef Record* record = &self.at[index].record
        if record.key_size != KEY_BYTES:
            raise CorruptBatchError("a message of a queue without its place")
        place.order = <int64_t>load64(record.key + AT_ORDER)
        place.offset = self.at[index].offset
        place.expires_ms = <int64_t>load64(record.key + AT_EXPIRES)
        place.deliveries = <int32_t>load32(record.key + AT_DELIVERIES)
        place.size = <int32_t>max(record.value_size, 0)
        place.item = NULL
        return record.key[AT_LEVEL]

    cdef Item item(self, Py_ssize_t index):
        """The message at this index, as it was put."""
        cdef Stored* stored = &self.at[index]
        cdef const uint8_t* at = stored.record.headers
        cdef const uint8_t* end = (
            <const uint8_t*>PyBytes_AS_STRING(self.data) + PyBytes_GET_SIZE(self.data))
        cdef int64_t size = 0
        cdef bytes mark = b""
        if stored.record.header_count:
            read_varint(&at, end, &size)
            at += size  # the header's name: there is but one
            read_varint(&at, end, &size)
            mark = PyBytes_FromStringAndSize(<const char*>at, size)
        return new_item(
            PyBytes_FromStringAndSize(
                <const char*>stored.record.value, max(stored.record.value_size, 0)),
            mark, stored.timestamp_ms, <int64_t>load64(stored.record.key + AT_TTL),
            stored.record.key[AT_LEVEL], True)

    cdef int64_t order(self, Py_ssize_t index) except -1:
        """What an orderly end says."""
        cdef Record* record = &self.at[index].record
        if record.key_size != 9:
            raise CorruptBatchError("an end of a queue without an order")
        return <int64_t>load64(record.key + 1)

    cdef list numbers(self, Py_ssize_t index):
        """What follows the kind in the key, by twos; the first of each two as it was given."""
        cdef Record* record = &self.at[index].record
        cdef const uint8_t* at = record.key + 1
        cdef const uint8_t* end = record.key + record.key_size
        cdef int64_t first = 0, step = 0, second = 0
        cdef list found = []
        cdef bint ranges = record.key[0] == SETTLED
        while at < end:
            if not read_varint(&at, end, &step) or not read_varint(&at, end, &second):
                raise CorruptBatchError("numbers of a queue end early")
            first += step
            found.append((first, second))
            if ranges:
                first += second
        return found

    cdef Stored* _add(self) except NULL:
        cdef Stored* grown
        cdef Py_ssize_t room
        if self.count == self._room:
            room = max(2 * self._room, <Py_ssize_t>64)
            grown = <Stored*>realloc(self.at, room * sizeof(Stored))
            if grown == NULL:
                raise MemoryError
            self.at, self._room = grown, room
        self.count += 1
        return &self.at[self.count - 1]


cdef int read_batch(Records records, const uint8_t* batch, Py_ssize_t size) except -1:
    """Note where the records of a batch stand; it is one of our own, and so not compressed."""
    cdef const uint8_t* at = batch + AT_RECORDS
    cdef int64_t base_offset = <int64_t>load64(batch + AT_BASE_OFFSET)
    cdef int64_t base_timestamp = <int64_t>load64(batch + AT_BASE_TIMESTAMP)
    cdef Stored* stored
    cdef const char* fault
    for _ in range(<int32_t>load32(batch + AT_RECORD_COUNT)):
        stored = records._add()
        fault = read_record(&at, batch + size, &stored.record)
        if fault != NULL:
            raise CorruptBatchError(fault.decode())
        stored.offset = base_offset + stored.record.offset_delta
        stored.timestamp_ms = plus(base_timestamp, stored.record.timestamp_delta)
    records.after = base_offset + <int32_t>load32(batch + AT_LAST_OFFSET_DELTA) + 1
    return 0
