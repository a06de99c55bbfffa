"""Retained messages on their way to who has subscribed (MQTT 5 section 3.3.1.3), some each turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.mqtt.marks import decode_mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hubbub.broker.retained import RetainedMessage
    from hubbub.protocols.mqtt.filters import Subscription
    from hubbub.protocols.mqtt.listener import MqttListener
    from hubbub.protocols.mqtt.session import MqttSession
    from hubbub.protocols.mqtt.session_state import SessionState

# How many are sent in a turn: some milliseconds, whatever was subscribed to.
_EACH_TURN = 500
# A client that has so much unread is not sent more for now, in seconds.
_UNREAD_BYTES = 4 * 1024 * 1024
_LATER = 0.05


class RetainedDelivery:
    """What one SUBSCRIBE brings, filter by filter, as long as the connection is there."""

    def __init__(
        self,
        listener: MqttListener,
        session: MqttSession,
        state: SessionState,
        subscriptions: Iterable[Subscription],
    ) -> None:
        self._listener = listener
        self._session = session
        self._state = state
        self._messages = self._found(subscriptions)
        self._go_on()

    def _go_on(self) -> None:
        session, flow = self._session, self._state.flow
        if session.closed:
            return
        if session.outbox.size > _UNREAD_BYTES:
            self._listener.timers.after(_LATER, self._go_on)
            return
        for count, (subscription, retained) in enumerate(self._messages, 1):
            match = self._state.filters.match_of(subscription)
            flow.send_retained(retained.message, decode_mark(retained.mark), match)
            if count == _EACH_TURN:
                self._listener.timers.after(0, self._go_on)
                return

    def _found(
        self, subscriptions: Iterable[Subscription]
    ) -> Iterator[tuple[Subscription, RetainedMessage]]:
        session = self._session
        for subscription in subscriptions:
            for retained in self._listener.retained_for(subscription.pattern, session.principal):
                publisher = decode_mark(retained.mark).publisher
                if not (subscription.no_local and publisher == session.client_id):
                    yield subscription, retained
