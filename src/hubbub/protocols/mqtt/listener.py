"""The MQTT listener: what its sessions share."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from hubbub.broker.retained import RetainedMessage
from hubbub.protocols.mqtt import mapping
from hubbub.protocols.mqtt.deliveries import MqttOrigin
from hubbub.protocols.mqtt.reader import MqttPublisher
from hubbub.protocols.mqtt.session import MqttSession
from hubbub.protocols.mqtt.session_state import PROTOCOL
from hubbub.protocols.mqtt.sessions import Sessions
from hubbub.protocols.mqtt.settings import TooManyRetainedError, parse_settings
from hubbub.protocols.mqtt.sys_topics import SysTopics
from hubbub.protocols.mqtt.wills import Wills

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.publication import Stored
    from hubbub.broker.session import Peer
    from hubbub.model.message import Message
    from hubbub.model.pattern import Exact, Wildcard
    from hubbub.protocols.mqtt.codec import Will


class MqttListener:
    """One broker's MQTT. ``settings`` are those of ``hubbub.protocols.mqtt.settings``.

    Raises:
        InvalidSettingsError: a setting that does not exist, or a value that it cannot have.
    """

    name = PROTOCOL
    default_port = 1883

    def __init__(self, broker: Broker, settings: Mapping[str, Any] | None = None) -> None:
        self.broker = broker
        self.timers = broker.timers
        self.settings = parse_settings(settings or {})
        self.publisher = MqttPublisher(broker, mapping, MqttOrigin())
        self.connections: set[MqttSession] = set()
        self.slow_consumers = 0
        self.sessions = Sessions(broker, self.settings)
        self.wills = Wills(broker.timers, self._publish_will)
        self.sys_topics = SysTopics(self)

    def session(self, peer: Peer, outbox: Outbox) -> MqttSession:
        """The state machine of a new connection."""
        session = MqttSession(self, peer, outbox)
        self.connections.add(session)
        return session

    def retain(self, message: Message, mark: bytes) -> Stored | None:
        """Retain a message; what to wait for. Raises TooManyRetainedError, StorageError."""
        retained = self.broker.retained
        if message.value:
            before = retained.get(message.address)
            more = RetainedMessage(message, mark).size - (0 if before is None else before.size)
            is_full = before is None and len(retained) >= self.settings.max_retained_messages
            if is_full or (more > 0 and retained.size + more > self.settings.max_retained_bytes):
                raise TooManyRetainedError("as much is retained as may be")
        return retained.put(message, mark)

    def retained_for(self, pattern: Exact | Wildcard, principal: str) -> Iterator[RetainedMessage]:
        """What somebody who subscribes to the pattern gets first."""
        broker_own = self.sys_topics.matching(pattern)
        for retained in chain(broker_own, self.broker.retained.matching(pattern)):
            if self.broker.may(principal, "receive", retained.message.address):
                yield retained

    def when_durable(self, done: Callable[[], None]) -> None:
        """Call ``done`` once what sessions are made of survives power loss; never if it does not."""
        self.sessions.when_durable(lambda failure: None if failure else done())

    def _publish_will(self, session: MqttSession, will: Will, principal: str) -> None:
        outcome, message, mark = self.publisher.publish_will(session, will, principal)
        for error in outcome.refused.values():
            raise error
        if will.retain:
            self.retain(message, mark)
