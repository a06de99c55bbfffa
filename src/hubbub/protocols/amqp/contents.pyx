# cython: language_level=3, boundscheck=False, wraparound=False
"""Contents: basic.publish, its header and its body, which come in frames of their own."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp, memcpy

from hubbub.broker.dispatch cimport Outcome
from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport Origin, View
from hubbub.broker.work_item cimport Item, new_item
from hubbub.broker.work_queue cimport WorkQueue
from hubbub.protocols.amqp.table_check cimport is_table
from hubbub.protocols.amqp.wire cimport FRAME_HEADER, get_long, get_longlong, get_short

from hubbub.model.errors import InvalidAddressError
from hubbub.protocols.amqp.codec import describe_frame
from hubbub.protocols.amqp.errors import (
    RESOURCE_ERROR, ConnectionFailure, access_refused, content_expected, frame_error,
    invalid_expiration, message_too_large, syntax_error, unexpected_frame)
from hubbub.protocols.amqp.tables import decode_table

cdef enum:
    # What a channel expects next.
    METHOD = 0
    HEADER = 1
    BODY = 2
    CLASS_BASIC = 60
    CONTENT_HEADER_BYTES = 12
    MANDATORY = 1
    PERSISTENT = 2      # delivery mode
    EXPIRATION_DIGITS = 18
    # A burst is published to other protocols in portions, as other listeners do it.
    MOST_IN_BURST = 1024

# What all clients of a listener may have in memory of bodies that are not whole and transactions
# that are not committed: as much as of messages in queues before publishers are held back.
UNFINISHED_MOST = 1024 * 1024 * 1024

cdef enum:
    # Property flags, from the highest bit down (section 4.2.6.1).
    CONTENT_TYPE = 1 << 15
    CONTENT_ENCODING = 1 << 14
    HEADERS = 1 << 13
    DELIVERY_MODE = 1 << 12
    PRIORITY = 1 << 11
    CORRELATION_ID = 1 << 10
    REPLY_TO = 1 << 9
    EXPIRATION = 1 << 8
    MESSAGE_ID = 1 << 7
    TIMESTAMP = 1 << 6
    TYPE = 1 << 5
    USER_ID = 1 << 4
    APP_ID = 1 << 3
    CLUSTER_ID = 1 << 2
    UNKNOWN_FLAGS = 3   # a second word of flags would follow; class basic has none


cdef class AmqpPublisher:

    def __init__(self, broker, Origin origin not None, inward):
        self.dispatcher = broker.dispatcher
        self.burst = Burst(origin)
        self.inward = inward
        self._items = []
        self._places = []

    cpdef int hold(self, Py_ssize_t size) except -1:
        if size > 0 and self.unfinished + size > UNFINISHED_MOST:
            raise ConnectionFailure(
                RESOURCE_ERROR, "too much is held of contents and transactions not finished")
        self.unfinished += size
        return 0

    cdef int begin(self, object source) except -1:
        """Empty the burst, for what ``source`` publishes now."""
        self.burst.begin(source, self.dispatcher.wall_ms())
        self._items.clear()
        self._places.clear()
        return 0

    cdef int flush(self, str principal) except -1:
        """Publish the burst to everybody else, and tell the channels what became of it."""
        cdef Outcome outcome
        cdef ContentReader channel
        if self.burst.count == 0:
            return 0
        source = self.burst.source
        outcome = self.dispatcher.publish_run(self.burst.run(0, self.burst.count), principal)
        for errors in (outcome.refused, outcome.failed):
            for index, error in errors.items():
                channel, tag = self._places[index]
                if channel._refused is None:
                    channel._refused = {}
                channel._refused[tag] = error
        if outcome.stored:
            for channel in {place[0] for place in self._places}:
                for stored in outcome.stored:
                    channel.stored_in(stored)
        self.begin(source)
        return 0


cdef class ContentReader:

    def __init__(self, int number, AmqpPublisher publisher not None, Py_ssize_t max_message_size):
        self.number = number
        self.publisher = publisher
        self.max_message_size = max_message_size

    cdef int expect_method(self) except -1:
        """Refuse a method within a content (section 4.2.6)."""
        if self._expects == HEADER:
            raise content_expected("header for class 60", "non content header frame")
        if self._expects == BODY:
            raise content_expected("body", "non content body frame")
        return 0

    cdef int publish_method(self, const uint8_t* arguments, Py_ssize_t size) except -1:
        """basic.publish: a reserved short, exchange, routing key, bits."""
        cdef Py_ssize_t at
        cdef const uint8_t* last
        if self._method is not None and PyBytes_GET_SIZE(self._method) == size:
            last = <const uint8_t*>PyBytes_AS_STRING(self._method)
            if memcmp(last, arguments, size) == 0:
                self._expects = HEADER
                return 0
        self._method = None
        if size < 5:
            raise cut_off(arguments, size)
        at = 3 + arguments[2]
        if at >= size or at + 1 + arguments[at] >= size:
            raise cut_off(arguments, size)
        self._exchange_name = arguments[3:at]
        self._key = arguments[at + 1:at + 1 + arguments[at]]
        at += 1 + arguments[at]
        self._routing = arguments[2:at]
        if arguments[at] & 2:
            self.refuse_immediate()
        self._mandatory = arguments[at] & MANDATORY
        self._exchange = None
        self._names = None
        self._method = arguments[:size]
        self._expects = HEADER
        return 0

    cdef int header(self, const uint8_t* payload, Py_ssize_t size) except -1:
        """Class, weight, body size, properties (section 4.2.6.1)."""
        cdef uint64_t body_size
        if self._expects != HEADER:
            self.expect_method()
            raise unexpected_frame("expected method frame, got non method frame instead")
        if size < CONTENT_HEADER_BYTES:
            raise frame_error(describe_frame(FRAME_HEADER, payload[:size]) + ": unknown_frame")
        if get_short(payload) != CLASS_BASIC:
            raise content_expected(
                "header for class 60", "one for class %d" % get_short(payload))
        if get_short(payload + 2):
            raise content_expected("header for class 60", "non content header frame")  # weight
        body_size = get_longlong(payload + 4)
        payload += CONTENT_HEADER_BYTES
        size -= CONTENT_HEADER_BYTES
        if (self._properties is None or PyBytes_GET_SIZE(self._properties) != size
                or memcmp(PyBytes_AS_STRING(self._properties), payload, size) != 0):
            self._properties = None
            properties = payload[:size]
            scan(properties, &self._basic)
            self._properties = properties
        if body_size > <uint64_t>self.max_message_size:
            self._expects = METHOD
            raise message_too_large(body_size, self.max_message_size)
        self._size = <Py_ssize_t>body_size
        self._body = None
        self._expects = BODY
        if self._size == 0:
            self._complete(b"")
        return 0

    cdef int body(self, const uint8_t* payload, Py_ssize_t size) except -1:
        """The next part of the body, or all of it."""
        cdef Py_ssize_t before = 0 if self._body is None else len(self._body)
        if self._expects != BODY:
            self.expect_method()
            raise unexpected_frame("expected method frame, got non method frame instead")
        if before + size > self._size:
            raise frame_error(
                "content body is longer than announced: %d of %d bytes"
                % (before + size, self._size))
        if size == self._size:
            return self._complete(PyBytes_FromStringAndSize(<const char*>payload, size))
        if self._body is None:
            self._body = bytearray()
        self.publisher.hold(size)
        self._body += payload[:size]
        if before + size == self._size:
            body = bytes(self._body)
            self.drop_content()
            return self._complete(body)
        return 0

    cpdef int drop_content(self) except -1:
        if self._body is not None:
            self.publisher.hold(-len(self._body))
            self._body = None
        return 0

    cdef int _complete(self, bytes body) except -1:
        """A message is whole."""
        cdef Item item
        cdef bytes key = self._key, properties = self._properties, mark
        cdef Basic* basic = &self._basic
        cdef dict cache
        cdef Route route
        cdef Py_ssize_t routing_size = PyBytes_GET_SIZE(self._routing)
        self._expects = METHOD
        # It may have been deleted or redeclared since the last message.
        self._exchange, self._names = self.find_exchange(self._exchange_name)
        if not self.publisher.dispatcher._open:
            self.authorise(self._exchange, key, self._properties)
        route = self._common_route()
        if basic.headers_size >= 0 or basic.reply_to_size >= 0 or basic.user_id_size >= 0:
            properties = self.special(
                properties,
                basic.user_id[:basic.user_id_size] if basic.user_id_size >= 0 else None)
        cache = self._exchange.cache
        queues = None if cache is None or basic.headers_size >= 0 else cache.get(key)
        if queues is None:
            queues = self.route(self._exchange, key, self._properties)
        mark = PyBytes_FromStringAndSize(NULL, routing_size + PyBytes_GET_SIZE(properties))
        memcpy(PyBytes_AS_STRING(mark), PyBytes_AS_STRING(self._routing), routing_size)
        memcpy(PyBytes_AS_STRING(mark) + routing_size, PyBytes_AS_STRING(properties),
               PyBytes_GET_SIZE(properties))
        item = new_item(body, mark, self.publisher.dispatcher.wall_ms(), basic.expiration_ms,
                        basic.priority, basic.is_persistent)
        if self.in_transaction:
            self.publish_later(item, queues, route, self._mandatory)
            return 0
        if self.confirming:
            self.published += 1
        if not self._put(item, <tuple>queues, route, self.published) and self._mandatory:
            self.returned(mark, body)
        return 0

    cdef Route _common_route(self):
        """Where the message goes by its address; None for a name that only AMQP has.

        Asked before anything is put anywhere. Raises ChannelError (403).
        """
        cdef Route route
        if self._names is None:
            return None
        try:
            route = self._names.route(
                <const uint8_t*>PyBytes_AS_STRING(self._key), PyBytes_GET_SIZE(self._key))
        except InvalidAddressError:
            return None
        if route.reserved:
            if self.confirming:
                self.published += 1
                self._refused = {**(self._refused or {}), self.published: None}
            raise access_refused(f"address '{route.address}' is reserved")
        return route

    def put_now(self, Item item not None, tuple queues not None, Route route, bint mandatory):
        if route is not None:
            # Others may have come and gone since it was published.
            route = self.publisher.dispatcher.routes.find(route.address)
        if not self._put(item, queues, route, self.published) and mandatory:
            self.returned(item.mark, item.value)

    def take_stored(self):
        stored, self._stored = self._stored, None
        return list(stored or ())

    def take_refused(self):
        refused, self._refused = self._refused, None
        return refused or {}

    cpdef int stored_in(self, durable) except -1:
        if self._stored is None:
            self._stored = {}
        self._stored[durable] = None
        return 0

    cdef int _put(self, object given, tuple queues, Route route, uint64_t tag) except -1:
        """Give a message to its queues and to everybody else; to how many."""
        cdef Item item = <Item>given
        cdef WorkQueue work
        cdef int taken, places = 0
        for queue in queues:
            work = queue.work
            if work is None:
                taken = self.put_elsewhere(queue, item)
            else:
                taken = work.put(item)
                if (taken and item.persistent and (self.confirming or self.in_transaction)
                        and work.settings.durable):
                    self.stored_in(work)
            places += 1
            if not taken and work is not None and queue.refused is not None:
                queue.refused(item)
            if not taken and (self.confirming or self.in_transaction):
                if self._refused is None:
                    self._refused = {}
                self._refused[tag] = None
        return places if route is None else places + self._cross(item, route, tag)

    cdef int _cross(self, object given, Route route, uint64_t tag) except? -1:
        """Publish a message to whom it reaches by its address; how many may get it."""
        cdef Item item = <Item>given
        cdef AmqpPublisher publisher = self.publisher
        cdef View* view
        cdef tuple observers = route.observers
        if not route.special and (
                not observers or (len(observers) == 1 and observers[0] is publisher.inward)):
            return 0
        if publisher.burst.count >= MOST_IN_BURST:
            publisher.flush(publisher.burst.source.principal)
        view = publisher.burst.add(route)
        view.value = <const uint8_t*>PyBytes_AS_STRING(item.value)
        view.value_size = PyBytes_GET_SIZE(item.value)
        view.headers = <const uint8_t*>PyBytes_AS_STRING(item.mark)
        view.headers_size = PyBytes_GET_SIZE(item.mark)
        view.qos = 1 if item.persistent else 0
        view.timestamp_ms = time_of(item.mark, view.timestamp_ms)
        publisher._items.append(item)
        publisher._places.append((self, tag))
        return len(observers) + len(route.topics)

    cdef int finish(self) except -1:
        """All that came is published, and flushed: confirm it."""
        cdef object stored, refused
        stored, self._stored = self._stored, None
        refused, self._refused = self._refused, None
        if self.confirming and self.published > self._confirmed:
            self._confirmed = self.published
            self.confirm(self.published, list(stored or ()), refused or {})
        return 0


def scanned(bytes properties not None):
    cdef Basic found
    scan(properties, &found)
    return (found.is_persistent, found.priority, found.expiration_ms,
            found.headers[:found.headers_size] if found.headers_size >= 0 else None,
            found.reply_to[:found.reply_to_size] if found.reply_to_size >= 0 else None,
            found.user_id[:found.user_id_size] if found.user_id_size >= 0 else None)


cdef int scan(bytes properties, Basic* found) except -1:
    """Walk over the properties; ``found`` points into them. Raises SyntaxFailure."""
    cdef const uint8_t* start = <const uint8_t*>PyBytes_AS_STRING(properties)
    cdef const uint8_t* end = start + PyBytes_GET_SIZE(properties)
    cdef const uint8_t* at = start + 2
    cdef uint16_t flags
    cdef Py_ssize_t size
    cdef uint16_t flag = CONTENT_TYPE
    if at > end:
        raise syntax_error("properties without flags")
    flags = get_short(start)
    found.is_persistent = False
    found.priority = 0
    found.expiration_ms = found.headers_size = found.reply_to_size = found.user_id_size = -1
    if flags & UNKNOWN_FLAGS:
        raise syntax_error("unknown property flags")
    while flag > UNKNOWN_FLAGS:
        if flags & flag:
            size = property_size(flag, at, end)
            if size < 0:
                raise syntax_error("a property ends behind the content header")
            if flag == HEADERS:
                found.headers, found.headers_size = at + 4, size - 4
                if not is_table(found.headers, found.headers + found.headers_size):
                    decode_table(found.headers[:found.headers_size])  # which says what is wrong
                    raise syntax_error("headers that are no table")
            elif flag == DELIVERY_MODE:
                found.is_persistent = at[0] == PERSISTENT
            elif flag == PRIORITY:
                found.priority = at[0]
            elif flag == REPLY_TO:
                found.reply_to, found.reply_to_size = at + 1, size - 1
            elif flag == EXPIRATION:
                found.expiration_ms = milliseconds(at + 1, size - 1)
            elif flag == USER_ID:
                found.user_id, found.user_id_size = at + 1, size - 1
            at += size
        flag >>= 1
    if at != end:
        raise syntax_error("something follows the properties")
    return 0


cdef Py_ssize_t property_size(uint16_t flag, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """How long a property is, -1 if it is not whole."""
    cdef Py_ssize_t size
    if flag == DELIVERY_MODE or flag == PRIORITY:
        size = 1
    elif flag == TIMESTAMP:
        size = 8
    elif flag == HEADERS:
        if end - at < 4:
            return -1
        size = 4 + <Py_ssize_t>get_long(at)
    else:
        if end - at < 1:
            return -1
        size = 1 + at[0]
    return size if size <= end - at else -1


cdef int64_t time_of(bytes mark, int64_t now_ms) noexcept:
    """The `timestamp` of a message in ms; now if it has none, or one that is still to come.

    What an expiration counts from is when it came, for AMQP; for others, when it is from.
    """
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(mark)
    cdef const uint8_t* end = at + PyBytes_GET_SIZE(mark)
    cdef uint16_t flag = CONTENT_TYPE, flags
    cdef uint64_t seconds
    at += 1 + at[0]
    at += 1 + at[0]
    flags = get_short(at)
    if not flags & TIMESTAMP or flags & EXPIRATION:
        return now_ms
    at += 2
    while flag != TIMESTAMP:
        if flags & flag:
            at += property_size(flag, at, end)
        flag >>= 1
    seconds = get_longlong(at)
    return now_ms if seconds > <uint64_t>(now_ms // 1000) else <int64_t>seconds * 1000


cdef int64_t milliseconds(const uint8_t* text, Py_ssize_t size) except? -1:
    """An expiration, which is decimal digits."""
    cdef int64_t value = 0
    cdef Py_ssize_t at
    if not 1 <= size <= EXPIRATION_DIGITS:
        raise invalid_expiration(text[:size])
    for at in range(size):
        if not c"0" <= text[at] <= c"9":
            raise invalid_expiration(text[:size])
        value = value * 10 + (text[at] - c"0")
    return value


cdef object cut_off(const uint8_t* arguments, Py_ssize_t size):
    """The error of a basic.publish that is not whole."""
    return frame_error("cannot decode <<%s>>" % ",".join(map(str, arguments[:size])))
