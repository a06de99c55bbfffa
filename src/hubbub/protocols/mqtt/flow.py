"""What is on its way to one client: QoS 1 and 2 until they are acknowledged, and what has to wait.

Belongs to the session, not to the connection: a session that outlives its connection sends again
what was not acknowledged (MQTT 5 section 4.4). QoS 1 and 2 of such a session come from a queue of the broker,
so that nothing is lost with the broker; those of others wait in memory.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from hubbub.protocols.mqtt import codec
from hubbub.protocols.mqtt.deliveries import RELEASED_TOKEN, Outgoing

from hubbub.protocols.mqtt.mapping import is_expired, properties_of, remaining_seconds, spelled
from hubbub.protocols.mqtt.marks import Mark, decode_mark, mark_of
from hubbub.protocols.mqtt.properties import PacketType, Property, encode_property, with_expiry
from hubbub.protocols.mqtt.reasons import Reason, quiet_error

if TYPE_CHECKING:
    from hubbub.broker.observer import Subscriber
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.queues import Queue
    from hubbub.broker.shared import Delivery
    from hubbub.model.message import Message
    from hubbub.protocols.mqtt.deliveries import Match
    from hubbub.protocols.mqtt.session_state import SessionState

# What may wait in memory for one client besides the number of messages that is a setting.
MAX_WAITING_BYTES = 16 * 1024 * 1024

_MAX_IDS = 65_535


class Sent(msgspec.Struct, gc=False):
    """A packet that may have to be sent again. ``offset`` and ``lease`` are of one from the queue."""

    qos: int
    message: Message | None = None
    mark: Mark | None = None
    match: Any = None
    retain: bool = False
    offset: int = -1
    lease: int = -1


class FlowState(msgspec.Struct, frozen=True, array_like=True):
    """What has to survive the broker: Packet Identifiers in use, by what they stand for."""

    last_id: int = 0
    sent: tuple[tuple[int, int, int], ...] = ()  # offset, Packet Identifier, QoS
    released: tuple[int, ...] = ()  # wait for PUBCOMP
    received: tuple[int, ...] = ()  # wait for PUBREL


class _Waiting(msgspec.Struct, frozen=True, gc=False):
    message: Message
    mark: Mark
    match: Any
    qos: int
    retain: bool


class Connected(msgspec.Struct, frozen=True):
    """What a client said of itself in CONNECT that decides what it is sent."""

    version: int
    receive_maximum: int
    maximum_packet_size: int | None = None
    topic_alias_maximum: int = 0


class Flow:
    """Packets to one client; the consumer of its queue."""

    def __init__(self, state: SessionState, max_waiting: int) -> None:
        self._state = state
        self._max_waiting = max_waiting
        self.outgoing = Outgoing(self)
        self.dropped = 0
        self.queue: Queue | None = None
        self._client = Connected(codec.MQTT_3_1_1, _MAX_IDS)
        self._aliases: dict[bytes, int] = {}
        self._waiting: deque[_Waiting] | None = None
        self._waiting_bytes = 0
        self._ids: dict[int, int] = {}  # offset in the queue -> Packet Identifier
        self._away = 0  # of them, those that the queue is to hand out again
        self._settled_early: set[int] = set()  # offsets that were acknowledged before that

    # --- connection and its end ----------------------------------------------------------------

    def connect(self, outbox: Outbox, client: Connected) -> None:
        """The client is there: send again what it did not acknowledge, then what waits."""
        outgoing = self.outgoing
        self._client = client
        self._aliases.clear()
        outgoing.outbox = outbox
        outgoing.receive_maximum = client.receive_maximum
        outgoing.keeps = self.queue is not None
        outgoing.one_by_one = bool(client.topic_alias_maximum or client.maximum_packet_size)
        for packet_id, entry in tuple(outgoing.in_flight.items()):
            if entry == RELEASED_TOKEN:
                self._release(packet_id)
            elif isinstance(entry, Sent) and entry.message is not None and entry.lease < 0:
                self._emit(packet_id, entry, duplicate=True)
        if self.queue is not None:
            self.queue.join(self)
        self.pump()

    def disconnect(self) -> None:
        """The client is gone."""
        self.outgoing.outbox = None
        if self.queue is not None:
            self.queue.leave(self)
            for offset, packet_id in self._ids.items():
                entry = self.outgoing.in_flight[packet_id]
                self.outgoing.in_flight[packet_id] = Sent(entry.qos, offset=offset)
            self._away = len(self._ids)

    def slow_consumer(self) -> None:
        """The client does not read, and is cut off."""
        self._state.slow_consumer()

    @property
    def state(self) -> FlowState:
        """What to store."""
        in_flight = self.outgoing.in_flight
        sent = tuple((offset, at, in_flight[at].qos) for offset, at in self._ids.items())
        released = tuple(at for at, entry in in_flight.items() if entry == RELEASED_TOKEN)
        return FlowState(self.outgoing.last_id, sent, released, tuple(self._state.received))

    def restore(self, stored: FlowState) -> None:
        """Go on where the broker ended before."""
        self.outgoing.resume_after(stored.last_id)
        for offset, packet_id, qos in stored.sent:
            self._ids[offset] = packet_id
            self.outgoing.in_flight[packet_id] = Sent(qos, offset=offset)
        self._away = len(self._ids)
        for packet_id in stored.released:
            self.outgoing.in_flight[packet_id] = RELEASED_TOKEN
        self._state.received.update(stored.received)

    # --- what was published while the client is there ------------------------------------------

    @property
    def has_waiting(self) -> bool:
        """Whether messages wait that come before any new one."""
        return bool(self._waiting)

    @property
    def waiting(self) -> int:
        """How many wait in memory."""
        return len(self._waiting) if self._waiting else 0

    def keep(self, message: Message, mark: bytes, match: Match, qos: int) -> None:
        """There is no room for it now. Beyond the limits the newest is dropped, as in mosquitto."""
        self._keep(_Waiting(message, decode_mark(mark), match, qos, retain=False))

    def send(self, message: Message, mark: bytes, match: Match, qos: int) -> None:
        """Send it, for which there is room."""
        decoded = decode_mark(mark)
        self._send(message, decoded, match, qos, retain=match.as_published and decoded.retain)

    def send_retained(self, message: Message, mark: Mark, match: Match) -> None:
        """Send what was retained before the client subscribed [MQTT-3.3.1-8]."""
        qos = min(mark.qos, match.qos)
        if qos and (self.has_waiting or not self.outgoing.room_left()):
            self._keep(_Waiting(message, mark, match, qos, retain=True))
        else:
            self._send(message, mark, match, qos, retain=True)

    def pump(self) -> None:
        """There may be room again."""
        while self._waiting and self.outgoing.room_left():
            waiting = self._waiting.popleft()
            self._waiting_bytes -= len(waiting.message.value or b"")
            retain = waiting.retain or (waiting.match.as_published and waiting.mark.retain)
            self._send(waiting.message, waiting.mark, waiting.match, waiting.qos, retain=retain)
        if self.queue is not None and not self._waiting:
            self.queue.dispatch()

    def _keep(self, waiting: _Waiting) -> None:
        size = len(waiting.message.value or b"")
        if self._waiting is None:
            self._waiting = deque()
        if (
            len(self._waiting) >= self._max_waiting
            or self._waiting_bytes + size > MAX_WAITING_BYTES
        ):
            self.dropped += 1
            return
        self._waiting.append(waiting)
        self._waiting_bytes += size

    def _send(self, message: Message, mark: Mark, match: Match, qos: int, *, retain: bool) -> None:
        entry = Sent(qos, message, mark, match, retain)
        if not qos:
            self._emit(0, entry)
            return
        packet_id = self.outgoing.next_id()
        self.outgoing.in_flight[packet_id] = entry if self.outgoing.keeps else qos
        if not self._emit(packet_id, entry):
            del self.outgoing.in_flight[packet_id]

    def _emit(self, packet_id: int, entry: Sent, *, duplicate: bool = False) -> bool:
        """Write the packet; False if the client must not get it."""
        message, outbox = entry.message, self.outgoing.outbox
        now_ms = self._state.now_ms
        if message is None or outbox is None or is_expired(message, now_ms):
            return False
        topic = spelled(message.address)
        properties = b""
        alias: bytes = b""
        if self._client.version == codec.MQTT_5:
            properties = self._properties(entry, now_ms)
            topic, alias = self._alias(topic)
        packet = codec.encode_publish(
            self._client.version,
            topic,
            message.value or b"",
            alias + properties,
            qos=entry.qos,
            retain=entry.retain,
            duplicate=duplicate,
            packet_id=packet_id,
        )
        limit = self._client.maximum_packet_size
        if limit is not None and len(packet) > limit:
            # [MQTT-3.1.2-25] as if it had been delivered.
            if topic and alias:
                del self._aliases[topic]
            return False
        if not outbox.push(packet):
            self.slow_consumer()
        return True

    def _properties(self, entry: Sent, now_ms: int) -> bytes:
        message, mark = entry.message, entry.mark
        assert message is not None  # noqa: S101 - for the type checker
        identifiers = b"".join(
            encode_property(Property.SUBSCRIPTION_IDENTIFIER, identifier)
            for identifier in (() if entry.match is None else entry.match.identifiers)
        )
        if mark is None or mark.properties is None:
            return identifiers + properties_of(message, now_ms)
        if message.expiry_ms is None:
            return identifiers + mark.properties
        return identifiers + with_expiry(mark.properties, remaining_seconds(message, now_ms))

    def _alias(self, topic: bytes) -> tuple[bytes, bytes]:
        """The Topic Name to send, and the Topic Alias property beside it (section 3.3.2.3.4)."""
        if not self._client.topic_alias_maximum:
            return topic, b""
        alias = self._aliases.get(topic)
        if alias is not None:
            return b"", encode_property(Property.TOPIC_ALIAS, alias)
        if len(self._aliases) >= self._client.topic_alias_maximum:
            return topic, b""
        alias = self._aliases[topic] = len(self._aliases) + 1
        return topic, encode_property(Property.TOPIC_ALIAS, alias)

    # --- acknowledgements (section 4.3) --------------------------------------------------------

    def puback(self, packet_id: int) -> None:
        """PUBACK: a QoS 1 message has arrived, or is refused, which comes to the same."""
        entry = self.outgoing.in_flight.get(packet_id)
        if entry is None:
            return
        if _qos_of(entry) != 1:
            raise quiet_error("PUBACK for what is not QoS 1")
        del self.outgoing.in_flight[packet_id]
        self._settle(entry)
        self.pump()

    def pubrec(self, packet_id: int, reason: int) -> None:
        """PUBREC: a QoS 2 message has arrived; from now on its identifier is what matters."""
        entry = self.outgoing.in_flight.get(packet_id)
        if entry is None:
            found = Reason.PACKET_IDENTIFIER_NOT_FOUND
            self._write(PacketType.PUBREL, packet_id, found)
            return
        if _qos_of(entry) == 1:
            raise quiet_error("PUBREC for what is not QoS 2")
        if reason >= Reason.UNSPECIFIED_ERROR:
            del self.outgoing.in_flight[packet_id]
            self._settle(entry)
            self.pump()
            return
        self.outgoing.in_flight[packet_id] = RELEASED_TOKEN
        if isinstance(entry, Sent):
            self._settle(entry)
            # Only then may the client forget: a lost word of it would deliver the message again.
            self._state.when_flow_durable(lambda: self._release(packet_id))
        else:
            self._release(packet_id)

    def pubcomp(self, packet_id: int) -> None:
        """PUBCOMP: the identifier may be used again."""
        entry = self.outgoing.in_flight.get(packet_id)
        if entry is None:
            return
        if entry != RELEASED_TOKEN:
            raise quiet_error("PUBCOMP before PUBREL")
        del self.outgoing.in_flight[packet_id]
        self._state.flow_changed()
        self.pump()

    def _release(self, packet_id: int) -> None:
        self._write(PacketType.PUBREL, packet_id, 0)

    def _write(self, packet: PacketType, packet_id: int, reason: int) -> None:
        if self._client.version != codec.MQTT_5:
            reason = 0
        if self.outgoing.outbox is not None:
            self.outgoing.outbox.write(codec.encode_acknowledgement(packet, packet_id, reason))

    def _settle(self, entry: object) -> None:
        if isinstance(entry, Sent) and entry.offset >= 0:
            self._ids.pop(entry.offset, None)
            if entry.lease < 0:
                self._away -= 1
                self._settled_early.add(entry.offset)
            elif self.queue is not None:
                self.queue.ack(entry.lease)
            self._state.flow_changed()

    # --- the consumer of the queue -------------------------------------------------------------

    @property
    def subscriber(self) -> Subscriber:
        """Who it is."""
        return self._state.subscriber

    @property
    def credit(self) -> int:
        """How many more deliveries there is room for; those sent before have their room already."""
        if self.outgoing.outbox is None or self._waiting:
            return 0
        return self.outgoing.room_left() + self._away

    def deliver(self, delivery: Delivery) -> None:
        """Take one from the queue."""
        record = delivery.record
        if record.offset in self._settled_early:
            self._settled_early.discard(record.offset)
            self._drop(delivery)
            return
        mark = mark_of(record.message)
        own = mark.publisher == self._state.client_id and mark.properties is not None
        match = self._state.match(record.message.address, own)
        packet_id = self._ids.get(record.offset)
        if packet_id is not None:
            known: Sent = self.outgoing.in_flight[packet_id]
            entry = Sent(known.qos, record.message, mark, match)
            self._away -= known.lease < 0
        elif match is None:  # unsubscribed, or its own
            self._drop(delivery)
            return
        else:
            entry = Sent(min(mark.qos, match.qos), record.message, mark, match)
        entry.offset, entry.lease = record.offset, delivery.lease
        entry.retain = match is not None and match.as_published and mark.retain
        if not entry.qos:
            self._emit(0, entry)
            self._drop(delivery)
            return
        self._deliver(entry, packet_id)

    def _deliver(self, entry: Sent, packet_id: int | None) -> None:
        duplicate = packet_id is not None  # [MQTT-3.3.1-1]
        if packet_id is None:
            packet_id = self.outgoing.next_id()
        self.outgoing.in_flight[packet_id] = entry
        self._ids[entry.offset] = packet_id
        self._state.flow_changed()

        def emit() -> None:
            if self.outgoing.in_flight.get(packet_id) is entry and not self._emit(
                packet_id, entry, duplicate=duplicate
            ):
                # It has expired, or is too large: the identifier was its own all the same.
                del self.outgoing.in_flight[packet_id]
                self._settle(entry)

        if entry.qos == 2 and not duplicate:
            # Sent under another identifier after a crash it would be another message.
            self._state.when_flow_durable(emit)
        else:
            emit()

    def _drop(self, delivery: Delivery) -> None:
        if self.queue is not None:
            self.queue.ack(delivery.lease)


def _qos_of(entry: Any) -> int:
    """Of an entry in flight: after PUBREC, 2."""
    if isinstance(entry, Sent):
        return entry.qos
    return 1 if entry == 1 else 2
