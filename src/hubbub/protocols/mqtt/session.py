"""One MQTT connection: CONNECT, subscriptions, keep alive, and its end."""

from __future__ import annotations

import hmac
import logging
import secrets
from typing import TYPE_CHECKING, ClassVar

from hubbub.model.errors import DeniedError, HubbubError, InvalidAddressError, MessageTooLargeError
from hubbub.model.faults import contain
from hubbub.protocols.mqtt import codec
from hubbub.protocols.mqtt.fields import MAX_VARIABLE
from hubbub.protocols.mqtt.filters import subscription_of
from hubbub.protocols.mqtt.landing import UNSURE, landing_of
from hubbub.protocols.mqtt.names import (
    InvalidNameError,
    MalformedNameError,
    TooManyLevelsError,
    address_of,
)
from hubbub.protocols.mqtt.packets import Client
from hubbub.protocols.mqtt.properties import PacketType, Property
from hubbub.protocols.mqtt.reader import MqttReader
from hubbub.protocols.mqtt.reasons import MqttError, Reason, malformed, protocol_error, quiet_error
from hubbub.protocols.mqtt.retained import RetainedDelivery
from hubbub.protocols.mqtt.session_state import NEVER, SessionKey
from hubbub.protocols.mqtt.settings import TooManyRetainedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.outbox import Outbox
    from hubbub.broker.publication import Stored
    from hubbub.broker.session import Peer
    from hubbub.broker.timers import Timer
    from hubbub.broker.topics import Topic
    from hubbub.model.message import Message
    from hubbub.protocols.mqtt.codec import Connect, TopicFilter, Will
    from hubbub.protocols.mqtt.filters import Subscription
    from hubbub.protocols.mqtt.listener import MqttListener
    from hubbub.protocols.mqtt.session_state import SessionState

logger = logging.getLogger(__name__)

# How much later than its Keep Alive a client is given up [MQTT-3.1.2-22].
KEEP_ALIVE_FACTOR = 1.5
_GENERATED_ID_BYTES = 16
# Reserved bits of the fixed header (section 2.1.3); all other packets of clients have none set.
_FLAGS = {PacketType.PUBREL: 2, PacketType.SUBSCRIBE: 2, PacketType.UNSUBSCRIBE: 2}


class MqttSession(MqttReader):
    """The state machine of one connection; see ``hubbub.broker.session.Session``."""

    # Ten thousand idle connections are a promise: no dictionary for each of them.
    __slots__ = (
        "_alarm", "_keep_alive", "_level", "_listener", "_maximum_packet_size", "_peer", "_will",
        "client_id", "state",
    )  # fmt: skip

    def __init__(self, listener: MqttListener, peer: Peer, outbox: Outbox) -> None:
        super().__init__(listener.publisher, outbox)
        self._listener = listener
        self._peer = peer
        self._will: Will | None = None
        self._keep_alive = 0.0
        self._maximum_packet_size = MAX_VARIABLE
        self._level = 0  # the version that CONNECT began with, whether there is one or not
        self.client_id = ""
        self.state: SessionState | None = None
        connect_timeout = listener.settings.connect_timeout
        self._alarm: Timer | None = listener.timers.after(connect_timeout, self._too_late)

    def disconnected(self) -> None:
        """The connection is gone, for whatever reason."""
        self._end()
        self._listener.connections.discard(self)

    # --- what the reader calls ----------------------------------------------------------------

    def control(self, head: int, body: bytes) -> None:
        """Any packet but PUBLISH, PINGREQ and the usual PUBACK. Raises MqttError."""
        packet = PacketType(head >> 4)
        handle = self._HANDLERS.get(packet)
        if handle is None:
            raise quiet_error(f"a client sends no {packet.name}")
        flags = head & 15
        if self.version == codec.MQTT_3_1 and packet in _FLAGS:
            flags &= 0b0110  # [3.1 sections 2.1, 3.6] DUP may be set
        if flags != _FLAGS.get(packet, 0):
            raise malformed(f"{packet.name} with reserved bits")  # [MQTT-2.1.3-1]
        try:
            handle(self, body)
        except HubbubError as error:
            logger.exception("mqtt: %s: %s failed", self.client_id, packet.name)
            raise MqttError(Reason.UNSPECIFIED_ERROR, str(error)) from error

    def _write(self, packet: bytes) -> None:
        """Write a packet that may be longer than the client takes [MQTT-3.1.2-24]."""
        if len(packet) <= self._maximum_packet_size:
            self.outbox.write(packet)
        else:
            self.close()

    def puback(self, packet_id: int) -> None:
        """PUBACK without a reason."""
        if not packet_id:
            raise malformed("a Packet Identifier is not 0")
        self._state.flow.puback(packet_id)

    def fail(self, error: MqttError) -> None:
        """End the connection for a rule that was broken (section 4.13)."""
        logger.debug("mqtt: %s: %s", self.client_id or self._peer.remote, error)
        if not self.version:
            self._refuse(error)
        elif self.version == codec.MQTT_5 and not error.quiet:
            self.outbox.write(codec.encode_disconnect(error.reason))
        self.close()

    def size_reason(self) -> Reason:
        """What a packet above the limit is: against what was announced, or just too much."""
        announced = self._listener.settings.max_packet_size
        return Reason.PACKET_TOO_LARGE if announced else Reason.QUOTA_EXCEEDED

    def may_name(self, topic: bytes) -> bool:
        """Whether a client may publish to a topic that begins with ``$``.

        ``$share`` names no topic, and ``$SYS`` is the server's but for the state of a bridge.
        """
        if topic.startswith(b"$SYS/"):
            return topic.startswith(b"$SYS/broker/connection/") and topic.endswith(b"/state")
        return not topic.startswith(b"$share/")

    def invalid_topic(self, error: InvalidAddressError) -> MqttError:
        """What is wrong with a Topic Name."""
        if isinstance(error, TooManyLevelsError):
            return protocol_error(str(error))
        if isinstance(error, MalformedNameError):
            return malformed(str(error))
        return MqttError(Reason.TOPIC_NAME_INVALID, str(error))

    def refused(self, error: Exception) -> int:
        """The reason of a PUBACK or PUBREC for a message that was not taken.

        Before version 5 there is none, and the client has to believe that it was, or come again.
        """
        if isinstance(error, DeniedError):
            return Reason.NOT_AUTHORIZED
        if self.version != codec.MQTT_5:
            self.lost(error)
        if isinstance(error, MessageTooLargeError | TooManyRetainedError):
            return Reason.QUOTA_EXCEEDED
        return Reason.IMPLEMENTATION_SPECIFIC_ERROR

    def lost(self, failure: Exception) -> None:
        """The disk did not take what was published: the client must not take it for stored."""
        logger.error("mqtt: %s: not stored: %s", self.client_id, failure)
        if not self.closed:
            self.fail(MqttError(Reason.UNSPECIFIED_ERROR, "not stored"))

    def retain(self, message: Message, mark: bytes) -> Stored | None:
        """Retain a message that was published so; what to wait for."""
        return self._listener.retain(message, mark)

    def keeps_received(self) -> bool:
        """Whether what is taken at QoS 2 must not be taken again by the next connection."""
        return self._state.is_queued

    def remember_received(
        self, landings: dict[int, tuple[Topic | None, int, bool]], following: dict[Topic, int]
    ) -> Stored:
        """Store what is about to be published at QoS 2; what to wait for."""
        flow = self._state.flow
        for packet_id, (topic, position, elsewhere) in landings.items():
            if elsewhere:
                self.receipts.unsure(packet_id)
            landing = UNSURE if elsewhere else landing_of(topic, position, following)
            flow.received_landing(packet_id, landing)
        try:
            return self._listener.sessions.store_received(self._state)
        except HubbubError as error:
            for packet_id in landings:
                self.receipts.drop(packet_id)
            raise MqttError(Reason.UNSPECIFIED_ERROR, str(error)) from error

    # --- CONNECT (3.1) ------------------------------------------------------------------------

    def _connect(self, body: bytes) -> None:
        if self.version:
            raise quiet_error("a second CONNECT")  # [MQTT-3.1.0-2]
        self._level = codec.level_of(body)
        connect = codec.decode_connect(body)
        key, assigned = self._identify(connect)
        will = self._will_of(connect)
        expiry = self._expiry_of(connect)
        sessions = self._listener.sessions
        if not sessions.has_room(key):
            raise MqttError(Reason.QUOTA_EXCEEDED, "too many sessions")
        self._take_over(key, clean=connect.clean_start)
        session_present = sessions.get(key) is not None
        try:
            state = sessions.open(key, expiry)
        except HubbubError as error:
            logger.exception("mqtt: %s: no session", key.client_id)
            raise MqttError(Reason.SERVER_UNAVAILABLE, str(error)) from error
        self.principal, self.client_id = key
        self._begin(connect, state, will)
        self._write(
            codec.encode_connack(
                connect.version,
                Reason.SUCCESS,
                session_present=session_present,
                properties=self._connack_properties(connect, assigned),
            )
        )
        if self.closed:
            return
        self.own = state.flow.outgoing
        state.attach(
            self, self.outbox, _client(connect, self._listener.settings.max_inflight_messages)
        )

    def _identify(self, connect: Connect) -> tuple[SessionKey, str | None]:
        """Whose session it is, and the client identifier if the server has to give one."""
        if Property.AUTHENTICATION_METHOD in connect.properties:
            # [MQTT-4.12.0-1] there are none.
            raise MqttError(Reason.BAD_AUTHENTICATION_METHOD, "no enhanced authentication")
        if Property.AUTHENTICATION_DATA in connect.properties:
            raise protocol_error("Authentication Data without a method")
        principal = self._authenticate(connect)
        if connect.client_id:
            return SessionKey(principal, connect.client_id), None
        # [MQTT-3.1.3-6 to MQTT-3.1.3-8] version 5 is told its identifier; before, one that wants to
        # come back under it cannot.
        if connect.version == codec.MQTT_3_1 or (
            connect.version == codec.MQTT_3_1_1 and not connect.clean_start
        ):
            raise MqttError(Reason.CLIENT_IDENTIFIER_NOT_VALID, "no client identifier")
        assigned = "auto-" + secrets.token_hex(_GENERATED_ID_BYTES)
        return SessionKey(principal, assigned), assigned

    def _authenticate(self, connect: Connect) -> str:
        settings = self._listener.settings
        if not settings.requires_auth:
            return ""
        good = hmac.compare_digest((connect.user_name or "").encode(), settings.user.encode())
        good &= hmac.compare_digest(connect.password or b"", settings.password.encode())
        if not good:
            raise MqttError(Reason.BAD_USER_NAME_OR_PASSWORD, "bad user name or password")
        return settings.user

    def _will_of(self, connect: Connect) -> Will | None:
        if connect.will is None:
            return None
        topic = connect.will.topic
        try:
            address_of(topic)
        except InvalidAddressError as error:
            raise self.invalid_topic(error) from error
        if topic.startswith(b"$") and not self.may_name(topic):
            raise MqttError(Reason.NOT_AUTHORIZED, "no will to such a topic")
        return connect.will

    def _expiry_of(self, connect: Connect) -> int:
        """How long the session outlives the connection (3.1.2.11.2)."""
        if connect.version == codec.MQTT_5:
            return int(connect.properties.get(Property.SESSION_EXPIRY_INTERVAL, 0))
        if connect.clean_start:
            return 0
        return int(self._listener.settings.persistent_client_expiration) or NEVER

    def _take_over(self, key: SessionKey, *, clean: bool) -> None:
        """[MQTT-3.1.4-3] there is one connection to a session, the latest."""
        sessions = self._listener.sessions
        state = sessions.get(key)
        if state is not None and state.session is not None:
            state.session.taken_over()
        state = sessions.get(key)
        if state is not None:
            self._listener.wills.resume(key, clean=clean)
            if clean:
                sessions.end(state)  # [MQTT-3.1.2-4]

    def _begin(self, connect: Connect, state: SessionState, will: Will | None) -> None:
        settings = self._listener.settings
        self.version = connect.version
        self.state = state
        self.receipts = state.receipts
        self.received = state.receipts.received
        self.packet_limit = settings.packet_limit
        self.topic_alias_maximum = settings.topic_alias_maximum
        self._will = will
        self._maximum_packet_size = connect.properties.get(
            Property.MAXIMUM_PACKET_SIZE, MAX_VARIABLE
        )
        if self.version == codec.MQTT_5:
            self.outbox.farewell = codec.encode_disconnect(Reason.QUOTA_EXCEEDED)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._keep_alive = connect.keep_alive * KEEP_ALIVE_FACTOR
        if connect.keep_alive:
            self._alarm = self._listener.timers.after(self._keep_alive, self._check)

    def _connack_properties(
        self, connect: Connect, assigned: str | None
    ) -> dict[Property, int | str]:
        settings = self._listener.settings
        found: dict[Property, int | str] = {}
        if connect.version != codec.MQTT_5:
            return found
        if settings.topic_alias_maximum:
            found[Property.TOPIC_ALIAS_MAXIMUM] = settings.topic_alias_maximum
        if assigned is not None:
            found[Property.ASSIGNED_CLIENT_IDENTIFIER] = assigned
        if settings.max_packet_size:
            found[Property.MAXIMUM_PACKET_SIZE] = settings.max_packet_size
        found[Property.RECEIVE_MAXIMUM] = settings.receive_maximum
        return found

    def _refuse(self, error: MqttError) -> None:
        """Say why there is no connection; a client that cannot write a CONNECT is told nothing."""
        if error.reason in {Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR}:
            return
        # mosquitto's bridges set the highest bit, and try again without it if they are told so.
        old = self._level & 0x7F < codec.MQTT_5
        version = codec.MQTT_3_1_1 if old else codec.MQTT_5
        if version == codec.MQTT_5 or codec.has_return_code(error.reason):
            self.outbox.write(codec.encode_connack(version, error.reason))

    # --- subscriptions (3.8, 3.10) ------------------------------------------------------------

    def _subscribe(self, body: bytes) -> None:
        state = self._state
        packet = codec.decode_subscribe(body, self.version)
        reasons: list[int] = []
        retained: dict[bytes, Subscription] = {}  # by filter, which may stand there twice
        for wanted in packet.filters:
            reason, subscription, is_new = self._subscribe_one(state, wanted, packet.identifier)
            if subscription is None and self.version == codec.MQTT_3_1:
                raise quiet_error("not subscribed, for which 3.1 has no word")
            reasons.append(reason)
            # [MQTT-3.3.1-9 to MQTT-3.3.1-11], and none for a shared subscription (4.8.2).
            handling = wanted.retain_handling
            if (
                subscription is not None
                and subscription.share is None
                and (handling == 0 or (handling == 1 and is_new))
            ):
                retained[subscription.text] = subscription
        suback = codec.encode_suback(self.version, packet.packet_id, reasons)

        def subscribed() -> None:
            if not self.closed:
                self._write(suback)
                RetainedDelivery(self._listener, self, state, retained.values())

        if state.is_queued:
            # What was granted is kept: also over the next crash.
            self._listener.when_durable(subscribed)
        else:
            subscribed()

    def _subscribe_one(
        self, state: SessionState, wanted: TopicFilter, identifier: int | None
    ) -> tuple[int, Subscription | None, bool]:
        try:
            subscription = subscription_of(wanted, identifier)
        except InvalidNameError as error:
            raise malformed(str(error)) from error
        if subscription.share is not None and subscription.no_local:
            raise protocol_error("No Local on a shared subscription")  # [MQTT-3.8.3-4]
        known = state.filters.get(subscription.text)
        if known is None and len(state.filters) >= self._listener.settings.max_subscriptions:
            return Reason.QUOTA_EXCEEDED, None, False
        try:
            new = state.subscribe(subscription)
        except DeniedError:
            return Reason.NOT_AUTHORIZED, None, False
        except HubbubError:
            logger.exception("mqtt: %s: cannot subscribe", self.client_id)
            contain(state.unsubscribe, subscription.text)
            return Reason.UNSPECIFIED_ERROR, None, False
        return subscription.qos, subscription, new

    def _unsubscribe(self, body: bytes) -> None:
        state = self._state
        packet = codec.decode_unsubscribe(body, self.version)
        reasons = [
            Reason.SUCCESS if state.unsubscribe(text) else Reason.NO_SUBSCRIPTION_EXISTED
            for text in packet.filters
        ]
        unsuback = codec.encode_unsuback(self.version, packet.packet_id, reasons)
        if state.is_queued:
            self._listener.when_durable(lambda: self._write(unsuback))
        else:
            self._write(unsuback)

    # --- acknowledgements (3.4 to 3.7) --------------------------------------------------------

    def _puback(self, body: bytes) -> None:
        packet_id, _ = codec.decode_acknowledgement(body, PacketType.PUBACK, self.version)
        self._state.flow.puback(packet_id)

    def _pubrec(self, body: bytes) -> None:
        packet_id, reason = codec.decode_acknowledgement(body, PacketType.PUBREC, self.version)
        self._state.flow.pubrec(packet_id, reason)

    def _pubcomp(self, body: bytes) -> None:
        packet_id, _ = codec.decode_acknowledgement(body, PacketType.PUBCOMP, self.version)
        self._state.flow.pubcomp(packet_id)

    def _pubrel(self, body: bytes) -> None:
        """PUBREL: the client has let go of the message, and may use the identifier for another."""
        packet_id, _ = codec.decode_acknowledgement(body, PacketType.PUBREL, self.version)
        answer = codec.encode_acknowledgement(PacketType.PUBCOMP, packet_id)
        state = self._state
        if packet_id in self.received:
            self.receipts.drop(packet_id)
            # Remembered after a crash, the next message with it would be taken for this one.
            state.when_flow_durable(lambda: self.acknowledgements.now(answer))
        else:
            self.acknowledgements.now(answer)

    def _pingreq(self, _body: bytes) -> None:
        raise malformed("a PINGREQ has nothing in it")  # the usual one is answered by the reader

    # --- the end ------------------------------------------------------------------------------

    def _disconnect(self, body: bytes) -> None:
        packet = codec.decode_disconnect(body, self.version)
        expiry = packet.properties.get(Property.SESSION_EXPIRY_INTERVAL)
        if expiry is not None:
            if expiry and not self._state.outlives_connection:
                # [MQTT-3.14.2-2] what was not to be kept is gone when it ends.
                raise protocol_error("a Session Expiry Interval where there was none")
            self._listener.sessions.keep_for(self._state, expiry)
        if packet.reason == Reason.SUCCESS:
            self._will = None  # [MQTT-3.14.4-3]
        self.close()

    def taken_over(self) -> None:
        """The client has connected again."""
        if self.version == codec.MQTT_5:
            self.outbox.write(codec.encode_disconnect(Reason.SESSION_TAKEN_OVER))
        self.close()

    def slow_consumer(self) -> None:
        """The client does not read what it subscribed to, and is cut off."""
        if not self.closed:
            self._listener.slow_consumers += 1
            self.mark_closed()

    def close(self) -> None:
        """End the connection after what is written."""
        self._end()
        self.outbox.close()

    def _end(self) -> None:
        self.mark_closed()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        state, self.state = self.state, None
        if state is None:
            return
        state.detach()
        will, self._will = self._will, None
        self._listener.sessions.leave(state)
        if will is not None:
            self._listener.wills.connection_closed(self, state, will)

    def _too_late(self) -> None:
        self._alarm = None
        self.close()

    def _check(self) -> None:
        """Whether the client was heard of within its Keep Alive."""
        due = self.active_at + self._keep_alive - self._listener.timers.now
        if due <= 0:
            self._alarm = None
            self.fail(MqttError(Reason.KEEP_ALIVE_TIMEOUT, "nothing was heard"))
        else:
            self._alarm = self._listener.timers.after(due, self._check)

    @property
    def _state(self) -> SessionState:
        if self.state is None:
            raise quiet_error("not connected")
        return self.state

    def _auth(self, _body: bytes) -> None:
        # [MQTT-4.12.1-1] no method was agreed on, and before version 5 there is no such packet.
        raise protocol_error("no authentication is going on")

    _HANDLERS: ClassVar[dict[PacketType, Callable[[MqttSession, bytes], None]]] = {
        PacketType.CONNECT: _connect,
        PacketType.PUBACK: _puback,
        PacketType.PUBREC: _pubrec,
        PacketType.PUBREL: _pubrel,
        PacketType.PUBCOMP: _pubcomp,
        PacketType.SUBSCRIBE: _subscribe,
        PacketType.UNSUBSCRIBE: _unsubscribe,
        PacketType.PINGREQ: _pingreq,
        PacketType.DISCONNECT: _disconnect,
        PacketType.AUTH: _auth,
    }


def _client(connect: Connect, limit: int) -> Client:
    properties = connect.properties
    return Client(
        connect.version,
        min(properties.get(Property.RECEIVE_MAXIMUM, limit), limit),
        properties.get(Property.MAXIMUM_PACKET_SIZE),
        properties.get(Property.TOPIC_ALIAS_MAXIMUM, 0),
    )
