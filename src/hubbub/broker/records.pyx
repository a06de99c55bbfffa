# cython: language_level=3, boundscheck=False, wraparound=False
"""The records of a stored batch as a burst, so that others get what Kafka produces uncopied."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int32_t

from hubbub.broker.run cimport View, key_of, value_of
from hubbub.log.batch cimport Record, headers_of, read_record, records_of
from hubbub.log.layout cimport (
    APPEND_TIME_BIT, AT_ATTRIBUTES, AT_BASE_TIMESTAMP, AT_MAX_TIMESTAMP, AT_RECORD_COUNT,
    load32, load64, plus,
)

from hubbub.log.compression import MAX_DECOMPRESSED_BYTES
from hubbub.log.records import message_of
from hubbub.model.errors import CorruptBatchError


cdef enum:
    # As with other publishes: a rendering of them fits a processor's cache.
    MOST_IN_BURST = 2048


cdef class RecordOrigin(Origin):
    """Headers stand in a view as they do in a record."""

    cdef object message(self, const View* view):
        headers = ()
        if view.headers_size:
            headers = headers_of(view.headers, view.headers + view.headers_size)
        return message_of((<Route>view.route).address, view.timestamp_ms, key_of(view),
                          value_of(view), headers)


cdef class RecordReader:
    """The records of one batch that was checked, a burst at a time.

    However many they are: compression lets a batch of a megabyte hold a million.
    """

    def __init__(self, bytes batch not None):
        cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(batch)
        self._inside = records_of(start, MAX_DECOMPRESSED_BYTES)
        self._at = <const uint8_t*>PyBytes_AS_STRING(self._inside)
        self._end = self._at + len(self._inside)
        self._left = <int32_t>load32(start + AT_RECORD_COUNT)
        self._base_timestamp = <int64_t>load64(start + AT_BASE_TIMESTAMP)
        self._max_timestamp = <int64_t>load64(start + AT_MAX_TIMESTAMP)
        self._append_time = start[AT_ATTRIBUTES + 1] & APPEND_TIME_BIT

    cdef bint fill(self, Burst burst, Route route) except -1:
        """Put the next records into the burst, emptied before; whether there were any.

        They are borrowed from the reader. Raises: CorruptBatchError, where it was not checked.
        """
        cdef const char* fault
        cdef const uint8_t* at = self._at
        cdef Record record
        cdef View* view
        burst.begin(None, self._max_timestamp)
        while self._left and burst.count < MOST_IN_BURST:
            fault = read_record(&at, self._end, &record)
            if fault != NULL:
                raise CorruptBatchError(fault.decode())
            view = burst.add(route)
            if not self._append_time:
                view.timestamp_ms = plus(self._base_timestamp, record.timestamp_delta)
            view.key, view.key_size = record.key, record.key_size
            view.value, view.value_size = record.value, record.value_size
            view.headers = record.headers
            view.headers_size = at - record.headers
            self._left -= 1
        self._at = at
        return burst.count > 0
