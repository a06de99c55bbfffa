# cython: language_level=3, boundscheck=False, wraparound=False
"""Messages as MSG and HMSG, and the subscriptions that they are for."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from hubbub.broker.decimal cimport number_size, put_number
from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport is_plain, value_of

from hubbub.protocols.nats import mapping

cdef object MAPPING = mapping

cdef inline uint8_t* put(uint8_t* at, const uint8_t* start, Py_ssize_t size) noexcept nogil:
    memcpy(at, start, size)
    return at + size


cdef inline uint8_t* put_line_end(uint8_t* at) noexcept nogil:
    at[0], at[1] = c"\r", c"\n"
    return at + 2


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
        cdef bytes frames
        cdef uint8_t* at
        cdef Frame frame
        for index in range(run.count):
            self._frame(run, index, &frame)
            room += self._size(&frame, max(run.views[index].value_size, 0))
        frames = PyBytes_FromStringAndSize(NULL, room)
        at = <uint8_t*>PyBytes_AS_STRING(frames)
        for index in range(run.count):
            self._frame(run, index, &frame)
            at = self._put(at, &frame, &run.views[index])
        return frames

    cdef int _frame(self, Run run, Py_ssize_t index, Frame* frame) except -1:
        """Say how the message at ``index`` is written; the run holds what that refers to."""
        cdef const View* view = &run.views[index]
        cdef bytes subject = (<Route>view.route).spelled(MAPPING)
        cdef bytes reply, headers
        frame.subject = <const uint8_t*>PyBytes_AS_STRING(subject)
        frame.subject_size = PyBytes_GET_SIZE(subject)
        frame.reply_size = frame.headers_size = 0
        if is_plain(view) and view.key_size < 0:
            return 0
        if isinstance(run.origin, NatsOrigin):
            frame.reply, frame.reply_size = view.reply, view.reply_size
            frame.headers, frame.headers_size = view.headers, view.headers_size
        else:
            reply, headers = foreign(run)[index]
            frame.reply = <const uint8_t*>PyBytes_AS_STRING(reply)
            frame.reply_size = PyBytes_GET_SIZE(reply)
            frame.headers = <const uint8_t*>PyBytes_AS_STRING(headers)
            frame.headers_size = PyBytes_GET_SIZE(headers)
        if not self._headers:
            frame.headers_size = 0
        return 0

    cdef Py_ssize_t _size(self, const Frame* frame, Py_ssize_t value_size) noexcept:
        cdef Py_ssize_t size = (4 + frame.subject_size + 1 + PyBytes_GET_SIZE(self._sid) + 1
                                + number_size(frame.headers_size + value_size) + 2
                                + frame.headers_size + value_size + 2)
        if frame.reply_size:
            size += frame.reply_size + 1
        if frame.headers_size:
            size += 1 + number_size(frame.headers_size) + 1
        return size

    cdef uint8_t* _put(self, uint8_t* at, const Frame* frame, const View* view) noexcept:
        cdef Py_ssize_t value_size = max(view.value_size, 0)  # NATS has no null message
        if frame.headers_size:
            at[0] = c"H"
            at += 1
        at = put(at, <const uint8_t*>b"MSG ", 4)
        at = put(at, frame.subject, frame.subject_size)
        at[0] = c" "
        at = put(at + 1, <const uint8_t*>PyBytes_AS_STRING(self._sid), PyBytes_GET_SIZE(self._sid))
        at[0] = c" "
        at += 1
        if frame.reply_size:
            at = put(at, frame.reply, frame.reply_size)
            at[0] = c" "
            at += 1
        if frame.headers_size:
            at = put_number(at, frame.headers_size)
            at[0] = c" "
            at += 1
        at = put_line_end(put_number(at, frame.headers_size + value_size))
        at = put(at, frame.headers, frame.headers_size)
        return put_line_end(put(at, view.value, value_size))


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
        self._outbox = outbox
        self._style = style

    @property
    def subscriber(self):
        return self.session.subscriber

    def end_after(self, Py_ssize_t limit):
        self.limit = limit
        return self.delivered >= limit

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
        if not self._outbox.deliver(run.rendered(self._style)):
            self.session.slow_consumer()
        if self.limit and self.delivered >= self.limit:
            self.session.forget(self)
        return 0
