# cython: language_level=3, boundscheck=False, wraparound=False
"""Messages as PUBLISH packets, and what is on its way to a client."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from hubbub.broker.routes cimport Route
from hubbub.broker.run cimport is_plain, value_of
from hubbub.broker.writing cimport put, put_bytes

from hubbub.protocols.mqtt import mapping
from hubbub.protocols.mqtt.marks import encode_mark

cdef object MAPPING = mapping

cdef enum:
    PUBLISH = 0x30
    RETAIN = 0x01
    MAX_ID = 65535
    MOST_REMAINING = 268_435_455
    # How far a packet is that nobody will send again: its QoS, or that PUBREL is on its way.
    AT_LEAST_ONCE = 1
    RELEASED = 3

RELEASED_TOKEN = RELEASED


cdef struct Place:
    Py_ssize_t end      # of the packet
    Py_ssize_t id_at    # where its Packet Identifier stands


cdef inline Py_ssize_t length_size(Py_ssize_t value) noexcept nogil:
    if value < 128:
        return 1
    if value < 16_384:
        return 2
    return 3 if value < 2_097_152 else 4


cdef inline uint8_t* put_length(uint8_t* at, Py_ssize_t value) noexcept nogil:
    """Write a Variable Byte Integer (MQTT 5 section 1.5.5)."""
    while value > 127:
        at[0] = <uint8_t>(value & 127 | 128)
        at += 1
        value >>= 7
    at[0] = <uint8_t>value
    return at + 1


cdef class MqttOrigin(Origin):
    """``headers`` of a view are properties, ``reply`` is there if it is to be retained."""

    cdef object message(self, const View* view):
        return mapping.message_of(
            (<Route>view.route).address, value_of(view), view.headers[:view.headers_size],
            view.timestamp_ms, retain=view.reply_size > 0)

    cdef bytes mark(self, const View* view, object source):
        return encode_mark(view.qos, view.reply_size > 0, source.client_id,
                           view.headers[:view.headers_size])


cdef class PublishStyle(Style):

    def __init__(self, bint has_properties, int qos, bint as_published, bytes identifiers=b""):
        self._has_properties = has_properties
        self.qos = qos
        self._as_published = as_published
        self._identifiers = identifiers

    cdef bytes render(self, Run run):
        cdef Py_ssize_t room = 0, index, remaining
        cdef const void* last = NULL
        cdef bytes packets, places = None
        cdef bytes topic = None
        cdef uint8_t* start
        cdef uint8_t* at
        cdef const View* view
        cdef Extra extra
        cdef Place* place = NULL
        for index in range(run.count):
            view = &run.views[index]
            if view.route != last:
                last = view.route
                topic = (<Route>view.route).spelled(MAPPING)
            self._extra(run, index, &extra)
            remaining = self._remaining(PyBytes_GET_SIZE(topic), &extra, view)
            if remaining <= MOST_REMAINING:
                room += 1 + length_size(remaining) + remaining
        packets = PyBytes_FromStringAndSize(NULL, room)
        start = at = <uint8_t*>PyBytes_AS_STRING(packets)
        if self.qos:
            places = PyBytes_FromStringAndSize(NULL, run.count * sizeof(Place))
            place = <Place*>PyBytes_AS_STRING(places)
            run.take_note(self, places)
        last = NULL
        for index in range(run.count):
            view = &run.views[index]
            if view.route != last:
                last = view.route
                topic = (<Route>view.route).spelled(MAPPING)
            self._extra(run, index, &extra)
            remaining = self._remaining(PyBytes_GET_SIZE(topic), &extra, view)
            if remaining <= MOST_REMAINING:
                at = self._put_head(at, topic, &extra, remaining)
                if view.value_size > 0:  # MQTT has no null message
                    at = put(at, view.value, view.value_size)
            if place != NULL:
                place.end = at - start
                place.id_at = place.end - remaining + 2 + PyBytes_GET_SIZE(topic)
                place += 1
        return packets

    cdef int _extra(self, Run run, Py_ssize_t index, Extra* extra) except -1:
        """What the message at ``index`` has beside topic and payload; the run holds it."""
        cdef const View* view = &run.views[index]
        cdef bytes properties
        extra.size = 0
        extra.retain = False
        if is_plain(view) and view.key_size < 0:
            return 0
        if isinstance(run.origin, MqttOrigin):
            extra.properties, extra.size = view.headers, view.headers_size
            extra.retain = view.reply_size > 0
        else:
            properties = foreign(run)[index]
            extra.properties = <const uint8_t*>PyBytes_AS_STRING(properties)
            extra.size = PyBytes_GET_SIZE(properties)
        return 0

    cdef Py_ssize_t _remaining(self, Py_ssize_t topic_size, const Extra* extra,
                               const View* view) noexcept:
        """The Remaining Length (section 2.1.4), or more than it can be: then there is no packet."""
        cdef Py_ssize_t size = 2 + topic_size + max(view.value_size, 0), properties
        if topic_size == 0:  # what the address is spelled as is too long
            return MOST_REMAINING + 1
        if self.qos:
            size += 2
        if self._has_properties:
            properties = PyBytes_GET_SIZE(self._identifiers) + extra.size
            size += length_size(properties) + properties
        return size

    cdef uint8_t* _put_head(self, uint8_t* at, bytes topic, const Extra* extra,
                            Py_ssize_t remaining) noexcept:
        """All before the payload. The Packet Identifier is for whoever sends it."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(topic)
        at[0] = <uint8_t>(PUBLISH | self.qos << 1)
        if self._as_published and extra.retain:
            at[0] |= RETAIN  # [MQTT-3.3.1-13], else [MQTT-3.3.1-12]
        at = put_length(at + 1, remaining)
        at[0], at[1] = <uint8_t>(size >> 8), <uint8_t>(size & 255)
        at = put_bytes(at + 2, topic)
        if self.qos:
            at[0] = at[1] = 0
            at += 2
        if self._has_properties:
            at = put_length(at, PyBytes_GET_SIZE(self._identifiers) + extra.size)
            at = put_bytes(at, self._identifiers)
            at = put(at, extra.properties, extra.size)
        return at


cdef list foreign(Run run):
    """Properties of each message that another protocol published."""
    found = run.note(MAPPING)
    if found is None:
        found = run.take_note(MAPPING, [
            mapping.properties_of(message, message.timestamp_ms) for message in run.messages()])
    return <list>found


cdef class Match:

    def __init__(self, tuple styles not None, int qos, bint as_published, tuple identifiers=()):
        self._at_most_once, self._at_least_once, self._exactly_once = styles
        self.qos = qos
        self.as_published = as_published
        self.identifiers = identifiers

    cdef PublishStyle style(self, int qos):
        if qos == 0:
            return self._at_most_once
        return self._at_least_once if qos == AT_LEAST_ONCE else self._exactly_once


cdef class Outgoing:

    def __init__(self, owner):
        self.owner = owner
        self.in_flight = {}
        self.receive_maximum = MAX_ID

    def room_left(self):
        return self.room()

    def next_id(self):
        return self.take_id()

    @property
    def last_id(self):
        return self._last_id

    def resume_after(self, int last_id):
        self._last_id = last_id

    cdef Py_ssize_t room(self) except -1:
        """How many more packets may be unacknowledged (MQTT 5 section 4.9)."""
        if self.outbox is None:
            return 0
        return max(self.receive_maximum - (<Py_ssize_t>len(self.in_flight) - self.unsent), 0)

    cdef int take_id(self) except -1:
        """A Packet Identifier that is not in use [MQTT-2.2.1-4], while there is room."""
        cdef int packet_id = self._last_id
        while True:
            packet_id = packet_id % MAX_ID + 1
            if packet_id not in self.in_flight:
                self._last_id = packet_id
                return packet_id

    cdef int deliver(self, Run run, Match match, int qos) except -1:
        """Send what there is room for; the rest is the owner's to keep."""
        cdef bytes packets
        cdef Py_ssize_t first = 0
        if self.one_by_one or qos:
            if not qos:
                first = run.count
            elif not self.owner.has_waiting:
                first = min(self.room(), run.count)
            if first == 0:
                pass
            elif self.one_by_one or self.keeps:
                self._hand(self.owner.send, run, 0, first, match, qos)
            else:
                self._deliver_acknowledged(run, first, match, qos)
            if first < run.count:
                self._hand(self.owner.keep, run, first, run.count, match, qos)
            return 0
        packets = run.rendered(match.style(0))
        if packets and not self.outbox.deliver(packets):
            self.owner.slow_consumer()
        return 0

    cdef int _deliver_acknowledged(self, Run run, Py_ssize_t count, Match match,
                                   int qos) except -1:
        """The first ``count`` as they were rendered for all, but for the Packet Identifiers."""
        cdef PublishStyle style = match.style(qos)
        cdef bytes packets = run.rendered(style), own
        cdef Place* place = <Place*>PyBytes_AS_STRING(<bytes>run.note(style))
        cdef uint8_t* start
        cdef Py_ssize_t index, before = 0
        cdef int packet_id
        own = PyBytes_FromStringAndSize(NULL, place[count - 1].end)
        start = <uint8_t*>PyBytes_AS_STRING(own)
        memcpy(start, PyBytes_AS_STRING(packets), place[count - 1].end)
        for index in range(count):
            if place[index].end == before:
                continue  # there is no packet
            before = place[index].end
            packet_id = self.take_id()
            self.in_flight[packet_id] = qos
            start[place[index].id_at] = <uint8_t>(packet_id >> 8)
            start[place[index].id_at + 1] = <uint8_t>(packet_id & 255)
        if not self.outbox.deliver(own):
            self.owner.slow_consumer()
        return 0

    cdef int _hand(self, object call, Run run, Py_ssize_t first, Py_ssize_t end, Match match,
                   int qos) except -1:
        """The messages from ``first`` to before ``end``, as objects."""
        cdef list messages = run.messages()
        cdef Py_ssize_t index
        for index in range(first, end):
            call(messages[index], run.origin.mark(&run.views[index], run.source), match, qos)
        return 0


cdef class Deliveries(RunObserver):

    def __init__(self, owner, Outgoing outgoing not None, Match only=None, share=None,
                 bint at_most_once=False):
        self.owner = owner
        self.share = share
        self.only = only
        self.at_most_once = at_most_once
        self.outbox = outgoing.outbox
        self._outgoing = outgoing

    @property
    def subscriber(self):
        return self.owner.subscriber

    def narrow(self, Match only):
        self.only = only

    cdef int take(self, Run run) except -1:
        """Cut the run where what was subscribed to, or asked for, changes."""
        cdef Py_ssize_t first = 0, index
        cdef int asked, qos
        cdef Match match
        while first < run.count:
            asked = run.views[first].qos
            match = self._match(run, first)
            index = first + 1
            while (index < run.count and run.views[index].qos == asked
                    and (self.only is not None
                         or run.views[index].route == run.views[first].route)):
                index += 1
            if match is not None and self._outgoing.outbox is not None:
                # [MQTT-3.8.4-8] no more than it was published with, nor than was granted.
                qos = min(asked, match.qos)
                if not self.at_most_once or not (asked if self.share is not None else qos):
                    self._outgoing.deliver(
                        run if index - first == run.count else run.slice(first, index - first),
                        match, qos)
            first = index
        return 0

    cdef Match _match(self, Run run, Py_ssize_t index):
        """What was subscribed to that the message at ``index`` matches."""
        if self.only is not None:
            return self.only
        return <Match>self.owner.match((<Route>run.views[index].route).address,
                                       run.source is not None and run.source is self.owner.session)
