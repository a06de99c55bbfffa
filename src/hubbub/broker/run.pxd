"""Messages in the making: borrowed from what a publisher's socket received, and never copied."""

from libc.stdint cimport int64_t, uint8_t

from hubbub.broker.outbox cimport Outbox
from hubbub.broker.routes cimport NameCache, Route


cdef struct View:
    void* route             # a Route, which the burst holds
    const uint8_t* value
    Py_ssize_t value_size   # -1: none (Kafka's tombstone)
    const uint8_t* key
    Py_ssize_t key_size     # -1: none
    const uint8_t* reply    # what else the message has, as its publisher's protocol writes it
    Py_ssize_t reply_size
    const uint8_t* headers
    Py_ssize_t headers_size
    int64_t timestamp_ms
    int qos                 # how sure its publisher wants to be of each delivery, a QoS as below


cdef enum:
    # MQTT's words: a receiver gets what it asks for, and no more than the publisher did. Protocols
    # that have no word for it leave it to the receiver.
    AT_MOST_ONCE = 0
    EXACTLY_ONCE = 2


cdef inline bint is_plain(const View* view) noexcept:
    """Whether the message is all in address, key, value and time."""
    return view.reply_size == 0 and view.headers_size == 0


cdef object value_of(const View* view)
cdef object key_of(const View* view)


cdef class Origin:
    cdef object message(self, const View* view)
    cdef bytes mark(self, const View* view, object source)


cdef class Burst:
    cdef View* views
    cdef Py_ssize_t count
    cdef Py_ssize_t _room
    cdef int64_t _timestamp_ms
    cdef list _routes       # what keeps the routes of the views
    cdef Route _last
    cdef const uint8_t* _name       # how the last view's publisher spelled its address
    cdef Py_ssize_t _name_size
    cdef bint special
    cdef bint kept
    cdef readonly Origin origin
    cdef readonly object source

    cdef int begin(self, object source, int64_t timestamp_ms) except -1
    cdef View* add(self, Route route) except NULL
    cdef View* add_named(self, NameCache names, const uint8_t* name, Py_ssize_t size) except NULL
    cdef Run run(self, Py_ssize_t first, Py_ssize_t count)


cdef class Run:
    cdef View* views
    cdef readonly Py_ssize_t count
    cdef bint special       # whether a message of it may have to be stored or refused
    cdef bint kept          # whether an observer may store one
    cdef readonly Origin origin
    cdef readonly object source
    cdef View* _owned       # where the views are this run's own
    cdef Route _route       # likewise what keeps the route of its view
    cdef list _messages     # as objects, once an observer needs them
    cdef dict _notes
    cdef dict _rendered
    cdef Py_ssize_t _rendered_bytes
    cdef set stores         # what observers keep it in; None where nobody waits for that
    cdef Style _last_style
    cdef bytes _last

    cdef bytes rendered(self, Style style)
    cdef object note(self, object key)
    cdef object take_note(self, object key, object what)
    cdef int stored_in(self, object durable) except -1
    cdef Run slice(self, Py_ssize_t first, Py_ssize_t count)
    cdef Run picked(self, list indexes)


cdef class Style:
    cdef object __weakref__
    cdef bytes render(self, Run run)


cdef class RunObserver:
    cdef object __weakref__
    cdef readonly Outbox outbox     # where what it takes ends up, if that is one connection
    cdef readonly bint keeps        # whether it may store what it takes (``Run.stored_in``)
    cdef Py_ssize_t room(self, Run run) except -1
    cdef int take(self, Run run) except -1


cdef Run run_of(Route route, object message, int qos=*)
cdef Route unrouted(str address)
