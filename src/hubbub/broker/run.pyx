# cython: language_level=3, boundscheck=False, wraparound=False
"""Bursts of messages as they were received, and the runs of them that observers take."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp

from hubbub.model.message import Message

# Renderings of one run that are kept for its other observers. A run may be rendered differently for
# each of thousands, and large ones must not be held once for each.
MAX_RENDERED_BYTES = 4 * 1024 * 1024

cdef Py_ssize_t RENDERED_LIMIT = MAX_RENDERED_BYTES


cdef object value_of(const View* view):
    if view.value_size < 0:
        return None
    return PyBytes_FromStringAndSize(<const char*>view.value, view.value_size)


cdef object key_of(const View* view):
    if view.key_size < 0:
        return None
    return PyBytes_FromStringAndSize(<const char*>view.key, view.key_size)


cdef class Origin:

    cdef object message(self, const View* view):
        """The message as an object."""
        return Message((<Route>view.route).address, value_of(view), key_of(view), (),
                       view.timestamp_ms)

    cdef bytes mark(self, const View* view, object source):
        """What its protocol wants back with the message that no other protocol has, or nothing."""
        return b""


cdef class Burst:

    def __init__(self, Origin origin not None):
        self.origin = origin
        self._routes = []

    def __dealloc__(self):
        free(self.views)

    def __len__(self):
        return self.count

    def put(self, Route route not None, bytes value not None):
        cdef View* view = self.add(route)
        view.value = <const uint8_t*>PyBytes_AS_STRING(value)
        view.value_size = PyBytes_GET_SIZE(value)

    cdef int begin(self, object source, int64_t timestamp_ms) except -1:
        """Empty the burst, for messages that ``source`` publishes now."""
        self.count = 0
        self._routes.clear()
        self._last = None
        self._name_size = -1
        self.special = self.kept = False
        self.source = source
        self._timestamp_ms = timestamp_ms
        return 0

    cdef View* add(self, Route route) except NULL:
        """A view for the caller to fill, of a message without key, reply and headers."""
        cdef View* views
        cdef View* view
        cdef Py_ssize_t room
        if self.count == self._room:
            room = max(self._room * 2, <Py_ssize_t>16)
            views = <View*>realloc(self.views, room * sizeof(View))
            if views == NULL:
                raise MemoryError
            self.views, self._room = views, room
        if route is not self._last:
            self._routes.append(route)
            self._last = route
            self._name_size = -1
            self.special |= route.special
            self.kept |= route.kept
        view = &self.views[self.count]
        self.count += 1
        view.route = <void*>route
        view.key_size = -1
        view.reply_size = view.headers_size = 0
        view.timestamp_ms = self._timestamp_ms
        view.qos = EXACTLY_ONCE
        return view

    cdef View* add_named(self, NameCache names, const uint8_t* name, Py_ssize_t size) except NULL:
        """As ``add``, to the address of this name. Raises InvalidAddressError."""
        cdef View* view
        if size == self._name_size and memcmp(name, self._name, size) == 0:
            return self.add(self._last)
        view = self.add(names.route(name, size))
        self._name = name
        self._name_size = size
        return view

    cdef Run run(self, Py_ssize_t first, Py_ssize_t count):
        """The run of these views."""
        cdef Run run = part(self.views + first, count, self.origin, self.source)
        run.special = self.special
        run.kept = self.kept
        return run


cdef Run part(View* views, Py_ssize_t count, Origin origin, object source):
    """The run of views that somebody else holds."""
    cdef Run run = Run.__new__(Run)
    run.views = views
    run.count = count
    run.origin = origin
    run.source = source
    return run


cdef class Run:

    def __dealloc__(self):
        free(self._owned)

    def messages(self):
        cdef Py_ssize_t index
        if self._messages is None:
            self._messages = [
                self.origin.message(&self.views[index])
                for index in range(self.count)
            ]
        return self._messages

    cdef bytes rendered(self, Style style):
        """The run in this style, made only once."""
        if style is self._last_style:
            return self._last
        found = self._rendered.get(style) if self._rendered is not None else None
        if found is None:
            found = style.render(self)
            # The first style needs no table: most runs are wanted in one only.
            if self._last_style is not None:
                if self._rendered is None:
                    self._rendered = {self._last_style: self._last}
                    self._rendered_bytes = PyBytes_GET_SIZE(self._last)
                self._rendered_bytes += PyBytes_GET_SIZE(<bytes>found)
                if self._rendered_bytes > RENDERED_LIMIT:
                    self._rendered.clear()
                    self._rendered_bytes = PyBytes_GET_SIZE(<bytes>found)
                self._rendered[style] = found
        self._last_style = style
        self._last = <bytes>found
        return self._last

    cdef object note(self, object key):
        """What ``take_note`` was given under this key, or None."""
        return None if self._notes is None else self._notes.get(key)

    cdef object take_note(self, object key, object what):
        """Keep something that several styles need, for as long as the run is."""
        if self._notes is None:
            self._notes = {}
        self._notes[key] = what
        return what

    cdef int stored_in(self, object durable) except -1:
        """An observer keeps what it took in there: its publisher waits for that as for topics."""
        if self.stores is not None:
            self.stores.add(durable)
        return 0

    cdef Run slice(self, Py_ssize_t first, Py_ssize_t count):
        """Some of the messages, valid as long as this run is."""
        cdef Run run = part(self.views + first, count, self.origin, self.source)
        run.stores = self.stores
        return run

    cdef Run picked(self, list indexes):
        """The messages at these places, valid as long as this run is."""
        cdef Run run = self.slice(0, 0)
        cdef Py_ssize_t at = 0, index
        own_views(run, len(indexes))
        for index in indexes:
            run.views[at] = self.views[index]
            at += 1
        return run


cdef class Style:

    cdef bytes render(self, Run run):
        raise TypeError("a style says what it looks like")


cdef class RunObserver:

    @property
    def subscriber(self):
        raise TypeError("an observer says who it is")

    cdef Py_ssize_t room(self, Run run) except -1:
        """How many messages of the run it would take now."""
        return run.count

    cdef int take(self, Run run) except -1:
        """Take the run in, and nothing of it after returning; what goes wrong is its own affair."""
        raise TypeError("an observer takes messages in")

    def observe(self, message):
        self.take(run_of(unrouted(message.address), message))


cdef Route unrouted(str address):
    """A route that leads nowhere, for a message whose observers are known otherwise."""
    cdef Route route = Route.__new__(Route)
    route.address = address
    return route


cdef class _Given(Origin):
    """Of a message that is an object already: that has everything."""

    cdef object _message

    cdef object message(self, const View* view):
        return self._message


cdef Run run_of(Route route, object message, int qos=EXACTLY_ONCE):
    """The run of one message that is an object, on the way to where ``route`` says."""
    cdef Run run = Run.__new__(Run)
    cdef _Given origin = _Given.__new__(_Given)
    cdef View* view = own_views(run, 1)
    cdef bytes value = message.value, key = message.key
    origin._message = message
    run.origin = origin
    run._messages = [message]
    run._route = route
    run.special = route.special
    run.kept = route.kept
    view.route = <void*>route
    view.value = NULL if value is None else <const uint8_t*>PyBytes_AS_STRING(value)
    view.value_size = -1 if value is None else PyBytes_GET_SIZE(value)
    view.key = NULL if key is None else <const uint8_t*>PyBytes_AS_STRING(key)
    view.key_size = -1 if key is None else PyBytes_GET_SIZE(key)
    view.reply = view.headers = NULL
    view.reply_size = 0
    view.timestamp_ms = message.timestamp_ms
    view.qos = qos
    # Only the origin looks at these bytes; all others ask whether there are any.
    view.headers_size = has_more(message)
    return run


cdef bint has_more(object message) except -1:
    """Whether a message has something besides address, key, value and time."""
    return bool(
        message.headers or message.reply_to is not None or message.message_id is not None
        or message.content_type is not None or message.correlation_id is not None
        or message.expiry_ms is not None)


cdef View* own_views(Run run, Py_ssize_t count) except NULL:
    """Views that belong to the run alone, for the caller to fill."""
    run._owned = run.views = <View*>calloc(count, sizeof(View))
    if run._owned == NULL:
        raise MemoryError
    run.count = count
    return run.views
