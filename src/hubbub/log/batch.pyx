# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""RecordBatch v2 (Kafka's message format 2, KIP-98): scan, stamp, check, encode and decode.

A batch is a header of 61 bytes and its records, which may be compressed as one. Everything here is
written for hostile bytes: each length is checked against what is there before it is used.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport INT32_MAX, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from hubbub.log.layout cimport *

from typing import NamedTuple

from hubbub.log.compression import MAX_DECOMPRESSED_BYTES, compress, decompress
from hubbub.model.errors import CorruptBatchError, MessageTooLargeError

# How many times its own size a search for the next good batch may checksum: bytes that look like
# headers everywhere would make it quadratic.
cdef enum:
    SEARCH_EFFORT = 64

HEADER_BYTES = AT_RECORDS
CONTROL = CONTROL_BIT
TRANSACTIONAL = TRANSACTIONAL_BIT
APPEND_TIME = APPEND_TIME_BIT


class RawRecord(NamedTuple):
    """A record as it stands in a log."""

    offset: int
    timestamp_ms: int
    key: object
    value: object
    headers: tuple


cdef class BatchInfo:
    """The header of a batch; ``size`` is that of the whole batch in bytes."""

    cdef readonly int64_t base_offset
    cdef readonly int64_t size
    cdef readonly int32_t leader_epoch
    cdef readonly int16_t attributes
    cdef readonly int32_t last_offset_delta
    cdef readonly int64_t base_timestamp
    cdef readonly int64_t max_timestamp
    cdef readonly int64_t producer_id
    cdef readonly int16_t producer_epoch
    cdef readonly int32_t base_sequence
    cdef readonly int32_t record_count

    @property
    def next_offset(self):
        return self.base_offset + self.last_offset_delta + 1

    @property
    def compression(self):
        return self.attributes & COMPRESSION_BITS

    @property
    def is_control(self):
        return self.attributes & CONTROL_BIT != 0

    @property
    def is_transactional(self):
        return self.attributes & TRANSACTIONAL_BIT != 0

    @property
    def log_append_time(self):
        return self.attributes & APPEND_TIME_BIT != 0


cdef BatchInfo info_of(const uint8_t* batch):
    cdef BatchInfo info = BatchInfo.__new__(BatchInfo)
    info.base_offset = <int64_t>load64(batch + AT_BASE_OFFSET)
    info.size = batch_size(batch)
    info.leader_epoch = <int32_t>load32(batch + AT_LEADER_EPOCH)
    info.attributes = load16(batch + AT_ATTRIBUTES)
    info.last_offset_delta = <int32_t>load32(batch + AT_LAST_OFFSET_DELTA)
    info.base_timestamp = <int64_t>load64(batch + AT_BASE_TIMESTAMP)
    info.max_timestamp = <int64_t>load64(batch + AT_MAX_TIMESTAMP)
    info.producer_id = <int64_t>load64(batch + AT_PRODUCER_ID)
    info.producer_epoch = load16(batch + AT_PRODUCER_EPOCH)
    info.base_sequence = <int32_t>load32(batch + AT_BASE_SEQUENCE)
    info.record_count = <int32_t>load32(batch + AT_RECORD_COUNT)
    return info


cdef object corrupt(const char* fault, Py_ssize_t at):
    return CorruptBatchError(f"batch at byte {at}: {fault.decode()}")


def header(const uint8_t[::1] data not None, Py_ssize_t at=0):
    """The header at ``at``, the batch unseen; None if it is cut off or makes no sense."""
    if at < 0 or data.shape[0] - at < AT_RECORDS or header_fault(&data[at]) != NULL:
        return None
    return info_of(&data[at])


def scan(const uint8_t[::1] data not None, Py_ssize_t start=0, *, bint check_crc=True):
    """The headers of the batches that ``data`` consists of from ``start`` on.

    Raises:
        CorruptBatchError: a batch is cut off, fails its checksum or has impossible fields.
    """
    cdef list infos = []
    cdef Py_ssize_t at = start, size = data.shape[0]
    cdef const char* fault
    if at < 0:
        raise ValueError("start is negative")
    while at < size:
        fault = batch_fault(&data[at], size - at, check_crc)
        if fault != NULL:
            raise corrupt(fault, at)
        infos.append(info_of(&data[at]))
        at += batch_size(&data[at])
    return infos


def scan_whole(const uint8_t[::1] data not None, Py_ssize_t start=0, *, int64_t first_offset=0):
    """Whole batches of rising offsets from ``first_offset`` on: (headers, where they end, fault).

    The fault is None when they end where ``data`` does.
    """
    cdef list infos = []
    cdef Py_ssize_t at = start, size = data.shape[0]
    cdef const char* fault
    cdef BatchInfo info
    if at < 0:
        raise ValueError("start is negative")
    while at < size:
        fault = batch_fault(&data[at], size - at, True)
        if fault == NULL and <int64_t>load64(&data[at]) < first_offset:
            fault = "the offset is not above the one before"
        if fault != NULL:
            return infos, at, fault.decode()
        info = info_of(&data[at])
        infos.append(info)
        first_offset = info.base_offset + info.last_offset_delta + 1
        at += info.size
    return infos, at, None


cdef Py_ssize_t search(const uint8_t* data, Py_ssize_t size, Py_ssize_t at,
                       int64_t first_offset) noexcept nogil:
    cdef int64_t effort = <int64_t>size * SEARCH_EFFORT
    while size - at >= AT_RECORDS:
        if (data[at + AT_MAGIC] == MAGIC and <int64_t>load64(data + at) >= first_offset
                and batch_fault(data + at, size - at, False) == NULL):
            if checksum(data + at, batch_size(data + at)) == load32(data + at + AT_CRC):
                return at
            effort -= batch_size(data + at)
            if effort < 0:
                return -1
        at += 1
    return -1


def find_batch(const uint8_t[::1] data not None, Py_ssize_t start, int64_t first_offset):
    """Where, from ``start``, the first whole batch from ``first_offset`` begins; -1 if none."""
    cdef Py_ssize_t size = data.shape[0]
    if start < 0:
        raise ValueError("start is negative")
    return search(&data[0], size, start, first_offset) if size else -1


def span(const uint8_t[::1] data not None, int64_t offset, int64_t limit, Py_ssize_t max_bytes,
         *, bint at_least_one):
    """What a read of ``data`` from ``offset`` to below ``limit`` returns: (begin, end, fault).

    The first is the one that holds ``offset``, or the next one where compaction left a gap. The
    fault says why the batch at ``end`` could not be returned; a reader that has room left and no
    batch yet may have handed over too few bytes.
    """
    cdef Py_ssize_t at = 0, begin = -1, size = data.shape[0]
    cdef const uint8_t* batch
    cdef const char* fault
    while at < size:
        batch = &data[at]
        fault = batch_fault(batch, size - at, False)
        if fault == NULL and begin < 0 and next_offset(batch) <= offset:
            at += batch_size(batch)
            continue
        if size - at >= AT_RECORDS and <int64_t>load64(batch) >= limit:
            break
        if begin < 0:
            begin = at
        if size - at >= AT_RECORDS and header_fault(batch) == NULL:
            if batch_size(batch) > max_bytes - (at - begin) and (at > begin or not at_least_one):
                break
        if fault == NULL and checksum(batch, batch_size(batch)) != load32(batch + AT_CRC):
            fault = "the checksum does not match"
        if fault != NULL:
            return begin, at, fault.decode()
        at += batch_size(batch)
    return (at if begin < 0 else begin), at, None


def stamp(const uint8_t[::1] batch not None, int64_t base_offset, *, int32_t leader_epoch=0,
          int64_t append_time_ms=-1):
    """The batch with the offset and leader epoch the log gives it, which its checksum leaves out.

    An append time replaces the publisher's timestamps, and the checksum is made anew.

    Raises:
        CorruptBatchError: too short to be a batch.
    """
    cdef Py_ssize_t size = batch.shape[0]
    if size < AT_RECORDS:
        raise corrupt("the header ends early", 0)
    cdef bytes stamped = PyBytes_FromStringAndSize(<const char*>&batch[0], size)
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(stamped)
    store64(out + AT_BASE_OFFSET, <uint64_t>base_offset)
    store32(out + AT_LEADER_EPOCH, <uint32_t>leader_epoch)
    if append_time_ms >= 0:
        out[AT_ATTRIBUTES + 1] |= APPEND_TIME_BIT
        store64(out + AT_MAX_TIMESTAMP, <uint64_t>append_time_ms)
        store32(out + AT_CRC, checksum(out, size))
    return stamped


# --- records ---------------------------------------------------------------------------------


cdef inline bint read_header(const uint8_t** at, const uint8_t* end, const uint8_t** name,
                             int64_t* name_size, const uint8_t** value,
                             int64_t* value_size) noexcept nogil:
    return (read_bytes(at, end, name, name_size) and name_size[0] >= 0
            and read_bytes(at, end, value, value_size))


cdef const char* read_record(const uint8_t** at, const uint8_t* end, Record* record) noexcept nogil:
    """Read the record at ``at`` and its headers, and move ``at`` on; what is wrong or NULL."""
    cdef int64_t length, name_size, value_size
    cdef const uint8_t* name
    cdef const uint8_t* value
    record.start = at[0]
    if not read_varint(at, end, &length) or length < 0 or length > end - at[0]:
        return "a record ends early"
    end = at[0] + length
    if at[0] == end:
        return "a record is empty"
    at[0] += 1  # attributes: none are defined
    if (not read_varint(at, end, &record.timestamp_delta)
            or not read_varint(at, end, &record.offset_delta)):
        return "a record's deltas end early"
    if (not read_bytes(at, end, &record.key, &record.key_size)
            or not read_bytes(at, end, &record.value, &record.value_size)):
        return "a record's key or value ends early"
    if (not read_varint(at, end, &record.header_count) or record.header_count < 0
            or record.header_count > (end - at[0]) // SMALLEST_HEADER):
        return "a record's header count is impossible"
    record.headers = at[0]
    for _ in range(record.header_count):
        if not read_header(at, end, &name, &name_size, &value, &value_size):
            return "a record's header ends early"
    if at[0] != end:
        return "a record is longer than its fields"
    return NULL


cdef bytes records_of(const uint8_t* batch, Py_ssize_t max_decompressed):
    """The records section, decompressed."""
    cdef bytes section = PyBytes_FromStringAndSize(
        <const char*>batch + AT_RECORDS, batch_size(batch) - AT_RECORDS)
    return decompress(batch[AT_ATTRIBUTES + 1] & COMPRESSION_BITS, section, max_decompressed)


def check_records(const uint8_t[::1] batch not None, BatchInfo info not None,
                  Py_ssize_t max_decompressed=MAX_DECOMPRESSED_BYTES):
    """Check every record of a publisher's batch; whether one of them has no key.

    Raises:
        CorruptBatchError: records and header do not agree, or more than ``max_decompressed`` bytes.
        UnsupportedCompressionError: a codec that does not exist.
    """
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef Record record
    cdef bytes inside
    cdef const char* fault = NULL
    cdef bint keyless = False
    cdef int32_t index
    if (info.size != batch.shape[0] or info.size < AT_RECORDS
            or batch_size(&batch[0]) != info.size):
        raise corrupt("the header belongs to another batch", 0)
    if info.record_count == 0 or info.last_offset_delta != info.record_count - 1:
        raise corrupt("the last offset delta does not fit the record count", 0)
    if info.attributes & COMPRESSION_BITS:
        inside = records_of(&batch[0], max_decompressed)
        at = <const uint8_t*>PyBytes_AS_STRING(inside)
        end = at + len(inside)
    else:
        at = &batch[0] + AT_RECORDS
        end = &batch[0] + info.size
    for index in range(info.record_count):
        fault = read_record(&at, end, &record)
        if fault == NULL and record.offset_delta != index:
            fault = "offsets are not consecutive"
        if fault != NULL:
            raise corrupt(fault, 0)
        keyless = keyless or record.key_size < 0
    if at != end:
        raise corrupt("bytes follow the last record", 0)
    return bool(keyless)


# --- decode ----------------------------------------------------------------------------------


cdef inline object bytes_or_none(const uint8_t* start, int64_t size):
    return None if size < 0 else PyBytes_FromStringAndSize(<const char*>start, size)


cdef tuple headers_of(const uint8_t* at, const uint8_t* end):
    """The headers from ``at`` to the end of a record that ``read_record`` found good."""
    cdef const uint8_t* name
    cdef const uint8_t* value
    cdef int64_t name_size, value_size
    cdef list headers = []
    while at < end:
        read_header(&at, end, &name, &name_size, &value, &value_size)
        # Kafka's clients read a name that is no UTF-8 with replacement characters too.
        text = name[:name_size].decode("utf-8", "replace")
        headers.append((text, bytes_or_none(value, value_size)))
    return tuple(headers)


cdef const char* decode_batch(const uint8_t* batch, list records) except? NULL:
    """Append the batch's records to ``records``; what is wrong, or an empty text."""
    cdef bytes inside = records_of(batch, MAX_DECOMPRESSED_BYTES)
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(inside)
    cdef const uint8_t* end = at + len(inside)
    cdef int64_t base_offset = <int64_t>load64(batch + AT_BASE_OFFSET)
    cdef int64_t base_timestamp = <int64_t>load64(batch + AT_BASE_TIMESTAMP)
    cdef int64_t last_delta = <int32_t>load32(batch + AT_LAST_OFFSET_DELTA)
    cdef bint append_time = batch[AT_ATTRIBUTES + 1] & APPEND_TIME_BIT
    cdef int64_t timestamp, before = -1
    cdef const char* fault
    cdef Record record
    for _ in range(<int32_t>load32(batch + AT_RECORD_COUNT)):
        fault = read_record(&at, end, &record)
        if fault != NULL:
            return fault
        if not before < record.offset_delta <= last_delta:
            return "offsets do not rise"
        before = record.offset_delta
        timestamp = (<int64_t>load64(batch + AT_MAX_TIMESTAMP) if append_time
                     else plus(base_timestamp, record.timestamp_delta))
        records.append(tuple.__new__(RawRecord, (
            base_offset + record.offset_delta,
            timestamp,
            bytes_or_none(record.key, record.key_size),
            bytes_or_none(record.value, record.value_size),
            headers_of(record.headers, at) if record.header_count else (),
        )))
    return "" if at == end else "bytes follow the last record"


def decode(const uint8_t[::1] data not None):
    """All records of the batches that ``data`` consists of; control batches hold none.

    Raises:
        CorruptBatchError: not whole batches of whole records, or a decompression bomb.
        UnsupportedCompressionError: a codec that does not exist.
    """
    cdef list records = []
    cdef Py_ssize_t at = 0, size = data.shape[0]
    cdef const char* fault
    while at < size:
        fault = batch_fault(&data[at], size - at, True)
        if fault != NULL:
            raise corrupt(fault, at)
        # Compaction may leave a batch without records, to keep its offsets.
        if not data[at + AT_ATTRIBUTES + 1] & CONTROL_BIT and load32(&data[at + AT_RECORD_COUNT]):
            fault = decode_batch(&data[at], records)
            if fault[0]:
                raise corrupt(fault, at)
        at += batch_size(&data[at])
    return records


# --- encode ----------------------------------------------------------------------------------


cdef class Buffer:
    """Bytes that grow."""

    def __dealloc__(self):
        free(self.data)

    cdef int reserve(self, Py_ssize_t more) except -1:
        """Make place for ``more`` bytes behind those there are."""
        cdef Py_ssize_t room
        cdef uint8_t* data
        if self.room - self.size >= more:
            return 0
        room = (self.size + more) * 2
        data = <uint8_t*>realloc(self.data, room)
        if data == NULL:
            raise MemoryError
        self.data, self.room = data, room
        return 0

    cdef void varint(self, int64_t value) noexcept:
        cdef uint64_t bits = (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)
        while bits >= 0x80:
            self.data[self.size] = <uint8_t>(bits | 0x80)
            self.size += 1
            bits >>= 7
        self.data[self.size] = <uint8_t>bits
        self.size += 1

    cdef void raw(self, const void* start, Py_ssize_t size) noexcept:
        memcpy(self.data + self.size, start, size)
        self.size += size

    cdef void field(self, bytes value) noexcept:
        if value is None:
            self.varint(-1)
        else:
            self.varint(len(value))
            self.raw(PyBytes_AS_STRING(value), len(value))


cdef inline Py_ssize_t field_size(bytes value):
    return 1 if value is None else varint_size(len(value)) + len(value)


cdef list header_fields(object headers):
    return [
        (name.encode("utf-8", "replace") if isinstance(name, str) else name, value)
        for name, value in headers
    ]


cdef int write_record(Buffer out, int64_t timestamp_delta, int64_t offset_delta, bytes key,
                      bytes value, list headers) except -1:
    cdef bytes name, content
    cdef Py_ssize_t length = (
        1 + varint_size(timestamp_delta) + varint_size(offset_delta) + field_size(key)
        + field_size(value) + varint_size(len(headers)))
    for name, content in headers:
        length += field_size(name) + field_size(content)
    out.reserve(length + varint_size(length))
    out.varint(length)
    out.data[out.size] = 0  # attributes
    out.size += 1
    out.varint(timestamp_delta)
    out.varint(offset_delta)
    out.field(key)
    out.field(value)
    out.varint(len(headers))
    for name, content in headers:
        out.field(name)
        out.field(content)
    return 0


cdef void write_header(Buffer out, int64_t base_offset, int64_t base_timestamp,
                       int64_t max_timestamp, int64_t last_delta, int64_t count) noexcept:
    """The header of a plain batch that no idempotent producer sent; ``finished`` does the rest."""
    cdef uint8_t* start = out.data
    store64(start + AT_BASE_OFFSET, <uint64_t>base_offset)
    store32(start + AT_LEADER_EPOCH, 0)
    start[AT_MAGIC] = MAGIC
    store16(start + AT_ATTRIBUTES, 0)
    store32(start + AT_LAST_OFFSET_DELTA, <uint32_t>last_delta)
    store64(start + AT_BASE_TIMESTAMP, <uint64_t>base_timestamp)
    store64(start + AT_MAX_TIMESTAMP, <uint64_t>max_timestamp)
    store64(start + AT_PRODUCER_ID, <uint64_t>-1)
    store16(start + AT_PRODUCER_EPOCH, -1)
    store32(start + AT_BASE_SEQUENCE, <uint32_t>-1)
    store32(start + AT_RECORD_COUNT, <uint32_t>count)


cdef bytes finished(Buffer out):
    """``out``, header and records in place, compressed and with its length and checksum."""
    cdef int codec = out.data[AT_ATTRIBUTES + 1] & COMPRESSION_BITS
    cdef bytes section
    if codec:
        section = compress(codec, out.data[AT_RECORDS:out.size])
        out.size = AT_RECORDS
        out.reserve(len(section))
        out.raw(PyBytes_AS_STRING(section), len(section))
    if out.size > INT32_MAX:
        raise MessageTooLargeError("a batch has at most 2 GiB")
    store32(out.data + AT_LENGTH, <uint32_t>(out.size - LENGTH_COUNTS_FROM))
    store32(out.data + AT_CRC, checksum(out.data, out.size))
    return out.data[:out.size]


def encode(records not None, *, int64_t base_offset=0, int64_t producer_id=-1,
           int16_t producer_epoch=-1, int32_t base_sequence=-1, int16_t attributes=0,
           offset_deltas=None):
    """A batch of ``records``: (timestamp in ms, key, value, headers), one offset after another.

    ``offset_deltas`` places them elsewhere, rising from ``base_offset``; ``attributes`` are the
    format's own, its compression codec among them.

    Raises:
        MessageTooLargeError: beyond what the format can hold.
        UnsupportedCompressionError: a codec that does not exist.
    """
    cdef Buffer out = Buffer.__new__(Buffer)
    cdef int64_t timestamp, delta = -1, base_timestamp = 0, max_timestamp = 0
    cdef Py_ssize_t index = 0
    cdef uint8_t* start
    if not records:
        raise ValueError("a batch has records")
    out.reserve(4 * AT_RECORDS)
    out.size = AT_RECORDS
    for timestamp, key, value, headers in records:
        if index == 0:
            base_timestamp = max_timestamp = timestamp
        max_timestamp = max(max_timestamp, timestamp)
        delta = index if offset_deltas is None else offset_deltas[index]
        write_record(out, minus(timestamp, base_timestamp), delta, key, value,
                     header_fields(headers) if headers else [])
        index += 1
    write_header(out, base_offset, base_timestamp, max_timestamp, delta, index)
    start = out.data
    store16(start + AT_ATTRIBUTES, attributes)
    store64(start + AT_PRODUCER_ID, <uint64_t>producer_id)
    store16(start + AT_PRODUCER_EPOCH, producer_epoch)
    store32(start + AT_BASE_SEQUENCE, <uint32_t>base_sequence)
    return finished(out)


def keep(const uint8_t[::1] batch not None, flags not None):
    """The batch with only those records whose flag is true; offsets and sequences stay as they are.

    ``flags`` has one entry per record. A batch that loses all its records still has its offsets.

    Raises:
        CorruptBatchError: not one whole batch of whole records.
    """
    cdef Buffer out = Buffer.__new__(Buffer)
    cdef const char* fault = "there is no batch"
    cdef const uint8_t* at
    cdef const uint8_t* end
    cdef int64_t timestamp, max_timestamp = -1
    cdef int32_t kept = 0
    cdef Record record
    if batch.shape[0]:
        fault = batch_fault(&batch[0], batch.shape[0], True)
    if fault != NULL:
        raise corrupt(fault, 0)
    cdef bytes inside = records_of(&batch[0], MAX_DECOMPRESSED_BYTES)
    at = <const uint8_t*>PyBytes_AS_STRING(inside)
    end = at + len(inside)
    out.reserve(AT_RECORDS + len(inside))
    out.raw(&batch[0], AT_RECORDS)
    for flag in flags:
        fault = read_record(&at, end, &record)
        if fault != NULL:
            raise corrupt(fault, 0)
        if flag:
            timestamp = plus(<int64_t>load64(&batch[AT_BASE_TIMESTAMP]), record.timestamp_delta)
            max_timestamp = timestamp if kept == 0 else max(max_timestamp, timestamp)
            out.raw(record.start, at - record.start)
            kept += 1
    store32(out.data + AT_RECORD_COUNT, <uint32_t>kept)
    if kept == 0:
        out.data[AT_ATTRIBUTES + 1] &= ~COMPRESSION_BITS & 0xFF
    elif not out.data[AT_ATTRIBUTES + 1] & APPEND_TIME_BIT:
        store64(out.data + AT_MAX_TIMESTAMP, <uint64_t>max_timestamp)
    return finished(out)
