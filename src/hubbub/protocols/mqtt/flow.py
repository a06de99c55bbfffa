"""What is on its way to one client: QoS 1 and 2 until they are acknowledged, and what has to wait.

Belongs to the session, not to the connection: a session that outlives its connection sends again
what was not acknowledged (MQTT 5 section 4.4). QoS 1 and 2 of such a session come from a queue of
the broker, so that nothing is lost with the broker; those of others wait in memory.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from hubbub.protocols.mqtt import codec
from hubbub.protocols.mqtt.deliveries import RELEASED_TOKEN, Outgoing
from hubbub.protocols.mqtt.marks import Mark, decode_mark
from hubbub.protocols.mqtt.packets import Client, Packets, Sent
from hubbub.protocols.mqtt.properties import PacketType
from hubbub.protocols.mqtt.reasons import Reason, quiet_error

if TYPE_CHECKING:
    from hubbub.broker.observer import Subscriber
    from hubbub.broker.outbox import Outbox
    from hubbub.model.message import Message
    from hubbub.protocols.mqtt.consumer import QueueConsumer
    from hubbub.protocols.mqtt.deliveries import Match
    from hubbub.protocols.mqtt.landing import Landing
    from hubbub.protocols.mqtt.session_state import SessionState

# What may wait in memory for one client besides the number of messages that is a setting.
MAX_WAITING_BYTES = 16 * 1024 * 1024

# How many messages of a queue may be unacknowledged: more than any client takes at once, and what
# memory has to hold of a client that never acknowledges.
QUEUE_WINDOW = 1000

# A client that has so much unread gets no more of what can wait: of queues, of what was retained.
# Live messages are sent on, up to the limit of its outbox.
UNREAD_BYTES = 4 * 1024 * 1024
# When to look again, in seconds.
LATER = 0.05

_NOBODY = Client(codec.MQTT_3_1_1, 0)


class StoredPacket(msgspec.Struct, frozen=True, array_like=True):
    """What has to survive the broker of a Packet Identifier: what it stands for.

    A message of the session's queue (its offset), or one of QoS 2 that the client is to let go of.
    """

    qos: int
    offset: int = -1


class FlowChanges(NamedTuple):
    """What is to be stored: by Packet Identifier, None for what is no more."""

    last_id: int
    sent: dict[int, StoredPacket | None]
    received: dict[int, bytes | None]


class _Waiting(NamedTuple):
    sent: Sent
    size: int


class Flow:
    """Packets to one client, and their acknowledgements."""

    __slots__ = (
        "_again", "_changed", "_client", "_max_waiting", "_packets", "_received_changed", "_state",
        "_unwritten", "_waiting", "_waiting_bytes", "dropped", "outgoing", "own",
    )  # fmt: skip

    def __init__(self, state: SessionState, max_waiting: int) -> None:
        self._state = state
        self._max_waiting = max_waiting
        self._client = _NOBODY
        self._packets = Packets(_NOBODY)
        self._waiting: deque[_Waiting] | None = None
        self._waiting_bytes = 0
        self._again: dict[int, None] = {}  # what is to be sent to the next connection
        self._changed: set[int] = set()  # Packet Identifiers, of which something is to be stored
        self._received_changed: dict[int, bytes | None] = {}
        self._unwritten = 0  # of what is in flight
        self.outgoing = Outgoing(self)
        self.own: QueueConsumer | None = None  # of the session's queue
        self.dropped = 0

    # --- connection and its end ----------------------------------------------------------------

    def connect(self, outbox: Outbox, client: Client) -> None:
        """The client is there: send again what it did not acknowledge, then what waits."""
        outgoing = self.outgoing
        self._client = client
        self._packets = Packets(client)
        outgoing.outbox = outbox
        outgoing.receive_maximum = client.receive_maximum
        outgoing.keeps = self.own is not None
        if self.own is not None:
            outgoing.receive_maximum = min(client.receive_maximum, QUEUE_WINDOW)
        outgoing.one_by_one = bool(client.topic_alias_maximum or client.maximum_packet_size)
        self._again.clear()
        self._unwritten = 0
        for packet_id, entry in tuple(outgoing.in_flight.items()):
            if entry == RELEASED_TOKEN:
                self._release(packet_id)
            elif not entry.is_given_back:
                self._again[packet_id] = None
        # What was sent before takes up room only when it is sent again [MQTT-3.3.4-9].
        outgoing.unsent = len(self._again) + (0 if self.own is None else len(self.own.ids))
        if self.own is not None:
            self.own.connect()
        self.pump()

    def disconnect(self) -> None:
        """The client is gone."""
        self.outgoing.outbox = None
        self._client = _NOBODY
        if self.own is not None:
            self.own.disconnect()

    def slow_consumer(self) -> None:
        """The client does not read, and is cut off."""
        self._state.slow_consumer()

    # --- what is stored ------------------------------------------------------------------------

    def received_landing(self, packet_id: int, landing: Landing | None) -> None:
        """The client is publishing a message of QoS 2 under this identifier."""
        self._received_changed[packet_id] = msgspec.msgpack.encode(landing)

    def received_surely(self, packet_id: int) -> None:
        """It is safe wherever it is stored."""
        if self.outgoing.keeps:
            self.received_landing(packet_id, None)
            self._state.flow_changed()

    def received_done(self, packet_id: int) -> None:
        """The client has let go of the identifier, or the message was not taken."""
        if self.outgoing.keeps:
            self._received_changed[packet_id] = None
            self._state.flow_changed()

    def changes(self) -> FlowChanges:
        """What is to be stored since ``stored``."""
        sent = {packet_id: self._stored(packet_id) for packet_id in self._changed}
        return FlowChanges(self.outgoing.last_id, sent, dict(self._received_changed))

    def stored(self) -> None:
        """The changes are stored."""
        self._changed.clear()
        self._received_changed.clear()

    def stored_ids(self) -> FlowChanges:
        """What may be stored, as changes that forget it."""
        return FlowChanges(
            0,
            dict.fromkeys((*self.outgoing.in_flight, *self._changed)),
            dict.fromkeys((*self._state.receipts.received, *self._received_changed)),
        )

    def restore_last_id(self, last_id: int) -> None:
        """Go on numbering where the broker ended before."""
        self.outgoing.resume_after(last_id)

    def restore(self, packet_id: int, stored: StoredPacket) -> None:
        """Know what was sent under this identifier before the broker ended."""
        own = self.own
        if stored.offset >= 0 and own is not None and own.restore(stored.offset, packet_id):
            sent = Sent(stored.qos, consumer=own, offset=stored.offset)
            self.outgoing.in_flight[packet_id] = sent
        elif stored.qos == 2:
            self.outgoing.in_flight[packet_id] = RELEASED_TOKEN

    def _stored(self, packet_id: int) -> StoredPacket | None:
        """A message that is only in memory is lost with the broker; the client may know its identifier."""
        entry = self.outgoing.in_flight.get(packet_id)
        if entry is None:
            return None
        if isinstance(entry, Sent):
            if entry.consumer is not None and entry.consumer is self.own:
                return StoredPacket(entry.qos, entry.offset)
            return StoredPacket(2) if entry.qos == 2 else None
        return StoredPacket(2)

    def _changed_at(self, packet_id: int) -> None:
        if self.outgoing.keeps:
            self._changed.add(packet_id)
            self._state.flow_changed()

    # --- what was published while the client is there ------------------------------------------

    @property
    def has_waiting(self) -> bool:
        """Whether messages wait that come before any new one."""
        return bool(self._waiting or self._again)

    def keep(self, message: Message, mark: bytes, match: Match, qos: int) -> None:
        """There is no room for it now."""
        self._keep(_sent(message, decode_mark(mark), match, qos))

    def send(self, message: Message, mark: bytes, match: Match, qos: int) -> None:
        """Send it, for which there is room."""
        self._send(_sent(message, decode_mark(mark), match, qos))

    def send_retained(self, message: Message, mark: Mark, match: Match) -> None:
        """Send what was retained before the client subscribed [MQTT-3.3.1-8]."""
        sent = Sent(min(mark.qos, match.qos), message, mark, match, retain=True)
        if sent.qos and (self.has_waiting or not self.outgoing.room_left()):
            self._keep(sent)
        else:
            self._send(sent)

    def pump(self) -> None:
        """There may be room again."""
        while self._again and self.outgoing.room_left():
            packet_id = next(iter(self._again))
            self._sent_again(packet_id)
            if not self.write(packet_id, self.sent(packet_id), duplicate=True):
                self._forget(packet_id)
        while self._waiting and self.outgoing.room_left():
            waiting = self._waiting.popleft()
            self._waiting_bytes -= waiting.size
            self._send(waiting.sent)
        if not self.has_waiting:
            self._state.has_room()

    def _sent_again(self, packet_id: int) -> None:
        """It takes up room like any other."""
        if packet_id in self._again:
            del self._again[packet_id]
            self.outgoing.unsent -= 1

    def _keep(self, sent: Sent) -> None:
        """Let it wait. Beyond the limits the newest is dropped, as in mosquitto."""
        message = sent.message
        size = len(message.value or b"") if message is not None else 0
        if self._waiting is None:
            self._waiting = deque()
        too_many = len(self._waiting) >= self._max_waiting
        if too_many or self._waiting_bytes + size > MAX_WAITING_BYTES:
            self.dropped += 1
            return
        self._waiting.append(_Waiting(sent, size))
        self._waiting_bytes += size

    def _send(self, sent: Sent) -> None:
        if not sent.qos:
            self.write(0, sent, duplicate=False)
            return
        packet_id = self.outgoing.next_id()
        self.outgoing.in_flight[packet_id] = sent if self.outgoing.keeps else sent.qos
        self._write_new(packet_id, sent)

    def _write_new(self, packet_id: int, sent: Sent) -> None:
        """Send what was not sent before."""
        kept, outbox = self.outgoing.in_flight[packet_id], self.outgoing.outbox

        def write() -> None:
            if self.outgoing.outbox is not outbox:
                return  # the next connection is sent it again
            self._unwritten -= 1
            if self.outgoing.in_flight.get(packet_id) is kept and not self.write(
                packet_id, sent, duplicate=False
            ):
                # It has expired, or is too large: the identifier was its own all the same.
                self._forget(packet_id)

        self._changed_at(packet_id)
        self._unwritten += 1
        if sent.qos == 2 or self._unwritten > 1:
            # Sent under another identifier after a crash it would be another message. What comes
            # after it is sent after it.
            self._state.when_flow_durable(write)
        else:
            write()

    def write(self, packet_id: int, sent: Sent, *, duplicate: bool) -> bool:
        """Write the packet; False if the client must not get it."""
        outbox = self.outgoing.outbox
        if outbox is None:
            return True  # the next connection gets it
        packet = self._packets.publish(
            sent, packet_id, self._state.now_ms, outbox.limit, duplicate=duplicate
        )
        if packet is None:
            return False
        if not outbox.push(packet):
            self.slow_consumer()
        return True

    # --- what queues hand out ------------------------------------------------------------------

    @property
    def subscriber(self) -> Subscriber:
        """Who the client is."""
        return self._state.subscriber

    @property
    def credit(self) -> int:
        """How many more messages of a queue it would take."""
        outbox = self.outgoing.outbox
        if outbox is None or self.has_waiting:
            return 0
        if outbox.size > UNREAD_BYTES:
            self._state.look_again(LATER)
            return 0
        return self.outgoing.room_left()

    def sent(self, packet_id: int) -> Sent:
        """What is on its way under this identifier, of a session that keeps it."""
        found: Sent = self.outgoing.in_flight[packet_id]
        return found

    def forget(self, packet_id: int) -> None:
        """Let the identifier stand for nothing."""
        del self.outgoing.in_flight[packet_id]
        self._changed_at(packet_id)

    def take(self, sent: Sent, packet_id: int | None) -> None:
        """Send what a queue handed out, again if it has its identifier already [MQTT-3.3.1-1]."""
        if packet_id is not None:
            self.outgoing.unsent -= 1
            self.outgoing.in_flight[packet_id] = sent
            if not self.write(packet_id, sent, duplicate=True):
                self._forget(packet_id)
            return
        packet_id = self.outgoing.next_id()
        self.outgoing.in_flight[packet_id] = sent
        if sent.consumer is not None:
            sent.consumer.ids[sent.offset] = packet_id
        self._write_new(packet_id, sent)

    # --- acknowledgements (section 4.3) --------------------------------------------------------

    def puback(self, packet_id: int) -> None:
        """PUBACK: a QoS 1 message has arrived, or is refused, which comes to the same."""
        entry = self.outgoing.in_flight.get(packet_id)
        if entry is None:
            return
        if _qos_of(entry) != 1:
            raise quiet_error("PUBACK for what is not QoS 1")
        self._forget(packet_id)
        self.pump()

    def pubrec(self, packet_id: int, reason: int) -> None:
        """PUBREC: a QoS 2 message has arrived; from now on its identifier is what matters."""
        entry = self.outgoing.in_flight.get(packet_id)
        if entry is None:
            self._answer(PacketType.PUBREL, packet_id, Reason.PACKET_IDENTIFIER_NOT_FOUND)
            return
        if _qos_of(entry) == 1:
            raise quiet_error("PUBREC for what is not QoS 2")
        if reason >= Reason.UNSPECIFIED_ERROR:
            self._forget(packet_id)
            self.pump()
            return
        self._settle(packet_id, entry)
        self.outgoing.in_flight[packet_id] = RELEASED_TOKEN
        self._changed_at(packet_id)
        # Only then may the client forget: a lost word of it would deliver the message again.
        self._state.when_flow_durable(lambda: self._release(packet_id))

    def pubcomp(self, packet_id: int) -> None:
        """PUBCOMP: the identifier may be used again."""
        entry = self.outgoing.in_flight.get(packet_id)
        if entry is None:
            return
        if entry != RELEASED_TOKEN:
            raise quiet_error("PUBCOMP before PUBREL")
        self._forget(packet_id)
        self.pump()

    def _forget(self, packet_id: int) -> None:
        """The client has it, or must not get it: the identifier is free."""
        self._settle(packet_id, self.outgoing.in_flight.pop(packet_id))
        self._changed_at(packet_id)

    def _release(self, packet_id: int) -> None:
        self._answer(PacketType.PUBREL, packet_id, Reason.SUCCESS)

    def _answer(self, packet: PacketType, packet_id: int, reason: int) -> None:
        if self.outgoing.outbox is not None:
            if self._client.version != codec.MQTT_5:
                reason = 0
            self.outgoing.outbox.write(codec.encode_acknowledgement(packet, packet_id, reason))

    def _settle(self, packet_id: int, entry: Any) -> None:
        self._sent_again(packet_id)
        if isinstance(entry, Sent) and entry.consumer is not None:
            if entry.is_given_back:
                self.outgoing.unsent -= 1
            entry.consumer.settle(entry)


def _sent(message: Message, mark: Mark, match: Match, qos: int) -> Sent:
    return Sent(qos, message, mark, match, retain=match.as_published and mark.retain)


def _qos_of(entry: Any) -> int:
    """Of an entry in flight: after PUBREC, 2."""
    if isinstance(entry, Sent):
        return entry.qos
    return 1 if entry == 1 else 2
