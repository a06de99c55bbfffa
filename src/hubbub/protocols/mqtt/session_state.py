"""The session of one client identifier (MQTT 5 section 4.1): what may outlive its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hubbub.broker.observer import Subscriber
from hubbub.protocols.mqtt import codec
from hubbub.protocols.mqtt.deliveries import Deliveries
from hubbub.protocols.mqtt.filters import Filters
from hubbub.protocols.mqtt.flow import Flow

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.outbox import Outbox
    from hubbub.model.address import Address
    from hubbub.protocols.mqtt.deliveries import Match
    from hubbub.protocols.mqtt.filters import Subscription
    from hubbub.protocols.mqtt.flow import Connected
    from hubbub.protocols.mqtt.session import MqttSession
    from hubbub.protocols.mqtt.sessions import Sessions

PROTOCOL = "mqtt"

# A Session Expiry Interval of this many seconds never ends (section 3.1.2.11.2).
NEVER = 0xFFFFFFFF


class SessionKey(NamedTuple):
    """Whose session it is: nobody gets at another's by its client identifier."""

    principal: str
    client_id: str


class SessionState:
    """Subscriptions, and what is on its way in both directions.

    While the client is there its subscriptions are observers of the router; those at QoS 1 and 2 of a
    session that outlives its connection are bindings of a queue, which fills also while it is away.
    """

    __slots__ = (
        "_listening", "_sessions", "expiry", "filters", "flow", "key", "received", "session",
        "subscriber", "version",
    )  # fmt: skip

    def __init__(self, sessions: Sessions, key: SessionKey, expiry: int) -> None:
        self._sessions = sessions
        self.key = key
        self.expiry = expiry  # seconds after the connection's end
        self.session: MqttSession | None = None
        self.subscriber = Subscriber(PROTOCOL, key.client_id, key.principal)
        self.version = codec.MQTT_3_1_1
        self.received: set[int] = set()
        self.filters = Filters(self._make_match)
        self.flow = Flow(self, sessions.settings.max_queued_messages)
        self._listening: dict[bytes | None, Deliveries] = {}  # by shared filter; None: all others

    @property
    def client_id(self) -> str:
        """The client identifier."""
        return self.key.client_id

    @property
    def outlives_connection(self) -> bool:
        """Whether it is there for the next one."""
        return self.expiry > 0

    @property
    def is_queued(self) -> bool:
        """Whether QoS 1 and 2 come to it from a queue."""
        return self.flow.queue is not None

    @property
    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return self._sessions.timers.wall_ms

    # --- the connection ------------------------------------------------------------------------

    def attach(self, session: MqttSession, outbox: Outbox, client: Connected) -> None:
        """The client is connected by ``session``; CONNACK is written."""
        self.session = session
        if self.version != client.version:
            self.version = client.version
            self.filters.remake(self._make_match)
        if self.outlives_connection and self.flow.queue is None:
            self._open_queue()
        self.flow.connect(outbox, client)
        for subscription in self.filters:
            self._listen(subscription)

    def detach(self) -> None:
        """The connection is gone."""
        for subscription in self.filters:
            self._ignore(subscription)
        self._listening.clear()
        self.flow.disconnect()
        self.session = None

    def slow_consumer(self) -> None:
        """Called when the client does not read what it is sent."""
        if self.session is not None:
            self.session.slow_consumer()

    # --- subscriptions -------------------------------------------------------------------------

    def subscribe(self, subscription: Subscription) -> bool:
        """Take the subscription; whether there was none with its topic filter. Raises DeniedError."""
        before = self.filters.get(subscription.text)
        self._listen(subscription)
        self.filters.add(subscription)
        if before is not None and before.kind != subscription.kind and before.share is not None:
            self._ignore(before)
            self._listen(subscription)
        self._narrow()
        if self.is_queued:
            self._bind(subscription)
            self._sessions.subscribed(self, subscription)
        return before is None

    def unsubscribe(self, text: bytes) -> bool:
        """Forget the subscription; whether there was one."""
        subscription = self.filters.remove(text)
        if subscription is None:
            return False
        self._ignore(subscription)
        self._narrow()
        if self.is_queued:
            self._unbind(subscription)
            self._sessions.unsubscribed(self, subscription)
        return True

    def match(self, address: Address, own: bool) -> Match | None:  # noqa: FBT001 - native code calls it
        """What a message to the address means to the client."""
        return self.filters.match(address, own)

    def _make_match(
        self,
        qos: int,
        as_published: bool,
        identifiers: tuple[int, ...],  # noqa: FBT001 - part of a key
    ) -> Match:
        five = self.version == codec.MQTT_5
        return self._sessions.matches.get(five, qos, as_published, identifiers)

    def _listen(self, subscription: Subscription) -> None:
        """Let the client have what is published from now on."""
        flow = self.flow
        key = None if subscription.share is None else subscription.text
        deliveries = self._listening.get(key)
        if deliveries is None:
            if key is None:
                deliveries = Deliveries(self, flow.outgoing, at_most_once=self.is_queued)
            else:
                share = (PROTOCOL, subscription.share or b"", subscription.text)
                only = self.filters.match_of(subscription)
                deliveries = Deliveries(self, flow.outgoing, only, share)
        self._sessions.broker.subscribe(subscription.pattern, deliveries)
        self._listening[key] = deliveries

    def _ignore(self, subscription: Subscription) -> None:
        key = None if subscription.share is None else subscription.text
        deliveries = self._listening.get(key)
        if deliveries is not None:
            self._sessions.broker.unsubscribe(subscription.pattern, deliveries)
        if key is not None:
            self._listening.pop(key, None)

    def _narrow(self) -> None:
        deliveries = self._listening.get(None)
        if deliveries is not None:
            deliveries.narrow(self.filters.only)

    # --- what waits for a client that is away --------------------------------------------------

    def _open_queue(self) -> None:
        self.flow.queue = self._sessions.open_queue(self.key)
        for subscription in self.filters:
            self._bind(subscription)

    def _bind(self, subscription: Subscription) -> None:
        queue = self.flow.queue
        if queue is not None and subscription.share is None:
            if subscription.qos:
                queue.bind(subscription.pattern)
            else:
                queue.unbind(subscription.pattern)

    def _unbind(self, subscription: Subscription) -> None:
        if self.flow.queue is not None and subscription.share is None:
            self.flow.queue.unbind(subscription.pattern)

    def restore(self, subscriptions: list[Subscription]) -> None:
        """Have these subscriptions, and the queue, that were stored."""
        for subscription in subscriptions:
            self.filters.add(subscription)
        self.flow.queue = self._sessions.open_queue(self.key)

    # --- what is stored ------------------------------------------------------------------------

    def flow_changed(self) -> None:
        """Packet Identifiers in use are others now."""
        if self.is_queued:
            self._sessions.flow_changed(self)

    def when_flow_durable(self, done: Callable[[], None]) -> None:
        """Call ``done`` once that survives power loss; at once where it need not."""
        if self.is_queued:
            self._sessions.when_flow_durable(self, done)
        else:
            done()
