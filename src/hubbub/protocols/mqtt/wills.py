"""Will Messages (MQTT 5 section 3.1.2.5): published when a client is gone that did not say goodbye."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from hubbub.model.errors import HubbubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.timers import Timer, Timers
    from hubbub.protocols.mqtt.codec import Will
    from hubbub.protocols.mqtt.session import MqttSession
    from hubbub.protocols.mqtt.session_state import SessionKey, SessionState

logger = logging.getLogger(__name__)


# What delayed wills may have of the memory; beyond it they are published at once.
MAX_DELAYED_BYTES = 64 * 1024 * 1024


class _Delayed(NamedTuple):
    timer: Timer
    publish: Callable[[], None]
    size: int


class Wills:
    """The wills of clients that are gone, until their Will Delay Interval is over."""

    def __init__(self, timers: Timers, publish: Callable[[MqttSession, Will, str], None]) -> None:
        self._timers = timers
        self._publish = publish
        self._delayed: dict[SessionKey, _Delayed] = {}
        self._bytes = 0

    def connection_closed(self, session: MqttSession, state: SessionState, will: Will) -> None:
        """The connection ended: publish when the delay is over or the session ends [MQTT-3.1.3-9]."""

        def publish() -> None:
            if self._delayed.pop(state.key, None) is not None:
                self._bytes -= size
            try:
                self._publish(session, will, state.key.principal)
            except HubbubError as error:
                logger.warning("mqtt: %s: no will: %s", state.client_id, error)

        delay = min(will.delay, state.expiry)
        size = len(will.payload) + len(will.properties) + len(will.topic)
        if delay and self._bytes + size <= MAX_DELAYED_BYTES:
            self._bytes += size
            self._delayed[state.key] = _Delayed(self._timers.after(delay, publish), publish, size)
        else:
            publish()

    def resume(self, key: SessionKey, *, clean: bool) -> None:
        """The client is back in time; a session that it ends publishes all the same."""
        delayed = self._delayed.pop(key, None)
        if delayed is not None:
            delayed.timer.cancel()
            self._bytes -= delayed.size
            if clean:
                delayed.publish()
