from libc.stdint cimport int64_t, uint8_t


cdef struct Record:
    const uint8_t* start  # its length field
    int64_t timestamp_delta
    int64_t offset_delta
    const uint8_t* key
    int64_t key_size  # -1: none
    const uint8_t* value
    int64_t value_size  # -1: none
    const uint8_t* headers
    int64_t header_count


cdef class Buffer:
    cdef uint8_t* data
    cdef Py_ssize_t size
    cdef Py_ssize_t room

    cdef int reserve(self, Py_ssize_t more) except -1
    cdef void varint(self, int64_t value) noexcept
    cdef void raw(self, const void* start, Py_ssize_t size) noexcept
    cdef void field(self, bytes value) noexcept


cdef const char* read_record(const uint8_t** at, const uint8_t* end, Record* record) noexcept nogil
cdef bytes records_of(const uint8_t* batch, Py_ssize_t max_decompressed)
cdef tuple headers_of(const uint8_t* at, const uint8_t* end)
cdef list header_fields(object headers)
cdef int write_record(Buffer out, int64_t timestamp_delta, int64_t offset_delta, bytes key,
                      bytes value, list headers) except -1
cdef void write_header(Buffer out, int64_t base_offset, int64_t base_timestamp,
                       int64_t max_timestamp, int64_t last_delta, int64_t count) noexcept
cdef bytes finished(Buffer out)
