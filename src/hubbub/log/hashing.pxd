from libc.stdint cimport int32_t, uint8_t, uint32_t

cdef uint32_t crc32c_update(uint32_t value, const uint8_t* data, size_t size) noexcept nogil
cdef int32_t murmur2_of(const uint8_t* data, size_t size) noexcept nogil
