"""``$SYS``: what the broker says of itself, under mosquitto's names where it has the figure."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from hubbub.broker.retained import RetainedMessage
from hubbub.model.address import Address
from hubbub.model.message import Message
from hubbub.protocols.mqtt.marks import encode_mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.model.pattern import Exact, Wildcard
    from hubbub.protocols.mqtt.listener import MqttListener

# Published to be retained, at QoS 2 for whoever wants that.
_MARK = encode_mark(2, True, "", b"")


class SysTopics:
    """Publishes what has changed, at intervals; those who subscribe get the present state at once."""

    def __init__(self, listener: MqttListener) -> None:
        self._listener = listener
        self._started = listener.timers.now
        self._last: dict[Address, bytes] = {}
        self._most_clients = 0
        self._now = -1.0
        self._state: tuple[Message, ...] = ()
        self._interval = listener.settings.sys_interval
        if self._interval:
            listener.timers.after(self._interval, self._publish)

    def matching(self, pattern: Exact | Wildcard) -> Iterator[RetainedMessage]:
        """The present state of the topics that match."""
        if self._interval and str(pattern).startswith("$SYS."):
            now = self._listener.timers.now
            if self._now != now:  # once a turn, however often it is asked for
                self._now, self._state = now, tuple(self._messages())
            for message in self._state:
                if pattern.matches(message.address):
                    yield RetainedMessage(message, _MARK)

    def _publish(self) -> None:
        self._listener.timers.after(self._interval, self._publish)
        broker = self._listener.broker
        for message in self._messages():
            if self._last.get(message.address) != message.value:
                self._last[message.address] = message.value or b""
                broker.publish(message)

    def _messages(self) -> Iterator[Message]:
        now_ms = self._listener.timers.wall_ms
        for name, value in self._figures().items():
            address = Address("$SYS.broker." + name.replace("/", "."))
            yield Message(address, str(value).encode(), timestamp_ms=now_ms)

    def _figures(self) -> dict[str, object]:
        listener = self._listener
        connected = sum(state.session is not None for state in listener.sessions)
        total = len(listener.sessions)
        self._most_clients = max(self._most_clients, total)
        traffic = listener.publisher
        return {
            "version": f"hubbub version {version('hubbub')}",
            "uptime": f"{int(listener.timers.now - self._started)} seconds",
            "clients/total": total,
            "clients/connected": connected,
            "clients/active": connected,
            "clients/disconnected": total - connected,
            "clients/inactive": total - connected,
            "clients/maximum": self._most_clients,
            "subscriptions/count": sum(len(state.filters) for state in listener.sessions),
            "retained messages/count": len(listener.broker.retained),
            "publish/messages/received": traffic.received_messages,
            "publish/bytes/received": traffic.received_bytes,
            "publish/messages/dropped": listener.sessions.dropped,
        }
