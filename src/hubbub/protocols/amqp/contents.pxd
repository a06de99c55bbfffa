from libc.stdint cimport int64_t, uint8_t, uint64_t

from hubbub.broker.dispatch cimport Dispatcher
from hubbub.broker.routes cimport NameCache, Route
from hubbub.broker.run cimport Burst


cdef struct Basic:
    # What the broker itself reads of the properties of a content (class basic, section 1.8.1).
    bint is_persistent
    int priority
    int64_t expiration_ms           # -1: none
    const uint8_t* headers          # a field table behind its size
    Py_ssize_t headers_size         # -1: none
    const uint8_t* reply_to
    Py_ssize_t reply_to_size        # -1: none
    const uint8_t* user_id
    Py_ssize_t user_id_size         # -1: none


cdef class AmqpPublisher:
    cdef readonly Dispatcher dispatcher
    cdef readonly Burst burst
    cdef readonly object inward
    cdef list _items
    cdef list _places
    cdef readonly Py_ssize_t unfinished     # bytes that clients have us hold, see ``hold``

    cpdef int hold(self, Py_ssize_t size) except -1
    cdef int begin(self, object source) except -1
    cdef int flush(self, str principal) except -1


cdef class ContentReader:
    cdef readonly int number
    cdef readonly AmqpPublisher publisher
    cdef public bint confirming         # confirm.select
    cdef public bint in_transaction     # tx.select
    cdef public bint is_closing         # channel.close was sent; all but its answer is ignored
    cdef readonly uint64_t published    # since confirm.select, which is the last delivery tag
    cdef uint64_t _confirmed            # handed to ``confirm``
    cdef int _expects
    cdef bytes _method                  # basic.publish as it came last, and what it says:
    cdef bytes _routing                 # exchange and routing key
    cdef bytes _exchange_name
    cdef bytes _key
    cdef bint _mandatory
    cdef object _exchange
    cdef NameCache _names
    cdef bytes _properties
    cdef Basic _basic
    cdef Py_ssize_t _size
    cdef bytearray _body
    cdef readonly Py_ssize_t max_message_size
    cdef dict _stored                   # as keys, where this burst's persistent messages are
    cdef dict _refused                  # delivery tag -> why

    cdef int expect_method(self) except -1
    cdef int publish_method(self, const uint8_t* arguments, Py_ssize_t size) except -1
    cdef int header(self, const uint8_t* payload, Py_ssize_t size) except -1
    cdef int body(self, const uint8_t* payload, Py_ssize_t size) except -1
    cpdef int drop_content(self) except -1
    cdef int _complete(self, bytes body) except -1
    cpdef int stored_in(self, durable) except -1
    cdef Route _common_route(self)
    cdef int _put(self, object item, tuple queues, Route route, uint64_t tag) except -1
    cdef int _cross(self, object item, Route route, uint64_t tag) except? -1
    cdef int finish(self) except -1


cdef int scan(bytes properties, Basic* found) except -1
