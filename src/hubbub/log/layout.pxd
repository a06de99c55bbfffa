"""RecordBatch v2 in C: where its fields stand, how numbers are written, what a good header is."""

from libc.stdint cimport (
    INT32_MAX, INT64_MAX, int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
)

from hubbub.log.hashing cimport crc32c_update

# Where each field of the header stands.
cdef enum:
    AT_BASE_OFFSET = 0
    AT_LENGTH = 8
    AT_LEADER_EPOCH = 12
    AT_MAGIC = 16
    AT_CRC = 17
    AT_ATTRIBUTES = 21
    AT_LAST_OFFSET_DELTA = 23
    AT_BASE_TIMESTAMP = 27
    AT_MAX_TIMESTAMP = 35
    AT_PRODUCER_ID = 43
    AT_PRODUCER_EPOCH = 51
    AT_BASE_SEQUENCE = 53
    AT_RECORD_COUNT = 57
    AT_RECORDS = 61

cdef enum:
    LENGTH_COUNTS_FROM = 12  # the length field leaves itself and the base offset out
    MAGIC = 2
    COMPRESSION_BITS = 0x07
    APPEND_TIME_BIT = 0x08
    TRANSACTIONAL_BIT = 0x10
    CONTROL_BIT = 0x20
    # Length, attributes, two deltas, key length, value length and header count: a byte each.
    SMALLEST_RECORD = 7
    SMALLEST_HEADER = 2


cdef inline uint32_t load32(const uint8_t* at) noexcept nogil:
    return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]


cdef inline uint64_t load64(const uint8_t* at) noexcept nogil:
    return (<uint64_t>load32(at) << 32) | load32(at + 4)


cdef inline int16_t load16(const uint8_t* at) noexcept nogil:
    return <int16_t>((at[0] << 8) | at[1])


cdef inline void store16(uint8_t* at, int16_t value) noexcept nogil:
    at[0] = <uint8_t>(value >> 8)
    at[1] = <uint8_t>value


cdef inline void store32(uint8_t* at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t>(value >> 24)
    at[1] = <uint8_t>(value >> 16)
    at[2] = <uint8_t>(value >> 8)
    at[3] = <uint8_t>value


cdef inline void store64(uint8_t* at, uint64_t value) noexcept nogil:
    store32(at, <uint32_t>(value >> 32))
    store32(at + 4, <uint32_t>value)


cdef inline int64_t plus(int64_t first, int64_t second) noexcept nogil:
    """The sum; timestamps are any 64 bits, so it wraps, as Java's does."""
    return <int64_t>(<uint64_t>first + <uint64_t>second)


cdef inline int64_t minus(int64_t first, int64_t second) noexcept nogil:
    """The difference, wrapping likewise."""
    return <int64_t>(<uint64_t>first - <uint64_t>second)


cdef inline bint read_varint(const uint8_t** at, const uint8_t* end, int64_t* value) noexcept nogil:
    """Read a zigzag varint of at most 64 bits and move ``at`` behind it; false if there is none."""
    cdef const uint8_t* byte = at[0]
    cdef uint64_t bits = 0
    cdef int shift = 0
    while byte < end and shift < 64:
        bits |= <uint64_t>(byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            at[0] = byte + 1
            value[0] = <int64_t>((bits >> 1) ^ (~(bits & 1) + 1))
            return True
        byte += 1
        shift += 7
    return False


cdef inline bint read_bytes(const uint8_t** at, const uint8_t* end, const uint8_t** start,
                            int64_t* size) noexcept nogil:
    """Read a length, -1 for none, and that many bytes; false if they are not there."""
    if not read_varint(at, end, size) or size[0] < -1 or size[0] > end - at[0]:
        return False
    start[0] = at[0]
    if size[0] > 0:
        at[0] += size[0]
    return True


cdef inline Py_ssize_t varint_size(int64_t value) noexcept nogil:
    cdef uint64_t bits = (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)
    cdef Py_ssize_t size = 1
    while bits >= 0x80:
        bits >>= 7
        size += 1
    return size


cdef inline int64_t batch_size(const uint8_t* batch) noexcept nogil:
    return <int64_t><int32_t>load32(batch + AT_LENGTH) + LENGTH_COUNTS_FROM


cdef inline uint32_t checksum(const uint8_t* batch, int64_t size) noexcept nogil:
    return crc32c_update(0, batch + AT_ATTRIBUTES, <size_t>(size - AT_ATTRIBUTES))


cdef inline const char* header_fault(const uint8_t* batch) noexcept nogil:
    """What is wrong with the fixed fields of a header that is all there, or NULL."""
    cdef int64_t base_offset = <int64_t>load64(batch + AT_BASE_OFFSET)
    cdef int64_t size = batch_size(batch)
    cdef int32_t count = <int32_t>load32(batch + AT_RECORD_COUNT)
    cdef int32_t last_delta = <int32_t>load32(batch + AT_LAST_OFFSET_DELTA)
    if batch[AT_MAGIC] != MAGIC:
        return "the magic byte is not 2"
    if size < AT_RECORDS:
        return "the length is too small"
    # An offset may grow by a whole batch without overflow.
    if base_offset < 0 or base_offset > INT64_MAX - <int64_t>INT32_MAX - 1:
        return "the base offset is out of range"
    if last_delta < 0 or count < 0 or count > <int64_t>last_delta + 1:
        return "the record count does not fit the last offset delta"
    if (not batch[AT_ATTRIBUTES + 1] & COMPRESSION_BITS
            and <int64_t>count * SMALLEST_RECORD > size - AT_RECORDS):
        return "the record count is larger than the batch"
    return NULL


cdef inline const char* batch_fault(
    const uint8_t* batch, Py_ssize_t left, bint check_crc
) noexcept nogil:
    """What is wrong with the batch that starts here, ``left`` bytes before the end, or NULL."""
    cdef const char* fault
    if left < AT_RECORDS:
        return "the header ends early"
    fault = header_fault(batch)
    if fault != NULL:
        return fault
    if batch_size(batch) > left:
        return "the batch ends early"
    if check_crc and checksum(batch, batch_size(batch)) != load32(batch + AT_CRC):
        return "the checksum does not match"
    return NULL


cdef inline int64_t next_offset(const uint8_t* batch) noexcept nogil:
    return (<int64_t>load64(batch + AT_BASE_OFFSET)
            + <int32_t>load32(batch + AT_LAST_OFFSET_DELTA) + 1)
