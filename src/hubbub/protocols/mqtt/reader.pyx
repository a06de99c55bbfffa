# cython: language_level=3, boundscheck=False, wraparound=False
"""What MQTT clients send, cut into control packets, and the hot path of it: PUBLISH.

Section numbers are those of MQTT 5, unless they say otherwise.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc

from hubbub.broker.outbox cimport Outbox
from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport Burst, Origin, View

from hubbub.model.errors import DeniedError, HubbubError, InvalidAddressError
from hubbub.protocols.mqtt import codec
from hubbub.protocols.mqtt.acknowledgements import Acknowledgements
from hubbub.protocols.mqtt.reasons import MqttError, Reason, malformed, protocol_error

cdef enum:
    INCOMPLETE = -1
    CLOSED = -2
    CONNECT = 1
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PINGREQ = 12
    RETAIN = 0x01
    DUP = 0x08
    VERSION_5 = 5
    LENGTH_BYTES = 4
    NO_MATCHING_SUBSCRIBERS = 0x10
    # Places of messages that are not in the burst.
    TAKEN_BEFORE = -1
    NO_SUCH_TOPIC = -2
    # Publishes carried out together: enough that what is done once for all of them does not count,
    # and a rendering of them fits a processor's cache.
    MOST_IN_BURST = 2048
    # Acknowledgements that wait for the disk before no more is read.
    MOST_WAITING = 64 * 1024
    # Before anybody has said who they are: credentials and a will fit.
    LARGEST_CONNECT = 128 * 1024

cdef bytes PINGRESP = codec.PINGRESP


cdef inline int two_bytes(const uint8_t* at) noexcept nogil:
    return at[0] << 8 | at[1]


cdef inline Py_ssize_t variable(const uint8_t** at, const uint8_t* end) noexcept nogil:
    """A Variable Byte Integer (1.5.5), and ``at`` behind it; -1 if it is none, -2 if it is cut."""
    cdef Py_ssize_t value = 0
    cdef int index
    cdef uint8_t byte
    for index in range(LENGTH_BYTES):
        if at[0] == end:
            return -2
        byte = at[0][0]
        at[0] += 1
        value |= <Py_ssize_t>(byte & 127) << (7 * index)
        if byte < 128:
            # [MQTT-1.5.5-1] as few bytes as the value needs.
            return -1 if byte == 0 and index else value
    return -1


cdef class MqttPublisher(Publisher):

    def __init__(self, broker, mapping, Origin origin not None):
        super().__init__(broker, mapping, origin)
        self._kept = []
        self._will = Burst(origin)

    def publish_will(self, source, will, str principal):
        cdef Burst burst = self._will
        cdef View* view
        cdef bytes topic = will.topic, payload = will.payload, properties = will.properties
        cdef Run run
        burst.begin(source, self.dispatcher.wall_ms())
        view = burst.add_named(self.names, <const uint8_t*>PyBytes_AS_STRING(topic), len(topic))
        view.value, view.value_size = <const uint8_t*>PyBytes_AS_STRING(payload), len(payload)
        view.headers = <const uint8_t*>PyBytes_AS_STRING(properties)
        view.headers_size = len(properties)
        view.qos = will.qos
        if will.retain:
            view.reply, view.reply_size = <const uint8_t*>PyBytes_AS_STRING(topic), 1
        run = burst.run(0, 1)
        outcome = self.dispatcher.publish_run(run, principal)
        return outcome, burst.origin.message(view), burst.origin.mark(view, source)

    def __dealloc__(self):
        free(self._pending)

    cdef int begin(self, object source) except -1:
        """Empty the burst, for messages that ``source`` publishes now."""
        self.burst.begin(source, self.dispatcher.wall_ms())
        self._pending_count = 0
        self._kept.clear()
        return 0

    cdef int expect(self, Py_ssize_t index, int packet_id, int qos) except -1:
        """The message at ``index`` is to be acknowledged."""
        cdef Pending* pending
        cdef Py_ssize_t room
        if self._pending_count == self._pending_room:
            room = max(2 * self._pending_room, <Py_ssize_t>16)
            pending = <Pending*>realloc(self._pending, room * sizeof(Pending))
            if pending == NULL:
                raise MemoryError
            self._pending, self._pending_room = pending, room
        pending = &self._pending[self._pending_count]
        pending.index, pending.packet_id, pending.qos = index, packet_id, qos
        self._pending_count += 1
        return 0


cdef class MqttReader(StreamSession):

    def __init__(self, MqttPublisher publisher not None, Outbox outbox not None):
        self.publisher = publisher
        self.outbox = outbox
        self.principal = ""
        self.packet_limit = LARGEST_CONNECT
        self.acknowledgements = Acknowledgements(outbox)

    def mark_closed(self):
        self.closed = True

    cdef bint is_paused(self) except -1:
        """Whether so many acknowledgements wait for the disk that no more should be read."""
        return self.acknowledgements.waiting >= MOST_WAITING

    cdef Py_ssize_t consume(self, const uint8_t* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t at = 0, used
        if self.closed:
            return size
        self.active_at = self.publisher.dispatcher.now()
        self.publisher.begin(self)
        try:
            while at < size:
                used = self._packet(data + at, size - at)
                if used == INCOMPLETE:
                    break
                at += used
                if self.closed:
                    break
            self._publish()
        except MqttError as error:
            # What came before it is right.
            self._publish()
            self.fail(error)
        except BaseException:
            self._give_up()
            raise
        return size if self.closed else at

    cdef int _give_up(self) except -1:
        """What is in the burst was not taken: its sender has to say it again."""
        cdef Py_ssize_t at
        for at in range(self.publisher._pending_count):
            if self.publisher._pending[at].index >= 0:
                self.received.discard(self.publisher._pending[at].packet_id)
        self.publisher.begin(self)
        return 0

    cdef Py_ssize_t _packet(self, const uint8_t* data, Py_ssize_t size) except -3:
        """Act on the control packet that ``data`` begins with (2.1); its size."""
        cdef const uint8_t* at = data + 1
        cdef const uint8_t* end = data + size
        cdef int kind = data[0] >> 4
        cdef Py_ssize_t remaining
        if not self.version and data[0] != CONNECT << 4:
            # [MQTT-3.1.0-1] whoever begins otherwise speaks another protocol, or none.
            raise protocol_error("the first packet is CONNECT")
        remaining = variable(&at, end)
        if remaining == -2:
            return INCOMPLETE
        if remaining < 0:
            raise malformed("no Remaining Length")
        if at - data + remaining > self.packet_limit:
            self._too_large()
        if end - at < remaining:
            return INCOMPLETE
        if kind == PUBLISH:
            self._take_publish(data[0], at, remaining)
            if self.publisher.burst.count >= MOST_IN_BURST:
                self._publish()
        elif kind == PINGREQ and data[0] & 15 == 0 and remaining == 0:
            self._publish()
            self.outbox.add(PINGRESP)
        elif kind == PUBACK and data[0] & 15 == 0 and remaining == 2:
            self.puback(two_bytes(at))
        else:
            self._control(data[0], at, remaining)
        return at - data + remaining

    cdef int _too_large(self) except -1:
        if not self.version:
            raise malformed("a CONNECT of this size")
        raise MqttError(self.size_reason(), "a packet is larger than the limit")

    cdef int _control(self, int head, const uint8_t* body, Py_ssize_t size) except -1:
        """Any other packet, after what was published before it."""
        self._publish()
        if not self.closed:
            self.control(head, PyBytes_FromStringAndSize(<const char*>body, size))
        return 0

    # --- PUBLISH (3.3) ------------------------------------------------------------------------

    cdef int _take_publish(self, int head, const uint8_t* body, Py_ssize_t size) except -1:
        cdef const uint8_t* at = body
        cdef const uint8_t* end = body + size
        cdef const uint8_t* topic
        cdef Py_ssize_t topic_size
        cdef Properties properties
        cdef int qos = head >> 1 & 3, packet_id = 0
        if qos == 3:
            raise malformed("a QoS is 0, 1 or 2")           # [MQTT-3.3.1-4]
        if qos == 0 and head & DUP:
            raise malformed("DUP without a QoS")            # [MQTT-3.3.1-2]
        if size < 2:
            raise malformed("a PUBLISH has a Topic Name")
        topic_size = two_bytes(at)
        topic = at + 2
        if end - topic < topic_size + (2 if qos else 0):
            raise malformed("a PUBLISH ends before its fields do")
        at = topic + topic_size
        if qos:
            packet_id = two_bytes(at)
            at += 2
            if packet_id == 0:
                raise malformed("a Packet Identifier is not 0")     # [MQTT-2.2.1-3]
        properties.start = NULL
        properties.size = properties.alias = 0
        if self.version == VERSION_5:
            self._take_properties(&at, end, &properties)
        self._add(head, topic, topic_size, packet_id, &properties, at, end - at)
        return 0

    cdef int _take_properties(self, const uint8_t** at, const uint8_t* end,
                              Properties* properties) except -1:
        """Check the properties of a PUBLISH (3.3.2.3); its Topic Alias is cut out."""
        cdef Py_ssize_t size = variable(at, end)
        cdef bytes checked
        if size < 0 or end - at[0] < size:
            raise malformed("no properties")
        if size == 0:
            return 0
        # Clients write the same few properties again and again, which are checked once.
        properties.alias, checked = codec.publish_properties(
            PyBytes_FromStringAndSize(<const char*>at[0], size))
        self.publisher._kept.append(checked)
        properties.start = <const uint8_t*>PyBytes_AS_STRING(checked)
        properties.size = PyBytes_GET_SIZE(checked)
        at[0] += size
        return 0

    cdef int _add(self, int head, const uint8_t* topic, Py_ssize_t topic_size, int packet_id,
                  const Properties* properties, const uint8_t* payload,
                  Py_ssize_t size) except -1:
        """Publish, together with what follows in the chunk."""
        cdef Burst burst = self.publisher.burst
        cdef int qos = head >> 1 & 3
        cdef View* view
        cdef bytes name
        if qos == 2 and packet_id in self.received:
            # [MQTT-4.3.3-10] it was taken already, and is acknowledged again.
            self.publisher.expect(TAKEN_BEFORE, packet_id, qos)
            return 0
        if properties.alias or topic_size == 0:
            name = self._topic_of(topic, topic_size, properties.alias)
            self.publisher._kept.append(name)
            topic, topic_size = <const uint8_t*>PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name)
        if topic_size and topic[0] == c"$" and not self.may_name(topic[:topic_size]):
            if qos:
                self.publisher.expect(NO_SUCH_TOPIC, packet_id, qos)
            return 0
        try:
            view = burst.add_named(self.publisher.names, topic, topic_size)
        except InvalidAddressError as error:
            raise self.invalid_topic(error) from error
        self.publisher.received_messages += 1
        self.publisher.received_bytes += <uint64_t>size
        view.qos = qos
        view.value, view.value_size = payload, size
        view.headers, view.headers_size = properties.start, properties.size
        if head & RETAIN:
            view.reply, view.reply_size = topic, 1
            self._retains = True
        if qos:
            self.publisher.expect(burst.count - 1, packet_id, qos)
            if qos == 2:
                self.received.add(packet_id)
        return 0

    cdef bytes _topic_of(self, const uint8_t* topic, Py_ssize_t size, int alias):
        """The Topic Name behind an alias, which may be set by this very packet (3.3.2.3.4)."""
        if not alias:
            if self.version == VERSION_5:
                raise protocol_error("neither Topic Name nor Topic Alias")
            raise malformed("no Topic Name")
        if alias > self.topic_alias_maximum:
            raise MqttError(Reason.TOPIC_ALIAS_INVALID, "a Topic Alias above the maximum")
        if self._aliases is None:
            self._aliases = {}
        if size:
            self._aliases[alias] = PyBytes_FromStringAndSize(<const char*>topic, size)
        elif alias not in self._aliases:
            raise protocol_error("a Topic Alias that stands for nothing")
        return <bytes>self._aliases[alias]

    cdef int _publish(self) except -1:
        """Carry out what is in the burst, and acknowledge it when it is durable."""
        cdef MqttPublisher publisher = self.publisher
        cdef Outcome outcome
        cdef Run run
        cdef Outbox own = None
        if publisher.burst.count == 0 and publisher._pending_count == 0:
            return 0
        run = publisher.burst.run(0, publisher.burst.count)
        remembered = self._remember(run) if publisher._pending_count else None
        if publisher._pending_count:
            # What comes back to the client follows the acknowledgement, as in mosquitto.
            own = Outbox()
            self.own.outbox = own
        try:
            outcome = publisher.dispatcher.publish_run(run, self.principal)
        finally:
            if own is not None and self.own.outbox is own:
                self.own.outbox = self.outbox
        if publisher._pending_count or self._retains:
            self._acknowledge(run, outcome, remembered)
        publisher.begin(self)
        if own is not None:
            self._hand_over(own)
        return 0

    cdef object _remember(self, Run run):
        """Before it is published, what of QoS 2 is taken; what to wait for, if it is kept.

        After a crash in between, the position that a message was to have in the last topic that
        stores it says whether it is there (see ``Landing``).
        """
        cdef dict following = {}, landings = {}
        cdef Pending* pending = self.publisher._pending
        cdef Py_ssize_t at = 0, index
        cdef Py_ssize_t count = self.publisher._pending_count
        cdef bint any_new = False
        for index in range(count):
            any_new |= pending[index].qos == 2 and pending[index].index >= 0
        if not any_new or not self.keeps_received():
            return None
        for index in range(run.count):
            topics = (<Route>run.views[index].route).topics
            topic = topics[len(topics) - 1] if topics else None
            if topic is not None and (run.views[index].qos or not topic.queued):
                following[topic] = following.get(topic, 0) + 1
            while at < count and pending[at].index < index:
                at += 1
            if at < count and pending[at].index == index and pending[at].qos == 2:
                landings[pending[at].packet_id] = (
                    topic, following.get(topic, 0), (<Route>run.views[index].route).kept)
        try:
            return self.remember_received(landings, following)
        except MqttError:
            self._give_up()
            raise

    cdef int _hand_over(self, Outbox own) except -1:
        """What the client published came back to it."""
        if own.overflowed:
            self.outbox.overflow()
            self.slow_consumer()
            return 0
        for chunk in own.take():
            if not self.outbox.deliver(chunk):
                self.slow_consumer()
                break
        return 0

    cdef int _acknowledge(self, Run run, Outcome outcome, object remembered) except -1:
        cdef bint is_stored = bool(outcome.stored)
        cdef dict not_retained = self._retain(run, outcome) if self._retains else {}
        cdef bytes answers = self._answers(run, outcome, is_stored, not_retained)
        self._retains = False
        if not answers:
            return 0
        if remembered is not None:
            outcome.stored.append(remembered)
        failure = next(iter(outcome.failed.values())) if outcome.failed else None
        publication = None
        if outcome.stored or failure is not None:
            publication = outcome.publication(0, failure)
            self._note_taken(outcome, publication)
        if self._await_repeated(outcome):
            publication = outcome.publication(0, failure)
        if publication is not None:
            self.acknowledgements.later(
                answers, self.publisher._pending_count, publication, self.lost)
        else:
            self.acknowledgements.now(answers)
        return 0

    cdef bint _await_repeated(self, Outcome outcome) except -1:
        """What is published again is safe when it is the first time; whether that is to come.

        Nobody waits for these receipts in turn, or a client could make chains of them.
        """
        cdef Pending* pending = self.publisher._pending
        cdef Py_ssize_t at
        cdef dict found = None
        for at in range(self.publisher._pending_count):
            if pending[at].index == TAKEN_BEFORE:
                publication = self.receipts.pending(pending[at].packet_id)
                if publication is not None:
                    if found is None:
                        found = {}
                    found[id(publication)] = publication
        if found is not None:
            outcome.stored.extend(found.values())
        return found is not None

    cdef int _note_taken(self, Outcome outcome, object publication) except -1:
        """Until it is safe, what was taken at QoS 2 is not to be called so."""
        cdef Pending* pending = self.publisher._pending
        cdef Py_ssize_t at
        cdef list taken = None
        for at in range(self.publisher._pending_count):
            if (pending[at].qos == 2 and pending[at].index >= 0
                    and not (outcome.refused and pending[at].index in outcome.refused)):
                if taken is None:
                    taken = []
                taken.append(pending[at].packet_id)
        if taken is not None:
            self.receipts.taken(taken, publication)
        return 0

    def _retain(self, Run run, Outcome outcome):
        """Retain what is to be; by its place in the run, why something was not."""
        cdef dict failed = {}
        for index in range(run.count):
            if run.views[<Py_ssize_t>index].reply_size == 0 or index in outcome.refused:
                continue
            try:
                stored = self.retain(
                    run.origin.message(&run.views[<Py_ssize_t>index]),
                    run.origin.mark(&run.views[<Py_ssize_t>index], self))
            except HubbubError as error:
                failed[index] = error
                continue
            if stored is not None and run.views[<Py_ssize_t>index].qos:
                outcome.stored.append(stored)
        return failed

    cdef bytes _answers(self, Run run, Outcome outcome, bint is_stored, dict not_retained):
        """PUBACK and PUBREC in the order of what they acknowledge [MQTT-4.6.0-2, MQTT-4.6.0-3]."""
        cdef Py_ssize_t count = self.publisher._pending_count, at
        cdef Pending* pending = self.publisher._pending
        cdef bytes answers = PyBytes_FromStringAndSize(NULL, 5 * count)
        cdef uint8_t* start = <uint8_t*>PyBytes_AS_STRING(answers)
        cdef uint8_t* end = start
        cdef int reason
        for at in range(count):
            if not_retained and pending[at].index in not_retained:
                reason = self._refused(not_retained[pending[at].index], &pending[at])
            else:
                reason = self._reason(run, outcome, is_stored, &pending[at])
            end[0] = <uint8_t>((PUBACK if pending[at].qos == 1 else PUBREC) << 4)
            end[1] = 3 if reason else 2
            end[2] = <uint8_t>(pending[at].packet_id >> 8)
            end[3] = <uint8_t>(pending[at].packet_id & 255)
            end[4] = <uint8_t>reason
            end += 5 if reason else 4
        return answers[:end - start]

    cdef int _reason(self, Run run, Outcome outcome, bint is_stored,
                     const Pending* pending) except -1:
        if pending.index == TAKEN_BEFORE:
            return 0
        if pending.index == NO_SUCH_TOPIC:
            return self._refused(DeniedError("a name of the server's own"), pending)
        if outcome.refused and pending.index in outcome.refused:
            return self._refused(outcome.refused[pending.index], pending)
        if (self.version == VERSION_5 and pending.qos == 1 and not is_stored
                and outcome.delivered(run, pending.index) == 0):
            return NO_MATCHING_SUBSCRIBERS
        return 0

    cdef int _refused(self, object error, const Pending* pending) except -1:
        """The reason, which there is none of before version 5."""
        cdef int reason = self.refused(error)
        # Before version 5, what may not be published is acknowledged as if it was taken.
        if pending.qos == 2 and (self.version == VERSION_5 or not isinstance(error, DeniedError)):
            self.receipts.drop(pending.packet_id)  # [MQTT-4.3.3-9]
        return reason if self.version == VERSION_5 else 0
