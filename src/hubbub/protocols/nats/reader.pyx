# cython: language_level=3, boundscheck=False, wraparound=False
"""What NATS clients send, and the hot path of it: PUB and HPUB, published where they lie.

The grammar is nats-server's own, looser than its documentation: verbs in any case of letters, any
blanks between arguments, LF alone ends a line. What no verb begins with is an error with a text; a
verb with arguments that make no sense closes the connection without a word.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memchr, memcmp

from hubbub.broker.dispatch cimport Outcome
from hubbub.broker.outbox cimport Outbox
from hubbub.broker.run cimport Burst, View
from hubbub.broker.sharing cimport room_of

from hubbub.model.errors import DeniedError, InvalidAddressError
from hubbub.protocols.nats import codec, mapping

cdef enum:
    INCOMPLETE = -1
    CLOSED = -2
    SIZE_DIGITS = 9     # nats-server takes no more
    PUB_PREFIX = 4      # "PUB "
    # Publishes carried out together: enough that what is done once for all of them does not count,
    # and a rendering of them fits a processor's cache.
    MOST_IN_BURST = 2048
    # What is kept of a line that only has to end, such as PING with something behind it.
    LONGEST_IDLE_LINE = 64 * 1024

cdef bytes OK = codec.OK
cdef str UNKNOWN = codec.UNKNOWN_OPERATION


cdef inline bint is_blank(uint8_t byte) noexcept nogil:
    return byte == c" " or byte == c"\t" or byte == c"\r"


cdef Py_ssize_t matches(const uint8_t* data, Py_ssize_t size, const char* verb,
                        Py_ssize_t length) noexcept nogil:
    """``length`` if ``data`` begins with the verb, ``INCOMPLETE`` if it may yet, else 0."""
    cdef Py_ssize_t at
    cdef uint8_t byte
    for at in range(min(size, length)):
        byte = data[at]
        if c"a" <= byte <= c"z":
            byte -= 32
        if byte != <uint8_t>verb[at]:
            return 0
    return length if size >= length else INCOMPLETE


cdef Py_ssize_t number(const uint8_t* start, Py_ssize_t size) noexcept nogil:
    """A size as nats-server reads one, or -1."""
    cdef Py_ssize_t value = 0, at
    if not 1 <= size <= SIZE_DIGITS:
        return -1
    for at in range(size):
        if not c"0" <= start[at] <= c"9":
            return -1
        value = value * 10 + (start[at] - c"0")
    return value


cdef void split(const uint8_t* data, Py_ssize_t size, Line* line) noexcept nogil:
    """Find the arguments, but for those beyond ``MOST_ARGUMENTS``."""
    cdef Py_ssize_t at = 0, first
    line.count = 0
    while line.count < MOST_ARGUMENTS:
        while at < size and is_blank(data[at]):
            at += 1
        if at == size:
            return
        first = at
        while at < size and not is_blank(data[at]):
            at += 1
        line.start[line.count] = data + first
        line.size[line.count] = at - first
        line.count += 1


cdef inline bytes argument(Line* line, int index):
    return PyBytes_FromStringAndSize(<const char*>line.start[index], line.size[index])


cdef class NatsReader(StreamSession):

    def __init__(self, Publisher publisher not None, Outbox outbox not None):
        self._publisher = publisher
        self.outbox = outbox
        self.verbose = self.pedantic = self.echoes = self.trusted = True
        self.principal = ""

    cdef Py_ssize_t consume(self, const uint8_t* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t at = 0, used
        if self.closed:
            return size
        self.heard = True
        self.quick = self.trusted and not self.verbose and not self.pedantic
        self._publisher.burst.begin(self, self._publisher.dispatcher.wall_ms())
        while at < size:
            used = self._operation(data + at, size - at)
            if used == CLOSED:
                return size
            if used == INCOMPLETE:
                break
            at += used
        self._publish()
        return at

    cdef Py_ssize_t _operation(self, const uint8_t* data, Py_ssize_t size) except -3:
        """Carry out the operation that ``data`` begins with; how long it is."""
        cdef uint8_t first = data[0] & ~32  # in upper case
        cdef Py_ssize_t verb = 0
        if self.quick and size > PUB_PREFIX and memcmp(data, b"PUB ", PUB_PREFIX) == 0:
            verb = self._quick_pub(data, size)
            if verb:
                return verb
        if not self.trusted and first != c"C":
            return self._fail(codec.AUTHORIZATION_VIOLATION)
        if first == c"P":
            verb = matches(data, size, b"PUB", 3)
            if verb == 0:
                verb = matches(data, size, b"PING", 4)
            if verb == 0:
                verb = matches(data, size, b"PONG", 4)
        elif first == c"H":
            verb = matches(data, size, b"HPUB", 4)
        elif first == c"S":
            verb = matches(data, size, b"SUB", 3)
        elif first == c"U":
            verb = matches(data, size, b"UNSUB", 5)
        elif first == c"C":
            verb = matches(data, size, b"CONNECT", 7)
        elif first == c"I":
            verb = matches(data, size, b"INFO", 4)
        elif data[0] == c"+":
            verb = matches(data, size, b"+OK", 3)
        elif data[0] == c"-":
            verb = matches(data, size, b"-ERR", 4)
        if verb == 0:
            return self._fail(UNKNOWN)
        if verb == INCOMPLETE:
            return INCOMPLETE
        if data[0] == c"+" or (first == c"P" and verb == 4):
            return self._idle(data, size)
        return self._with_arguments(data, size, verb)

    def mark_closed(self):
        self.closed = True

    cdef Py_ssize_t _idle(self, const uint8_t* data, Py_ssize_t size) except -3:
        """PING, PONG and +OK, whatever else their line holds."""
        cdef const uint8_t* end = <const uint8_t*>memchr(data, c"\n", size)
        if end == NULL:
            if size > LONGEST_IDLE_LINE:
                return self._fail(codec.MAXIMUM_CONTROL_LINE)
            return INCOMPLETE
        if data[0] != c"+":
            self._publish()
            if data[1] & ~32 == c"I":
                self.ping()
            else:
                self.pong()
        return CLOSED if self.closed else end - data + 1

    cdef Py_ssize_t _with_arguments(self, const uint8_t* data, Py_ssize_t size,
                                    Py_ssize_t verb) except -3:
        cdef Py_ssize_t at = verb, end
        cdef const uint8_t* found
        cdef Line line
        cdef uint8_t first = data[0] & ~32
        if at == size:
            return INCOMPLETE
        # Only CONNECT's JSON may follow at once.
        if first != c"C" and data[at] != c" " and data[at] != c"\t":
            return self._fail(None if first == c"I" else UNKNOWN)
        while at < size and (data[at] == c" " or data[at] == c"\t"):
            at += 1
        found = <const uint8_t*>memchr(data + at, c"\n", size - at)
        end = size if found == NULL else found - data
        if end > at and data[end - 1] == c"\r":
            if end - 1 - at > self.max_control_line:
                return self._fail(codec.MAXIMUM_CONTROL_LINE)
        elif end - at > self.max_control_line:
            return self._fail(codec.MAXIMUM_CONTROL_LINE)
        if found == NULL:
            # So many blanks in front of nothing are not kept either.
            return INCOMPLETE if at <= LONGEST_IDLE_LINE else self._fail(None)
        split(data + at, end - at, &line)
        if first == c"P" or first == c"H":
            # One CR belongs to the line end; a second one makes the size no number.
            if end - 2 >= at and data[end - 2] == c"\r":
                return self._fail(None)
            return self._pub(data, size, end + 1, &line, first == c"H")
        self._publish()
        if self.closed:  # by what it published to itself
            return CLOSED
        if first == c"C":
            self.connect(data[at:end].strip(b" \t\r"))
            self.quick = self.trusted and not self.verbose and not self.pedantic
        elif first == c"S":
            self._sub(&line)
        elif first == c"U":
            self._unsub(&line)
        elif line.count == 0 or data[0] == c"-" or line.start[0][0] != c"{":
            self.close(None)  # INFO is for servers, who say something
        return CLOSED if self.closed else end + 1

    cdef int _sub(self, Line* line) except -1:
        if line.count == 2:
            self.subscribe(argument(line, 0), b"", argument(line, 1))
        elif line.count == 3:
            self.subscribe(argument(line, 0), argument(line, 1), argument(line, 2))
        else:
            self.close(None)
        return 0

    cdef int _unsub(self, Line* line) except -1:
        if not 1 <= line.count <= 2:
            self.close(None)
            return 0
        # What is no number means at once, as in nats-server.
        self.unsubscribe(argument(line, 0),
                         max(number(line.start[1], line.size[1]), 0) if line.count == 2 else 0)
        return 0

    cdef Py_ssize_t _quick_pub(self, const uint8_t* data, Py_ssize_t size) except -3:
        """PUB as nearly all clients write it, without a reply; 0 for any other."""
        cdef Py_ssize_t at = PUB_PREFIX, subject_end, payload_size = 0
        cdef View* view
        while at < size and data[at] > c" ":
            at += 1
        subject_end = at
        if at == PUB_PREFIX or at + 1 >= size or data[at] != c" ":
            return 0
        at += 1
        while at < size and c"0" <= data[at] <= c"9" and at - subject_end <= SIZE_DIGITS:
            payload_size = payload_size * 10 + (data[at] - c"0")
            at += 1
        if at == subject_end + 1 or at + 2 > size or data[at] != c"\r" or data[at + 1] != c"\n":
            return 0
        if payload_size > self.max_payload or at > self.max_control_line:
            return 0
        at += 2
        if at + payload_size + 2 > size:
            return INCOMPLETE if at + payload_size >= size else 0
        if data[at + payload_size] != c"\r" or data[at + payload_size + 1] != c"\n":
            return 0
        try:
            view = self._publisher.burst.add_named(
                self._publisher.names, data + PUB_PREFIX, subject_end - PUB_PREFIX)
        except InvalidAddressError:
            return 0
        view.value = data + at
        view.value_size = payload_size
        if self._publisher.burst.count >= MOST_IN_BURST:
            self._publish()
        return at + payload_size + 2

    cdef Py_ssize_t _pub(self, const uint8_t* data, Py_ssize_t size, Py_ssize_t at, Line* line,
                         bint with_headers) except -3:
        """PUB or HPUB, whose payload begins ``at``."""
        cdef int last = line.count - 1
        cdef int least = 3 if with_headers else 2
        cdef Py_ssize_t payload_size, header_size = 0
        if not least <= line.count <= least + 1 or (with_headers and not self.headers):
            return self._fail(None)
        payload_size = number(line.start[last], line.size[last])
        if with_headers:
            header_size = number(line.start[last - 1], line.size[last - 1])
        if payload_size < 0 or not 0 <= header_size <= payload_size:
            return self._fail(None)
        if payload_size > self.max_payload:
            return self._fail(codec.MAXIMUM_PAYLOAD)
        if at + payload_size + 2 > size:
            if at + payload_size < size and data[at + payload_size] != c"\r":
                return self._fail(UNKNOWN)
            return INCOMPLETE
        if data[at + payload_size] != c"\r" or data[at + payload_size + 1] != c"\n":
            return self._fail(UNKNOWN)
        line.count = last - (1 if with_headers else 0)
        self._add(line, data + at, header_size, payload_size)
        return CLOSED if self.closed else at + payload_size + 2

    cdef int _add(self, Line* line, const uint8_t* payload, Py_ssize_t header_size,
                  Py_ssize_t size) except -1:
        """Publish, with what follows it in the chunk if nobody can tell."""
        cdef Burst burst = self._publisher.burst
        cdef Route route
        cdef View* view
        cdef Py_ssize_t reply_size = line.size[1] if line.count == 2 else 0
        if self.pedantic and not mapping.is_literal(argument(line, 0)):
            self._publish()
            self.error(codec.INVALID_PUBLISH_SUBJECT)
        if reply_size and is_forbidden(line.start[1], reply_size):
            self._publish()
            self.error(codec.permissions_violation(
                "Publish with Reply of", argument(line, 1).decode("utf-8", "surrogateescape")))
            return 0
        route = self._route(line.start[0], line.size[0])
        if self.verbose and (route is None or self.may_publish(route)):
            self.outbox.add(OK)
        if route is not None:
            view = burst.add(route)
            view.value = payload + header_size
            view.value_size = size - header_size
            if reply_size:
                view.reply = line.start[1]
                view.reply_size = reply_size
            if header_size:
                view.headers = payload
                view.headers_size = header_size
        if reply_size and self.no_responders:
            self._answer_nobody(route, line)
        if self.verbose or burst.count >= MOST_IN_BURST:
            self._publish()
        return 0

    cdef Route _route(self, const uint8_t* subject, Py_ssize_t size):
        """Where it goes; None for a subject that nobody can be subscribed to."""
        try:
            return self._publisher.names.route(subject, size)
        except InvalidAddressError:
            return None

    cdef int _answer_nobody(self, Route route, Line* line) except -1:
        """Tell the client that its latest request has nobody to answer it, if that is so."""
        cdef Burst burst = self._publisher.burst
        cdef View view
        if route is not None:
            if route.topics or self._is_taken(route, burst.run(0, burst.count)):
                return 0
            if burst.count > 1:
                # What was published before it may use up those who would have taken it.
                view = burst.views[burst.count - 1]
                burst.count -= 1
                self._publish()
                route = self._route(line.start[0], line.size[0])
                view.route = <void*>route
                burst.add(route)[0] = view
                if self._is_taken(route, burst.run(0, 1)):
                    return 0
            if not self.may_publish(route):
                return 0  # of which it will be told
        self._publish()
        self.no_responder(argument(line, 1))
        return 0

    cdef bint _is_taken(self, Route route, Run run) except -1:
        """Whether there is an observer who takes the run to its end."""
        for observer in route.observers:
            if room_of(observer, run) == run.count:
                return True
        return False

    cdef int _publish(self) except -1:
        """Carry out what is in the burst."""
        cdef Burst burst = self._publisher.burst
        cdef Outcome outcome
        cdef Run run
        if burst.count == 0:
            return 0
        run = burst.run(0, burst.count)
        outcome = self._publisher.dispatcher.publish_run(run, self.principal)
        for index, error in outcome.refused.items():
            self._refused(error, <Route>run.views[<Py_ssize_t>index].route)
        burst.begin(self, self._publisher.dispatcher.wall_ms())
        return 0

    cdef int _refused(self, object error, Route route) except -1:
        subject = route.spelled(mapping).decode()
        reason = "" if isinstance(error, DeniedError) else str(error)
        self.error(codec.permissions_violation("Publish to", subject, reason))
        return 0

    cdef Py_ssize_t _fail(self, str error) except -3:
        self._publish()
        self.close(error)
        return CLOSED


cdef bint is_forbidden(const uint8_t* reply, Py_ssize_t size) noexcept nogil:
    """Whether a reply subject is one that the server alone gives out (nats-server's own two).

    Or has a control character: some clients take those for blanks, and lose their place.
    """
    cdef Py_ssize_t at
    for at in range(size):
        if reply[at] < c" " or reply[at] == 0x7F:
            return True
    return ((size >= 8 and memcmp(reply, b"$JS.ACK.", 8) == 0)
            or (size >= 4 and memcmp(reply, b"_R_.", 4) == 0))
