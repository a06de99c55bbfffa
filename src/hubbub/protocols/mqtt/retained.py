"""Retained messages on their way to who has subscribed (MQTT 5 section 3.3.1.3), some each turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.mqtt.flow import LATER, UNREAD_BYTES
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
        for count in range(_EACH_TURN):
            if count and (session.outbox.size > UNREAD_BYTES or flow.has_waiting):
                # It has to read, or to acknowledge, what it got first.
                self._listener.timers.after(LATER, self._go_on)
                return
            found = next(self._messages, None)
            if found is None:
                return
            subscription, retained = found
            match = self._state.filters.match_of(subscription)
            flow.send_retained(retained.message, decode_mark(retained.mark), match)
        self._listener.timers.after(0, self._go_on)

    def _found(
        self, subscriptions: Iterable[Subscription]
    ) -> Iterator[tuple[Subscription, RetainedMessage]]:
        session = self._session
        for subscription in subscriptions:
            for retained in self._listener.retained_for(subscription.pattern, session.principal):
                publisher = decode_mark(retained.mark).publisher
                if not (subscription.no_local and publisher == session.client_id):
                    yield subscription, retained
