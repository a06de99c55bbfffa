"""Numbers in network byte order (AMQP 0-9-1 section 4.2.5.1), and the frame around all else."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef enum:
    FRAME_METHOD = 1
    FRAME_HEADER = 2
    FRAME_BODY = 3
    FRAME_HEARTBEAT = 8
    FRAME_END = 0xCE
    FRAME_HEAD_BYTES = 7    # type, channel, size
    FRAME_BYTES = 8         # and the octet at the end


cdef inline uint16_t get_short(const uint8_t* at) noexcept nogil:
    return <uint16_t>(at[0] << 8 | at[1])


cdef inline uint32_t get_long(const uint8_t* at) noexcept nogil:
    return (<uint32_t>at[0] << 24) | (<uint32_t>at[1] << 16) | (<uint32_t>at[2] << 8) | at[3]


cdef inline uint64_t get_longlong(const uint8_t* at) noexcept nogil:
    return (<uint64_t>get_long(at) << 32) | get_long(at + 4)


cdef inline uint8_t* put_short(uint8_t* at, uint16_t value) noexcept nogil:
    at[0], at[1] = <uint8_t>(value >> 8), <uint8_t>value
    return at + 2


cdef inline uint8_t* put_long(uint8_t* at, uint32_t value) noexcept nogil:
    at[0], at[1] = <uint8_t>(value >> 24), <uint8_t>(value >> 16)
    at[2], at[3] = <uint8_t>(value >> 8), <uint8_t>value
    return at + 4


cdef inline uint8_t* put_longlong(uint8_t* at, uint64_t value) noexcept nogil:
    return put_long(put_long(at, <uint32_t>(value >> 32)), <uint32_t>value)


cdef inline uint8_t* put_frame_head(uint8_t* at, uint8_t kind, uint16_t channel,
                                    uint32_t size) noexcept nogil:
    at[0] = kind
    return put_long(put_short(at + 1, channel), size)
