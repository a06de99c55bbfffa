# cython: language_level=3, boundscheck=False, wraparound=False
"""The records of a stored batch as a burst, so that others get what Kafka produces uncopied."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int32_t, int64_t, uint8_t

from hubbub.broker.run cimport View, key_of, value_of
from hubbub.log.batch cimport Record, headers_of, read_record, records_of
from hubbub.log.layout cimport (
    APPEND_TIME_BIT, AT_ATTRIBUTES, AT_BASE_TIMESTAMP, AT_MAX_TIMESTAMP, AT_RECORD_COUNT,
    load32, load64, plus,
)

from hubbub.log.compression import MAX_DECOMPRESSED_BYTES
from hubbub.log.records import message_of
from hubbub.model.errors import CorruptBatchError


cdef class RecordOrigin(Origin):
    """Headers stand in a view as they do in a record."""

    cdef object message(self, const View* view):
        headers = ()
        if view.headers_size:
            headers = headers_of(view.headers, view.headers + view.headers_size)
        return message_of((<Route>view.route).address, view.timestamp_ms, key_of(view),
                          value_of(view), headers)


cdef object fill(Burst burst, Route route, bytes batch):
    """Put the records of one checked batch into the burst; what they point into, for the caller.

    Raises: CorruptBatchError, where it was not checked.
    """
    cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(batch)
    cdef bytes inside = records_of(start, MAX_DECOMPRESSED_BYTES)
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(inside)
    cdef const uint8_t* end = at + len(inside)
    cdef int64_t base_timestamp = <int64_t>load64(start + AT_BASE_TIMESTAMP)
    cdef int64_t max_timestamp = <int64_t>load64(start + AT_MAX_TIMESTAMP)
    cdef bint append_time = start[AT_ATTRIBUTES + 1] & APPEND_TIME_BIT
    cdef const char* fault
    cdef Record record
    cdef View* view
    burst.begin(None, max_timestamp)
    for _ in range(<int32_t>load32(start + AT_RECORD_COUNT)):
        fault = read_record(&at, end, &record)
        if fault != NULL:
            raise CorruptBatchError(fault.decode())
        view = burst.add(route)
        view.timestamp_ms = (
            max_timestamp if append_time else plus(base_timestamp, record.timestamp_delta))
        view.key, view.key_size = record.key, record.key_size
        view.value, view.value_size = record.value, record.value_size
        view.headers = record.headers
        view.headers_size = at - record.headers
    return inside
