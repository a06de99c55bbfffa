"""The session of one client identifier (MQTT 5 section 4.1): what may outlive its connections."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from hubbub.broker.observer import Subscriber
from hubbub.model.errors import DeniedError
from hubbub.protocols.mqtt import codec
from hubbub.protocols.mqtt.consumer import QueueConsumer
from hubbub.protocols.mqtt.deliveries import Deliveries
from hubbub.protocols.mqtt.filters import Filters
from hubbub.protocols.mqtt.flow import Flow
from hubbub.protocols.mqtt.receipts import Receipts

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.outbox import Outbox
    from hubbub.model.address import Address
    from hubbub.protocols.mqtt.deliveries import Match
    from hubbub.protocols.mqtt.filters import Subscription
    from hubbub.protocols.mqtt.marks import Mark
    from hubbub.protocols.mqtt.packets import Client
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

    While the client is there its subscriptions are an observer; those at QoS 1 and 2 of a session that
    outlives its connection are bindings of a queue, which fills also while the client is away.
    """

    __slots__ = (
        "_deliveries", "_is_resting", "_sessions", "expiry", "filters", "flow", "key", "receipts", "session",
        "subscriber", "version",
    )  # fmt: skip

    def __init__(self, sessions: Sessions, key: SessionKey, expiry: int) -> None:
        self._sessions = sessions
        self.key = key
        self.expiry = expiry  # seconds after the connection's end
        self.session: MqttSession | None = None
        self.subscriber = Subscriber(PROTOCOL, key.client_id, key.principal)
        self.version = codec.MQTT_3_1_1
        self.filters = Filters(self._make_match)
        self.flow = Flow(self, sessions.settings.max_queued_messages)
        self.receipts = Receipts(self.flow)
        self._is_resting = False
        self._deliveries: Deliveries | None = None  # while the client is there and has subscribed

    @property
    def client_id(self) -> str:
        """The client identifier."""
        return self.key.client_id

    @property
    def outlives_connection(self) -> bool:
        """Whether it is there for the next one."""
        return self.expiry > 0

    @property
    def dropped(self) -> int:
        """Messages that the client did not get because too many waited for it already."""
        own = self.flow.own
        return self.flow.dropped + (0 if own is None else own.queue.dropped)

    @property
    def is_queued(self) -> bool:
        """Whether QoS 1 and 2 come to it from a queue."""
        return self.flow.own is not None

    @property
    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return self._sessions.timers.wall_ms

    # --- the connection ------------------------------------------------------------------------

    def attach(self, session: MqttSession, outbox: Outbox, client: Client) -> None:
        """The client is connected by ``session``; CONNACK is written."""
        self.session = session
        if self.version != client.version:
            self.version = client.version
            self.filters.remake(self._make_match)
        self.flow.connect(outbox, client)
        for subscription in self.filters:
            with suppress(DeniedError):  # what was allowed once may not be any more
                self._listen(subscription)
        self._narrow()

    def detach(self) -> None:
        """The connection is gone."""
        for subscription in self.filters:
            self._ignore(subscription)
        self._deliveries = None
        self.flow.disconnect()
        self.session = None

    def end(self) -> None:
        """The session is over."""
        for subscription in self.filters:
            if subscription.share is not None:
                self._sessions.shares.remove(subscription.text, self)

    def slow_consumer(self) -> None:
        """Called when the client does not read what it is sent."""
        if self.session is not None:
            self.session.slow_consumer()

    def look_again(self, seconds: float) -> None:
        """Called when the client has much unread: queues are to try again then."""
        if not self._is_resting:
            self._is_resting = True
            self._sessions.timers.after(seconds, self._rested)

    def _rested(self) -> None:
        self._is_resting = False
        self.has_room()

    def has_room(self) -> None:
        """Called when the client takes more: queues may have it."""
        if self.flow.own is not None:
            self.flow.own.queue.dispatch()
        if self.filters.has_shared:
            self._sessions.takes_more(self)

    def dispatch_shared(self) -> None:
        """Let the queues of its shared subscriptions hand out more."""
        for text in self.filters.shared:
            self._sessions.shares.get(text).dispatch()

    # --- subscriptions -------------------------------------------------------------------------

    def subscribe(self, subscription: Subscription) -> bool:
        """Take the subscription; whether there was none with its topic filter.

        Raises: DeniedError, StorageError.
        """
        broker = self._sessions.broker
        if not broker.may(self.key.principal, "subscribe", subscription.pattern):
            raise DeniedError(f"{self.client_id} may not subscribe {subscription.pattern}")
        is_new = self.filters.get(subscription.text) is None
        self.filters.add(subscription)  # first: whatever fails then, ``unsubscribe`` undoes
        if subscription.share is not None:
            self._sessions.shares.get(subscription.text).add(self, subscription)
        self._listen(subscription)
        self._narrow()
        if self.is_queued:
            self._bind(subscription)
            self._sessions.subscribed(self, subscription)
        return is_new

    def unsubscribe(self, text: bytes) -> bool:
        """Forget the subscription; whether there was one. Raises StorageError."""
        subscription = self.filters.remove(text)
        if subscription is None:
            return False
        if subscription.share is not None:
            self._sessions.shares.remove(text, self)
        else:
            self._ignore(subscription)
        self._narrow()
        if self.is_queued:
            self._unbind(subscription)
            self._sessions.unsubscribed(self, subscription)
        return True

    def match(self, address: Address, own: bool) -> Match | None:
        """What a message to the address means to the client."""
        return self.filters.match(address, own)

    def _match_queued(self, address: Address, mark: Mark) -> Match | None:
        own = mark.properties is not None and mark.publisher == self.client_id
        match = self.filters.match(address, own)
        # What it gets at QoS 0 it had as it was published.
        return match if match is not None and match.qos else None

    def _make_match(self, qos: int, as_published: bool, identifiers: tuple[int, ...]) -> Match:
        five = self.version == codec.MQTT_5
        return self._sessions.matches.get(five, qos, as_published, identifiers)

    def _listen(self, subscription: Subscription) -> None:
        """Let the client have what is published from now on."""
        if subscription.share is not None:
            self._sessions.shares.get(subscription.text).enter(self)
            return
        if self._deliveries is None:
            self._deliveries = Deliveries(self, self.flow.outgoing, at_most_once=self.is_queued)
        self._sessions.broker.subscribe(subscription.pattern, self._deliveries)

    def _ignore(self, subscription: Subscription) -> None:
        if subscription.share is not None:
            self._sessions.shares.get(subscription.text).leave(self)
        elif self._deliveries is not None:
            self._sessions.broker.unsubscribe(subscription.pattern, self._deliveries)

    def _narrow(self) -> None:
        if self._deliveries is not None:
            self._deliveries.narrow(self.filters.only)

    # --- what waits for a client that is away --------------------------------------------------

    def open_queue(self) -> None:
        """Have a queue, bound to what is subscribed to. Raises StorageError."""
        queue = self._sessions.open_queue(self.key)
        self.flow.own = QueueConsumer(self.flow, queue, self._match_queued)
        for subscription in self.filters:
            self._bind(subscription)

    def restore(self, subscriptions: list[Subscription]) -> None:
        """Have these subscriptions, and the queue, that were stored."""
        for subscription in subscriptions:
            self.filters.add(subscription)
            if subscription.share is not None:
                self._sessions.shares.get(subscription.text).add(self, subscription)
        self.open_queue()

    def _bind(self, subscription: Subscription) -> None:
        if self.flow.own is None or subscription.share is not None:
            return
        if subscription.qos:
            self.flow.own.queue.bind(subscription.pattern)
        else:
            self.flow.own.queue.unbind(subscription.pattern)

    def _unbind(self, subscription: Subscription) -> None:
        if self.flow.own is not None and subscription.share is None:
            self.flow.own.queue.unbind(subscription.pattern)

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
