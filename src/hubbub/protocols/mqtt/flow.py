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
    from hubbub.protocols.mqtt.session_state import SessionState

# What may wait in memory for one client besides the number of messages that is a setting.
MAX_WAITING_BYTES = 16 * 1024 * 1024

# How many messages of a queue may be unacknowledged: their identifiers are stored as they change.
QUEUE_WINDOW = 1000

_NOBODY = Client(codec.MQTT_3_1_1, 0)


class FlowState(msgspec.Struct, frozen=True, array_like=True):
    """What has to survive the broker: Packet Identifiers in use, by what they stand for."""

    last_id: int = 0
    sent: tuple[tuple[int, int, int], ...] = ()  # offset, Packet Identifier, QoS
    released: tuple[int, ...] = ()  # wait for PUBCOMP
    received: tuple[int, ...] = ()  # wait for PUBREL


class _Waiting(NamedTuple):
    sent: Sent
    size: int


class Flow:
    """Packets to one client, and their acknowledgements."""

    __slots__ = (
        "_client", "_max_waiting", "_packets", "_state", "_waiting", "_waiting_bytes", "dropped",
        "outgoing", "own",
    )  # fmt: skip

    def __init__(self, state: SessionState, max_waiting: int) -> None:
        self._state = state
        self._max_waiting = max_waiting
        self._client = _NOBODY
        self._packets = Packets(_NOBODY)
        self._waiting: deque[_Waiting] | None = None
        self._waiting_bytes = 0
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
        for packet_id, entry in tuple(outgoing.in_flight.items()):
            if entry == RELEASED_TOKEN:
                self._release(packet_id)
            elif entry.consumer is None and not self.write(packet_id, entry, duplicate=True):
                del outgoing.in_flight[packet_id]
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

    @property
    def state(self) -> FlowState:
        """What to store."""
        in_flight = self.outgoing.in_flight
        ids = {} if self.own is None else self.own.ids
        sent = tuple((offset, at, in_flight[at].qos) for offset, at in ids.items())
        released = tuple(at for at, entry in in_flight.items() if entry == RELEASED_TOKEN)
        return FlowState(self.outgoing.last_id, sent, released, tuple(self._state.received))

    def restore(self, stored: FlowState) -> None:
        """Go on where the broker ended before."""
        in_flight = self.outgoing.in_flight
        self.outgoing.resume_after(stored.last_id)
        for offset, packet_id, qos in stored.sent:
            if self.own is not None:
                self.own.restore(offset, packet_id)
                in_flight[packet_id] = Sent(qos, consumer=self.own, offset=offset)
        for packet_id in stored.released:
            in_flight[packet_id] = RELEASED_TOKEN
        self._state.received.update(stored.received)

    # --- what was published while the client is there ------------------------------------------

    @property
    def has_waiting(self) -> bool:
        """Whether messages wait that come before any new one."""
        return bool(self._waiting)

    def keep(self, message: Message, mark: bytes, match: Match, qos: int) -> None:
        """There is no room for it now."""
        self._keep(_sent(message, decode_mark(mark), match, qos))

    def send(self, message: Message, mark: bytes, match: Match, qos: int) -> None:
        """Send it, for which there is room."""
        self._send(_sent(message, decode_mark(mark), match, qos))

    def send_retained(self, message: Message, mark: Mark, match: Match) -> None:
        """Send what was retained before the client subscribed [MQTT-3.3.1-8]."""
        sent = Sent(min(mark.qos, match.qos), message, mark, match, retain=True)
        if sent.qos and (self._waiting or not self.outgoing.room_left()):
            self._keep(sent)
        else:
            self._send(sent)

    def pump(self) -> None:
        """There may be room again."""
        while self._waiting and self.outgoing.room_left():
            waiting = self._waiting.popleft()
            self._waiting_bytes -= waiting.size
            self._send(waiting.sent)
        if not self._waiting:
            self._state.has_room()

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
        if self.write(packet_id, sent, duplicate=False):
            self.outgoing.in_flight[packet_id] = sent if self.outgoing.keeps else sent.qos

    def write(self, packet_id: int, sent: Sent, *, duplicate: bool) -> bool:
        """Write the packet; False if the client must not get it."""
        outbox = self.outgoing.outbox
        if outbox is None:
            return True  # the next connection gets it
        packet = self._packets.publish(sent, packet_id, self._state.now_ms, duplicate=duplicate)
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
    def is_ready(self) -> bool:
        """Whether the client is there and nothing waits that comes first."""
        return self.outgoing.outbox is not None and not self._waiting

    @property
    def credit(self) -> int:
        """How many more packets may be unacknowledged."""
        return self.outgoing.room_left()

    def sent(self, packet_id: int) -> Sent:
        """What a queue handed out that is on its way under this identifier."""
        found: Sent = self.outgoing.in_flight[packet_id]
        return found

    def send_again(self, packet_id: int, sent: Sent) -> None:
        """Let the identifier stand for what is to be sent again to the next connection."""
        self.outgoing.in_flight[packet_id] = sent

    def forget(self, packet_id: int) -> None:
        """Let the identifier stand for nothing."""
        del self.outgoing.in_flight[packet_id]

    def take(self, sent: Sent, packet_id: int | None) -> None:
        """Send what a queue handed out, again if it has its identifier already [MQTT-3.3.1-1]."""
        duplicate = packet_id is not None
        at = self.outgoing.next_id() if packet_id is None else packet_id
        self.outgoing.in_flight[at] = sent
        if sent.consumer is not None:
            sent.consumer.ids[sent.offset] = at

        def write() -> None:
            if self.outgoing.in_flight.get(at) is sent and not self.write(
                at, sent, duplicate=duplicate
            ):
                # It has expired, or is too large: the identifier was its own all the same.
                del self.outgoing.in_flight[at]
                self._settle(sent)

        self._state.flow_changed()
        if sent.qos == 2 and not duplicate:
            # Sent under another identifier after a crash it would be another message.
            self._state.when_flow_durable(write)
        else:
            write()

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
            self._answer(PacketType.PUBREL, packet_id, Reason.PACKET_IDENTIFIER_NOT_FOUND)
            return
        if _qos_of(entry) == 1:
            raise quiet_error("PUBREC for what is not QoS 2")
        if reason >= Reason.UNSPECIFIED_ERROR:
            del self.outgoing.in_flight[packet_id]
            self._settle(entry)
            self.pump()
            return
        self.outgoing.in_flight[packet_id] = RELEASED_TOKEN
        self._settle(entry)
        # Only then may the client forget: a lost word of it would deliver the message again.
        self._state.when_flow_durable(lambda: self._release(packet_id))

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
        self._answer(PacketType.PUBREL, packet_id, Reason.SUCCESS)

    def _answer(self, packet: PacketType, packet_id: int, reason: int) -> None:
        if self.outgoing.outbox is not None:
            if self._client.version != codec.MQTT_5:
                reason = 0
            self.outgoing.outbox.write(codec.encode_acknowledgement(packet, packet_id, reason))

    def _settle(self, entry: Any) -> None:
        if isinstance(entry, Sent) and entry.consumer is not None:
            entry.consumer.settle(entry)
            self._state.flow_changed()


def _sent(message: Message, mark: Mark, match: Match, qos: int) -> Sent:
    return Sent(qos, message, mark, match, retain=match.as_published and mark.retain)


def _qos_of(entry: Any) -> int:
    """Of an entry in flight: after PUBREC, 2."""
    if isinstance(entry, Sent):
        return entry.qos
    return 1 if entry == 1 else 2
