# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: cdivision=True
"""The load generator's loop: publishers and subscribers on sockets that are connected already.

It knows no protocol. All published frames have one size, all delivered ones another, and every
payload begins with who published it and its number, by which each subscriber checks each message.
A publisher's frames are encoded beforehand, as a ring that is sent round and round. So a message
costs the generator a comparison, and the brokers are what is measured.

A payload begins with the publisher's place in its group (32 bits), the number of its frame in the
ring (32 bits) and, if the load is timed, the moment of sending in nanoseconds (64 bits), all in the
machine's byte order.

A protocol may be one of lines, or have receipts, with the identifier of the message that they are
for, or up to which they are for all: `answers.Receipt` says how they look.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint32_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove

from hubbub.bench.connections cimport *
from hubbub.bench.histogram cimport Histogram
from hubbub.bench.readiness cimport *
from hubbub.bench.receipts cimport *

cdef enum:
    # A read: as much as Linux lets a loopback socket hold by default.
    READ_BYTES = 256 * 1024
    # No line between messages is longer (NATS's INFO is some hundred bytes).
    LINE_BYTES = 4096
    START_BYTES = 4  # what tells a message from anything else
    IDENTIFIERS = 65535  # from 1, as many as two bytes can tell apart
    NUMBER_AT = 4  # in a payload
    MOMENT_AT = 8
    FAULT_BYTES = 200
    # The loop looks at the clock at least so often.
    IDLE_NS = 10 * 1000 * 1000
    # After the last message, as long as a surplus one may take to show up.
    LINGER_NS = 50 * 1000 * 1000

PAYLOAD_BYTES_MIN = MOMENT_AT
TIMED_PAYLOAD_BYTES_MIN = MOMENT_AT + 8
# How long nothing may come while something is due: a broker that pauses for longer has lost it.
PATIENCE_SECONDS = 5.0
RING_MESSAGES_MAX = IDENTIFIERS

cdef enum Phase:
    WARMING
    MEASURING
    DRAINING
    LINGERING
    OVER


cdef class Load:
    """One run of a load; see the stub for what its settings mean."""

    cdef readiness ready
    cdef Connection* connections
    cdef Group* groups
    cdef char* buffer
    cdef int connection_count, group_count
    cdef int64_t published_bytes, delivered_bytes, published_at, delivered_at, start_at
    cdef int64_t window, write_messages, rate, ring_messages, confirms, identifier_at
    cdef bint replies, timed, faulted
    cdef uint32_t start
    cdef ReceiptForm receipt
    cdef char fault[FAULT_BYTES]
    cdef int64_t granted, received, answered, skipped, repeated, next_group
    cdef int64_t began, measured_from, patience
    cdef Moment first, last
    cdef list rings
    cdef readonly Histogram delivery
    cdef readonly Histogram acknowledgement

    def __cinit__(self, *, int groups, int64_t published_bytes, int64_t published_at,
                  int64_t delivered_bytes, int64_t delivered_at, bytes delivered_start,
                  int64_t ring_messages, int64_t window, int64_t write_messages,
                  int64_t delivered_start_at=0, int64_t rate=0, bint replies=False,
                  int64_t confirms=0, object receipt=None, bint timed=False,
                  double patience=PATIENCE_SECONDS):
        self.delivered_bytes, self.delivered_at = delivered_bytes, delivered_at
        if len(delivered_start) != START_BYTES or min(window, write_messages, ring_messages) < 1:
            raise ValueError("a window, a write, a ring and a start of four bytes are needed")
        self.use_receipts(receipt, confirms)
        if timed and window >= ring_messages:
            raise ValueError("a timed message in flight must not be overwritten by the next round")
        if replies and self.receipt.identifier_size == PACKET_IDENTIFIER_BYTES and (
                window >= ring_messages or ring_messages > IDENTIFIERS):
            raise ValueError("no two messages in flight may have one packet identifier")
        self.groups = <Group*>calloc(groups, sizeof(Group))
        self.buffer = <char*>malloc(READ_BYTES + delivered_bytes + LINE_BYTES)
        if self.groups == NULL or self.buffer == NULL or readiness_open(&self.ready) < 0:
            raise MemoryError
        self.group_count = groups
        self.published_bytes, self.published_at = published_bytes, published_at
        self.window, self.write_messages, self.rate = window, write_messages, rate
        self.ring_messages = ring_messages
        self.replies, self.timed = replies, timed
        self.patience = <int64_t>(patience * 1e9)
        self.start, self.start_at = load32(delivered_start), delivered_start_at
        self.rings = []
        self.delivery = Histogram()
        self.acknowledgement = Histogram()

    cdef use_receipts(self, receipt, int64_t confirms):
        if receipt is not None:
            form_of(receipt, &self.receipt)
        elif confirms:
            raise ValueError("subscribers cannot confirm without receipts")
        else:
            return
        if confirms > 1 and not self.receipt.cumulative:
            raise ValueError("each message has a receipt of its own")
        self.confirms, self.identifier_at = confirms, receipt.delivered_at
        if self.identifier_at < 0:
            self.identifier_at += self.delivered_at

    def __dealloc__(self):
        cdef int number
        for number in range(self.connection_count):
            free(self.connections[number].expected)
            free(self.connections[number].carry)
            free(self.connections[number].receipts)
        for number in range(self.group_count):
            free(self.groups[number].publishers)
            free(self.groups[number].subscribers)
        free(self.connections)
        free(self.groups)
        free(self.buffer)
        readiness_close(&self.ready)

    cdef Connection* connect(self, int fd, int group) except NULL:
        if not 0 <= group < self.group_count:
            raise ValueError("there is no such group")
        cdef size_t size = (self.connection_count + 1) * sizeof(Connection)
        cdef Connection* grown = <Connection*>realloc(self.connections, size)
        if grown == NULL:
            raise MemoryError
        self.connections = grown
        cdef Connection* connection = &grown[self.connection_count]
        connection[0] = Connection(
            fd, group, -1, False, False, NULL, 0, 0, 0, 0, NULL, NULL, 0, NULL, 0, 0)
        connection.carry = <char*>malloc(self.delivered_bytes + LINE_BYTES)
        self.connection_count += 1
        if connection.carry == NULL or readiness_add(
                &self.ready, fd, self.connection_count - 1, READABLE) < 0:
            raise MemoryError
        return connection

    def add_publisher(self, int fd, bytearray ring not None, int group):
        if len(ring) != self.published_bytes * self.ring_messages:
            raise ValueError("the ring has another size than was said")
        cdef Connection* connection = self.connect(fd, group)
        cdef Group* its = &self.groups[group]
        connection.ring = ring
        connection.place = its.publisher_count
        self.rings.append(ring)
        append(&its.publishers, &its.publisher_count, self.connection_count - 1)

    def add_subscriber(self, int fd, int group):
        cdef Connection* connection = self.connect(fd, group)
        cdef Group* its = &self.groups[group]
        if self.confirms:
            # What is not acknowledged holds a packet identifier, so there are no more; a broker
            # that counts further without reading has fallen behind.
            connection.receipts = <char*>malloc(IDENTIFIERS * self.receipt.size)
            if connection.receipts == NULL:
                raise MemoryError
        append(&its.subscribers, &its.subscriber_count, self.connection_count - 1)

    def run(self, double warmup, double seconds):
        cdef int number
        cdef Connection* connection
        for number in range(self.connection_count):
            connection = &self.connections[number]
            connection.expected = <uint32_t*>calloc(
                self.groups[connection.group].publisher_count + 1, sizeof(uint32_t))
            if connection.expected == NULL:
                raise MemoryError
        for number in range(self.group_count):
            if not self.replies and not self.groups[number].subscriber_count:
                raise ValueError("without subscribers or replies nothing tells what arrived")
        with nogil:
            self.loop(<int64_t>(warmup * 1e9), <int64_t>(seconds * 1e9))
        if self.faulted:
            raise ConnectionError(self.fault.decode(errors="replace"))

    cdef void loop(self, int64_t warmup, int64_t duration) noexcept nogil:
        cdef Phase phase = WARMING
        cdef bint more = True, idle
        cdef int at
        cdef int64_t now, progress = 0, progressed
        self.began = progressed = now_ns()
        self.measured_from = self.began + warmup
        while phase != OVER and not self.faulted:
            readiness_wait(&self.ready, 0 if more else self.pause(phase))
            for at in range(self.ready.count):
                self.turn(ready_id(&self.ready, at), ready_for(&self.ready, at))
            self.settle()
            now = now_ns()
            idle = phase < DRAINING and not self.outstanding()
            if idle or self.received + self.answered != progress:
                progress = self.received + self.answered
                progressed = now
            phase = self.next_phase(phase, now, progressed, duration)
            more = phase < DRAINING and self.feed(now)

    cdef int64_t pause(self, Phase phase) noexcept nogil:
        cdef int64_t due
        if not self.rate or phase >= DRAINING:
            return IDLE_NS
        due = self.began + (self.granted + 1) * 1000000000 // self.rate - now_ns()
        return max(0, min(due, IDLE_NS))

    cdef Phase next_phase(self, Phase phase, int64_t now, int64_t progressed,
                          int64_t duration) noexcept nogil:
        if phase == WARMING and now >= self.measured_from:
            self.note(&self.first, now)
            phase = MEASURING
        if phase == MEASURING and now >= self.first.at + duration:
            self.note(&self.last, now)
            phase = DRAINING
        if phase < LINGERING and now - progressed > self.patience:
            if phase < DRAINING:
                self.note(&self.last, now)
            return OVER
        if phase == DRAINING and not self.outstanding():
            phase = LINGERING
        if phase == LINGERING and now - progressed > LINGER_NS:
            phase = OVER
        return phase

    cdef void note(self, Moment* moment, int64_t now) noexcept nogil:
        cdef int number
        moment.at = now
        moment.processor = processor_ns()
        moment.received, moment.replies = self.received, self.answered
        moment.completed = 0
        for number in range(self.group_count):
            moment.completed += self.groups[number].completed

    cdef int64_t expected_deliveries(self) noexcept nogil:
        cdef int64_t expected = 0
        cdef int number
        for number in range(self.group_count):
            expected += self.groups[number].granted * self.groups[number].subscriber_count
        return expected

    cdef bint outstanding(self) noexcept nogil:
        if self.replies and self.answered < self.granted:
            return True
        return self.received < self.expected_deliveries()

    # --- publishing --------------------------------------------------------------------------

    cdef bint feed(self, int64_t now) noexcept nogil:
        """Let publishers send what may be sent; whether there is more that could be."""
        cdef int64_t due = INT64_MAX
        cdef bint more = False
        cdef int _turn
        if self.rate:
            due = <int64_t>(<double>(now - self.began) * self.rate / 1e9) - self.granted
        for _turn in range(self.group_count):
            if due <= 0:
                break
            more |= self.feed_group(&self.groups[self.next_group], &due)
            self.next_group = (self.next_group + 1) % self.group_count
        return more and not self.rate

    cdef bint feed_group(self, Group* group, int64_t* due) noexcept nogil:
        cdef int64_t room = min(self.window - (group.granted - group.completed), due[0])
        cdef int64_t count
        cdef bint more = False
        cdef int _turn
        cdef Connection* publisher
        for _turn in range(group.publisher_count):
            if room <= 0:
                return False
            publisher = &self.connections[group.publishers[group.turn]]
            group.turn = (group.turn + 1) % group.publisher_count
            if publisher.blocked:
                continue
            count = min(room, self.write_messages)
            room -= count
            due[0] -= count
            group.granted += count
            self.granted += count
            if self.timed:
                self.stamp(publisher, count)
            publisher.granted += count * self.published_bytes
            self.push(publisher)
            more |= not publisher.blocked
        return more and room > 0

    cdef void stamp(self, Connection* publisher, int64_t count) noexcept nogil:
        cdef int64_t frame = publisher.granted // self.published_bytes
        cdef int64_t now = now_ns()
        while count:
            memcpy(self.moment_of(publisher, frame), &now, sizeof(now))
            frame += 1
            count -= 1

    cdef char* moment_of(self, Connection* publisher, int64_t frame) noexcept nogil:
        cdef int64_t at = frame % self.ring_messages * self.published_bytes
        return publisher.ring + at + self.published_at + MOMENT_AT

    cdef void push(self, Connection* publisher) noexcept nogil:
        cdef int64_t ring_bytes = self.ring_messages * self.published_bytes
        cdef int64_t at, size
        cdef Py_ssize_t put = 1
        while publisher.sent < publisher.granted and put > 0:
            at = publisher.sent % ring_bytes
            size = min(publisher.granted - publisher.sent, ring_bytes - at)
            put = write_some(publisher.fd, publisher.ring + at, size)
            publisher.sent += max(put, 0)
        if put < 0:
            self.blame("the broker closed a publisher's connection", 0)
        else:
            self.block(publisher, publisher.sent < publisher.granted)
        if publisher.pong_due and not publisher.blocked:
            self.pong(publisher)

    cdef void block(self, Connection* connection, bint blocked) noexcept nogil:
        """Whether to be told when there is room to send again."""
        if blocked != connection.blocked:
            connection.blocked = blocked
            readiness_change(&self.ready, connection.fd, <int>(connection - self.connections),
                             READABLE | WRITABLE if blocked else READABLE)

    # --- receiving ---------------------------------------------------------------------------

    cdef void turn(self, int number, int ready) noexcept nogil:
        cdef Connection* connection = &self.connections[number]
        if ready & WRITABLE:
            if connection.place < 0:
                self.send_receipts(connection)
            else:
                self.push(connection)
        if ready & READABLE:
            if connection.place < 0 or not self.replies:
                self.take(connection)
            elif not self.receipt.size:
                self.count_lines(connection)
            else:
                self.count_receipts(connection)

    cdef void settle(self) noexcept nogil:
        """What each group's slowest subscriber has, and what was acknowledged, if that counts."""
        cdef int number, at
        cdef int64_t least
        cdef Group* group
        for number in range(self.group_count):
            group = &self.groups[number]
            if not group.touched:
                continue
            group.touched = False
            least = INT64_MAX
            for at in range(group.subscriber_count):
                least = min(least, self.connections[group.subscribers[at]].received)
            # An identifier is free again when its message is acknowledged.
            if not group.subscriber_count or self.replies and self.receipt.size:
                least = min(least, self.replies_to(group))
            group.completed = least

    cdef int64_t replies_to(self, Group* group) noexcept nogil:
        cdef int64_t replies = 0
        cdef int at
        for at in range(group.publisher_count):
            replies += self.connections[group.publishers[at]].replies
        return replies

    cdef void count_lines(self, Connection* publisher) noexcept nogil:
        """Each line is the reply to one message; a minus sign is in none that went well."""
        cdef Py_ssize_t size = self.fill(publisher), at
        cdef int64_t lines = 0
        cdef const char* refusal
        for at in range(size):
            lines += self.buffer[at] == c'\n'
        refusal = <const char*>memchr(self.buffer, c'-', size)
        if refusal != NULL:
            self.blame(refusal, self.buffer + size - refusal)
        self.count(publisher, lines)

    cdef void count_receipts(self, Connection* publisher) noexcept nogil:
        """Messages are acknowledged in the order of publishing, one by one or several at once."""
        cdef Py_ssize_t size = self.fill(publisher), at = 0
        cdef int64_t receipts = 0, more
        while size - at >= self.receipt.size:
            more = self.acknowledged_by(self.buffer + at, publisher, receipts)
            if more == 0:
                self.blame("the broker sent a publisher something else than the next receipt", 0)
                break
            receipts += more
            at += self.receipt.size
        self.keep(publisher, at, size)
        self.count(publisher, receipts)

    cdef inline int64_t acknowledged_by(self, const char* at, Connection* publisher,
                                        int64_t receipts) noexcept nogil:
        """How many messages behind the first ``receipts`` a receipt is for; 0: it is not next."""
        cdef int64_t before = publisher.replies + receipts
        cdef bint all_up_to = False
        cdef int64_t identifier = read_receipt(&self.receipt, at, &all_up_to)
        if self.receipt.identifier_size == PACKET_IDENTIFIER_BYTES:
            return identifier == before % self.ring_messages + 1
        if not before < identifier <= publisher.granted // self.published_bytes:
            return 0
        return identifier - before if all_up_to else identifier == before + 1

    cdef void count(self, Connection* publisher, int64_t replies) noexcept nogil:
        cdef int64_t now, moment
        cdef int64_t frame
        if self.timed:
            now = now_ns()
            for frame in range(publisher.replies, publisher.replies + replies):
                memcpy(&moment, self.moment_of(publisher, frame), sizeof(moment))
                if moment >= self.measured_from:
                    self.acknowledgement.add(now - moment)
        publisher.replies += replies
        self.answered += replies
        self.groups[publisher.group].touched = True

    cdef Py_ssize_t fill(self, Connection* connection) noexcept nogil:
        """Read, behind what had not come whole; how much there is then."""
        cdef Py_ssize_t got
        memcpy(self.buffer, connection.carry, connection.carried)
        got = read_some(connection.fd, self.buffer + connection.carried, READ_BYTES)
        if got < 0:
            if connection.place < 0:
                self.blame("the broker closed a connection: too slow a subscriber?", 0)
            else:
                self.blame("the broker closed a publisher's connection", 0)
            return 0
        return connection.carried + got

    cdef void keep(self, Connection* connection, Py_ssize_t at, Py_ssize_t size) noexcept nogil:
        """What has not come whole. After a fault, it may be more than there is room for."""
        if not self.faulted:
            connection.carried = size - at
            memcpy(connection.carry, self.buffer + at, size - at)

    cdef void take(self, Connection* connection) noexcept nogil:
        """Read messages, and lines that are none."""
        cdef char* buffer = self.buffer
        cdef Py_ssize_t size = self.fill(connection), at = 0, line
        cdef int64_t now = now_ns() if self.timed else 0
        while size - at >= self.start_at + START_BYTES and not self.faulted:
            if connection.place < 0 and load32(buffer + at + self.start_at) == self.start:
                if size - at < self.delivered_bytes:
                    break
                self.check(connection, buffer + at, now)
                at += self.delivered_bytes
            else:
                line = self.read_line(connection, buffer + at, size - at)
                if line == 0:
                    break
                at += line
        self.keep(connection, at, size)
        self.groups[connection.group].touched = True
        if connection.receipts_size and not connection.blocked:
            self.send_receipts(connection)

    cdef inline void check(self, Connection* subscriber, const char* frame,
                           int64_t now) noexcept nogil:
        cdef const char* payload = frame + self.delivered_at
        cdef uint32_t publisher = load32(payload), number = load32(payload + NUMBER_AT)
        cdef int64_t moment
        if publisher >= <uint32_t>self.groups[subscriber.group].publisher_count:
            self.blame("a subscriber received what was not published to it", 0)
            return
        subscriber.received += 1
        self.received += 1
        if self.confirms:
            self.confirm(subscriber, frame + self.identifier_at)
        if number != subscriber.expected[publisher]:
            self.misplaced(&subscriber.expected[publisher], number)
        else:
            subscriber.expected[publisher] += 1
        if subscriber.expected[publisher] == self.ring_messages:
            subscriber.expected[publisher] = 0
        if self.timed:
            memcpy(&moment, payload + MOMENT_AT, sizeof(moment))
            if moment >= self.measured_from:
                self.delivery.add(now - moment)

    cdef void misplaced(self, uint32_t* expected, uint32_t number) noexcept nogil:
        """A number ahead of its turn tells of losses, one behind of a repetition."""
        cdef int64_t ahead = <int64_t>number - expected[0]
        if ahead < 0:
            ahead += self.ring_messages
        if ahead > self.ring_messages // 2:
            self.repeated += 1
        else:
            self.skipped += ahead
            expected[0] = number + 1

    cdef void confirm(self, Connection* subscriber, const char* identifier) noexcept nogil:
        subscriber.unconfirmed += 1
        if subscriber.unconfirmed < self.confirms:
            return
        subscriber.unconfirmed = 0
        if subscriber.receipts_size == IDENTIFIERS * self.receipt.size:
            self.blame("the broker does not read receipts", 0)
            return
        write_receipt(&self.receipt, subscriber.receipts + subscriber.receipts_size, identifier,
                      self.confirms > 1)
        subscriber.receipts_size += self.receipt.size

    cdef void send_receipts(self, Connection* subscriber) noexcept nogil:
        cdef Py_ssize_t size = subscriber.receipts_size
        cdef Py_ssize_t put = write_some(subscriber.fd, subscriber.receipts, size)
        if put < 0:
            self.blame("the broker closed a subscriber's connection", 0)
            return
        subscriber.receipts_size = size - put
        memmove(subscriber.receipts, subscriber.receipts + put, size - put)
        self.block(subscriber, put < size)

    cdef Py_ssize_t read_line(self, Connection* connection, const char* at,
                              Py_ssize_t size) noexcept nogil:
        """The size of the line at ``at``; 0 if its end has not come."""
        cdef const char* end
        if self.receipt.size:
            self.blame("the broker sent something that was not due", 0)
            return 0
        end = <const char*>memchr(at, c'\n', min(size, LINE_BYTES))
        if end == NULL:
            if size >= LINE_BYTES:
                self.blame(at, size)
            return 0
        if memcmp(at, b"PING", 4) == 0:
            connection.pong_due = True
            # Not into the middle of a frame: what is half sent is finished first.
            if connection.sent == connection.granted:
                self.pong(connection)
        elif memcmp(at, b"INFO", 4) != 0 and at[0] != c'+':
            self.blame(at, end - at)
        return end - at + 1

    cdef void pong(self, Connection* connection) noexcept nogil:
        connection.pong_due = False
        if write_some(connection.fd, <const char*>b"PONG\r\n", 6) != 6:
            self.blame("the broker does not read", 0)

    cdef void blame(self, const char* text, Py_ssize_t size) noexcept nogil:
        """Remember the first fault, which ends the run; ``size`` 0: ``text`` ends by itself."""
        cdef Py_ssize_t at = 0
        if self.faulted:
            return
        self.faulted = True
        while at < FAULT_BYTES - 1 and (at < size or not size):
            if text[at] in (0, c'\r', c'\n'):
                break
            self.fault[at] = text[at]
            at += 1
        self.fault[at] = 0

    # --- what came of it ---------------------------------------------------------------------

    @property
    def seconds(self):
        return (self.last.at - self.first.at) / 1e9

    @property
    def processor_seconds(self):
        return (self.last.processor - self.first.processor) / 1e9

    @property
    def published(self):
        return self.last.completed - self.first.completed

    @property
    def delivered(self):
        return self.last.received - self.first.received

    @property
    def acknowledged(self):
        return self.last.replies - self.first.replies

    @property
    def sent_in_all(self):
        return self.granted

    @property
    def received_in_all(self):
        return self.received

    @property
    def lost(self):
        missing = self.expected_deliveries() - self.received + self.repeated
        if self.replies:
            missing += max(0, self.granted - self.answered)
        return max(missing, self.skipped)

    @property
    def duplicated(self):
        return self.repeated
