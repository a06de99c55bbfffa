# cython: language_level=3, boundscheck=False, wraparound=False
"""Record batches from borrowed messages, one record after another."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport INT32_MAX

from hubbub.log.batch cimport finished, header_fields, write_header, write_record
from hubbub.log.layout cimport AT_RECORDS, minus, varint_size

from hubbub.model.errors import MessageTooLargeError

cdef enum:
    # Length, attributes, two deltas, both lengths and the header count, each as long as it can be.
    LONGEST_FRAME = 10 + 1 + 10 + 5 + 10 + 10 + 5


def record_room(Py_ssize_t key_size, Py_ssize_t value_size):
    return AT_RECORDS + LONGEST_FRAME + max(key_size, 0) + max(value_size, 0)


def encode_headers(headers not None):
    cdef Buffer out = Buffer.__new__(Buffer)
    cdef list fields = header_fields(headers)
    cdef bytes name, content
    out.reserve(LONGEST_FRAME + sum([
        len(name) + (len(content) if content is not None else 0) + LONGEST_FRAME
        for name, content in fields]))
    out.varint(len(fields))
    for name, content in fields:
        out.field(name)
        out.field(content)
    return out.data[:out.size]


cdef class BatchBuilder:

    def __init__(self, int64_t timestamp_ms):
        self._out = Buffer.__new__(Buffer)
        self._out.reserve(4 * AT_RECORDS)
        self._out.size = self.size = AT_RECORDS
        self._timestamp = self._max_timestamp = timestamp_ms

    cdef int add(self, int64_t timestamp_ms, const uint8_t* key, Py_ssize_t key_size,
                 const uint8_t* value, Py_ssize_t value_size, bytes headers) except -1:
        """Add a record, with what ``encode_headers`` made; a size of -1 stands for none."""
        cdef Buffer out = self._out
        cdef int64_t later = minus(timestamp_ms, self._timestamp)
        cdef Py_ssize_t length = (
            1 + varint_size(later) + varint_size(self.count)
            + varint_size(key_size) + max(key_size, 0)
            + varint_size(value_size) + max(value_size, 0) + len(headers))
        out.reserve(length + LONGEST_FRAME)
        out.varint(length)
        out.data[out.size] = 0  # attributes
        out.size += 1
        out.varint(later)
        out.varint(self.count)
        out.varint(key_size)
        if key_size > 0:
            out.raw(key, key_size)
        out.varint(value_size)
        if value_size > 0:
            out.raw(value, value_size)
        out.raw(PyBytes_AS_STRING(headers), len(headers))
        return self._added(timestamp_ms)

    def add_parts(self, int64_t timestamp_ms, bytes key, bytes value, headers):
        write_record(self._out, minus(timestamp_ms, self._timestamp), self.count, key, value,
                     header_fields(headers))
        self._added(timestamp_ms)

    def finish(self):
        write_header(self._out, 0, self._timestamp, self._max_timestamp, self.count - 1, self.count)
        return finished(self._out)

    cdef int _added(self, int64_t timestamp_ms) except -1:
        self._max_timestamp = max(self._max_timestamp, timestamp_ms)
        self.count += 1
        self.size = self._out.size
        if self.size > INT32_MAX:
            raise MessageTooLargeError("a batch has at most 2 GiB")
        return 0
