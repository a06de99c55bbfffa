# cython: language_level=3, boundscheck=False, wraparound=False
"""The hot path of a Redis connection: PUBLISH after PUBLISH, parsed and answered where they lie."""

from libc.string cimport memcmp

from hubbub.broker.writing cimport put_number
from hubbub.broker.outbox cimport Outbox
from hubbub.broker.run cimport Burst, Origin, View
from hubbub.broker.stream cimport HEADROOM

from hubbub.model.errors import InvalidAddressError

cdef enum:
    INCOMPLETE = -1
    OTHER = 0
    PREFIX = 18     # of "*3\r\n$7\r\nPUBLISH\r\n$"
    VERB_AT = 8
    VERB = 7
    DIGITS = 9      # no length that is accepted has more
    ANSWER = 24     # ":", a number and a line end
    ANSWERS_AT_ONCE = 4096

cdef const char* START = b"*3\r\n$7\r\n"
cdef const char* UPPER = b"PUBLISH"
cdef const char* LOWER = b"publish"


cdef class RedisPublisher(Publisher):

    def __init__(self, broker, mapping, error_line):
        super().__init__(broker, mapping, Origin())
        self.error_line = error_line


cdef inline Py_ssize_t bulk(const uint8_t* data, Py_ssize_t size, Py_ssize_t* at,
                            const uint8_t** start) noexcept nogil:
    """The size of the bulk string whose length is at ``at``, and ``at`` behind it.

    ``INCOMPLETE`` if it is not all there, -2 where it is none that is plainly right.
    """
    cdef Py_ssize_t here = at[0], length = 0, first = here
    while here < size and c"0" <= data[here] <= c"9":
        length = length * 10 + (data[here] - c"0")
        here += 1
        if here - first > DIGITS:
            return -2
    if here == first:
        return INCOMPLETE if here == size else -2
    if data[first] == c"0" and here - first > 1:
        return -2
    if here + 2 + length + 2 > size:
        return INCOMPLETE
    if data[here] != c"\r":
        return -2
    start[0] = data + here + 2
    at[0] = here + 2 + length + 2
    return length


cdef class PublishingSession(StreamSession):

    def __init__(self, RedisPublisher publisher not None, Outbox outbox not None,
                 Replies replies not None):
        self._publisher = publisher
        self.outbox = outbox
        self.replies = replies
        self.parser = RequestParser()
        self.principal = ""

    cdef bint is_paused(self) except -1:
        """Whether so many replies wait for the disk that more requests should not be read."""
        return self.replies.is_full()

    cdef int end_of_input(self) except -1:
        self.closing = True
        self.replies.close()
        return 0

    cdef Py_ssize_t consume(self, const uint8_t* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t at = 0, used, most
        cdef list requests = []
        cdef bint inside
        if self.closing:
            return size
        self.active_at = self._publisher.dispatcher.now()
        self._publisher.input_bytes += size
        most = self.burst_limit
        inside = self.parser.is_inside()
        self._publisher.burst.begin(self, self._publisher.dispatcher.wall_ms())
        while at < size:
            if most and not inside:
                used = self._take(data + at, size - at, most)
                if used > 0:
                    at += used
                    continue
                if used == INCOMPLETE and size - at <= HEADROOM:
                    break
            self._publish()
            used = self.parser.scan(data + at, size - at, requests, 1)
            at += used
            inside = self.parser.is_inside()
            if self.parser.failure is not None:
                self.give_up(self.parser.failure)
                return size
            if requests:
                self.published_last = False
                self.execute(requests.pop())
                if self.closing:
                    return size
                most = self.burst_limit
            elif used == 0:
                break
        self._publish()
        return at

    cdef Py_ssize_t _take(self, const uint8_t* data, Py_ssize_t size, Py_ssize_t most) except -2:
        """Add the PUBLISH that ``data`` begins with to the burst; its size, ``OTHER`` if none."""
        cdef Burst burst = self._publisher.burst
        cdef Py_ssize_t at = PREFIX, channel_size, payload_size
        cdef const uint8_t* channel
        cdef const uint8_t* payload
        cdef View* view
        if size < PREFIX:
            return INCOMPLETE if memcmp(data, START, min(size, VERB_AT)) == 0 else OTHER
        if memcmp(data, START, VERB_AT) != 0 or data[PREFIX - 1] != c"$":
            return OTHER
        if (memcmp(data + VERB_AT, UPPER, VERB) != 0
                and memcmp(data + VERB_AT, LOWER, VERB) != 0):
            return OTHER
        channel_size = bulk(data, size, &at, &channel)
        if channel_size < 0:
            return INCOMPLETE if channel_size == INCOMPLETE else OTHER
        if at == size:
            return INCOMPLETE
        if data[at] != c"$":
            return OTHER
        at += 1
        payload_size = bulk(data, size, &at, &payload)
        if payload_size < 0:
            return INCOMPLETE if payload_size == INCOMPLETE else OTHER
        if max(channel_size, payload_size) > self.parser.max_bulk_bytes:
            return OTHER
        try:
            view = burst.add_named(self._publisher.names, channel, channel_size)
        except InvalidAddressError:
            return OTHER  # the command says what is wrong with it
        view.value = payload
        view.value_size = payload_size
        if burst.count >= most:
            self._publish()
        return at

    cdef int _publish(self) except -1:
        """Carry out what is in the burst."""
        cdef Burst burst = self._publisher.burst
        cdef Run run
        if burst.count == 0:
            return 0
        run = burst.run(0, burst.count)
        self._publisher.publishes += run.count
        self.published_last = True
        # What the client itself is subscribed to follows the reply.
        self.replies.begin()
        self._answer(run, self._publisher.dispatcher.publish_run(run, self.principal))
        self.replies.end()
        burst.begin(self, self._publisher.dispatcher.wall_ms())
        return 0

    cdef int _answer(self, Run run, Outcome outcome) except -1:
        if outcome.refused or outcome.failed:
            self._answer_each(run, outcome)
            return 0
        counts = counted(run, outcome)
        if not outcome.stored:
            for chunk in counts:
                self.replies.answer(chunk)
            return 0
        slot = self.replies.later(run.count)
        outcome.publication().when_durable(
            _Durable(slot, b"".join(counts), run.count, self._publisher.error_line))
        return 0

    def _answer_each(self, Run run, Outcome outcome):
        """Some were refused: each reply for itself, those of what is stored when it is durable."""
        publication = outcome.publication()
        for index in range(run.count):
            error = outcome.refused.get(index) or outcome.failed.get(index)
            if error is not None:
                self.replies.fail(self._publisher.error_line(error))
                continue
            count = b":%d\r\n" % outcome.delivered(run, index)
            if outcome.stored:
                slot = self.replies.later(1)
                publication.when_durable(_Durable(slot, count, 1, self._publisher.error_line))
            else:
                self.replies.answer(count)


class _Durable:
    """Fills the place of a burst's replies once the disk has it, or has lost it."""

    __slots__ = ("_answers", "_count", "_error_line", "_slot")

    def __init__(self, slot, answers, count, error_line):
        self._slot = slot
        self._answers = answers
        self._count = count
        self._error_line = error_line

    def __call__(self, failure):
        if failure is None:
            self._slot.fill_encoded(self._answers)
        else:
            self._slot.fill_failure(self._error_line(failure), self._count)


cdef list counted(Run run, Outcome outcome):
    """How many got each message, as replies."""
    cdef uint8_t answers[ANSWERS_AT_ONCE + ANSWER]
    cdef uint8_t* at = answers
    cdef Py_ssize_t index
    cdef list chunks = []
    cdef const void* last = NULL
    cdef Py_ssize_t count = 0
    for index in range(run.count):
        if run.views[index].route != last or outcome.is_mixed():
            last = run.views[index].route
            count = outcome.delivered(run, index)
        at[0] = c":"
        at = put_number(at + 1, count)
        at[0], at[1] = c"\r", c"\n"
        at += 2
        if at - answers >= ANSWERS_AT_ONCE:
            chunks.append((<char*>answers)[:at - answers])
            at = answers
    if at > answers:
        chunks.append((<char*>answers)[:at - answers])
    return chunks
