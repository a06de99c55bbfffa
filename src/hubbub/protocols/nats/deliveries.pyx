# cython: language_level=3, boundscheck=False, wraparound=False
"""Messages as MSG and HMSG, and the subscriptions that they are for."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from hubbub.broker.writing cimport number_size, put, put_bytes, put_line_end, put_number
from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport is_plain, value_of

from hubbub.protocols.nats import mapping

cdef object MAPPING = mapping

cdef enum:
    NOTHING = -2    # a size that no value has, not even that of none

cdef class NatsOrigin(Origin):

    cdef object message(self, const View* view):
        return mapping.message_of(
            (<Route>view.route).address, value_of(view), view.reply[:view.reply_size],
            view.headers[:view.headers_size], view.timestamp_ms)


cdef class MsgStyle(Style):

    def __init__(self, bytes sid not None, bint headers):
        self._sid = sid
        self._headers = headers

    cdef bytes render(self, Run run):
        cdef Py_ssize_t room = 0, index
        cdef const void* last = NULL
        cdef bytes frames
        cdef bytes subject = None
        cdef uint8_t* at
        cdef const View* view
        cdef Extra extra
        # A head is written again only where it differs from the one before.
        cdef const uint8_t* head = NULL
        cdef Py_ssize_t head_size = 0, headed = NOTHING
        for index in range(run.count):
            view = &run.views[index]
            if view.route != last:
                last = view.route
                subject = (<Route>view.route).spelled(MAPPING)
            self._extra(run, index, &extra)
            room += self._size(PyBytes_GET_SIZE(subject), &extra, max(view.value_size, 0))
        frames = PyBytes_FromStringAndSize(NULL, room)
        at = <uint8_t*>PyBytes_AS_STRING(frames)
        last = NULL
        for index in range(run.count):
            view = &run.views[index]
            if view.route == last and headed == view.value_size and is_bare(view):
                at = put(at, head, head_size)
            else:
                if view.route != last:
                    last = view.route
                    subject = (<Route>view.route).spelled(MAPPING)
                self._extra(run, index, &extra)
                head = at
                at = self._put_head(at, subject, &extra, max(view.value_size, 0))
                head_size = at - head
                headed = view.value_size if is_bare(view) else NOTHING
                at = put(at, extra.headers, extra.headers_size)
            if view.value_size > 0:  # NATS has no null message
                at = put(at, view.value, view.value_size)
            at = put_line_end(at)
        return frames

    cdef int _extra(self, Run run, Py_ssize_t index, Extra* extra) except -1:
        """What the message at ``index`` has beside subject and value; the run holds it."""
        cdef const View* view = &run.views[index]
        cdef bytes reply, headers
        extra.reply_size = extra.headers_size = 0
        if is_bare(view):
            return 0
        if isinstance(run.origin, NatsOrigin):
            extra.reply, extra.reply_size = view.reply, view.reply_size
            extra.headers, extra.headers_size = view.headers, view.headers_size
        else:
            reply, headers = foreign(run)[index]
            extra.reply = <const uint8_t*>PyBytes_AS_STRING(reply)
            extra.reply_size = PyBytes_GET_SIZE(reply)
            extra.headers = <const uint8_t*>PyBytes_AS_STRING(headers)
            extra.headers_size = PyBytes_GET_SIZE(headers)
        if not self._headers:
            extra.headers_size = 0
        return 0

    cdef Py_ssize_t _size(self, Py_ssize_t subject_size, const Extra* extra,
                          Py_ssize_t value_size) noexcept:
        cdef Py_ssize_t size = (4 + subject_size + 1 + PyBytes_GET_SIZE(self._sid) + 1
                                + number_size(extra.headers_size + value_size) + 2
                                + extra.headers_size + value_size + 2)
        if extra.reply_size:
            size += extra.reply_size + 1
        if extra.headers_size:
            size += 1 + number_size(extra.headers_size) + 1
        return size

    cdef uint8_t* _put_head(self, uint8_t* at, bytes subject, const Extra* extra,
                            Py_ssize_t value_size) noexcept:
        if extra.headers_size:
            at[0] = c"H"
            at += 1
        at = put(at, <const uint8_t*>b"MSG ", 4)
        at = put_bytes(at, subject)
        at[0] = c" "
        at = put_bytes(at + 1, self._sid)
        at[0] = c" "
        at += 1
        if extra.reply_size:
            at = put(at, extra.reply, extra.reply_size)
            at[0] = c" "
            at += 1
        if extra.headers_size:
            at = put_number(at, extra.headers_size)
            at[0] = c" "
            at += 1
        return put_line_end(put_number(at, extra.headers_size + value_size))


cdef inline bint is_bare(const View* view) noexcept:
    """Whether the message is all in address and value."""
    return is_plain(view) and view.key_size < 0


cdef list foreign(Run run):
    """Reply subject and header block of each message that another protocol published."""
    found = run.note(MAPPING)
    if found is None:
        found = run.take_note(MAPPING, [
            (mapping.reply_of(message), mapping.headers_of(message)) for message in run.messages()])
    return <list>found


cdef class Subscription(RunObserver):

    def __init__(self, session, Outbox outbox not None, MsgStyle style not None, bytes sid not None,
                 pattern, bytes queue=b""):
        self.session = session
        self.sid = sid
        self.pattern = pattern
        self.share = ("nats", queue) if queue else None
        self.outbox = outbox
        self._style = style

    @property
    def subscriber(self):
        return self.session.subscriber

    def end_after(self, Py_ssize_t limit):
        self.limit = limit
        return self.delivered >= limit

    def restyle(self, MsgStyle style not None):
        self._style = style

    def close(self):
        self.closed = True

    cdef Py_ssize_t room(self, Run run) except -1:
        if self.closed or (run.source is self.session and not self.session.echoes):
            return 0
        return run.count if self.limit == 0 else min(run.count, self.limit - self.delivered)

    cdef int take(self, Run run) except -1:
        cdef Py_ssize_t count = self.room(run)
        if count == 0:
            return 0
        if count < run.count:
            run = run.slice(0, count)
        self.delivered += count
        if not self.outbox.deliver(run.rendered(self._style)):
            self.session.slow_consumer()
        if self.limit and self.delivered >= self.limit:
            self.session.forget(self)
        return 0
