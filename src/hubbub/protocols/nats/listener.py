"""The NATS listener: what its sessions share."""

from __future__ import annotations

import secrets
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from hubbub.broker.dispatch import Publisher
from hubbub.protocols.nats import codec, mapping
from hubbub.protocols.nats.deliveries import MsgStyle, NatsOrigin
from hubbub.protocols.nats.session import PROTOCOL, NatsSession
from hubbub.protocols.nats.settings import parse_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.session import Peer

# The nats-server whose client protocol this listener has; clients choose what they send by it.
NATS_VERSION = "2.11.0"
_ID_BYTES = 28  # 56 characters, as long as the public keys that nats-server goes by


class NatsListener:
    """One NATS port. ``settings`` are those of ``hubbub.protocols.nats.settings``.

    Raises:
        InvalidSettingsError: a setting that does not exist, or a value that it cannot have.
    """

    name = PROTOCOL
    default_port = 4222

    def __init__(self, broker: Broker, settings: Mapping[str, Any] | None = None) -> None:
        self.broker = broker
        self.timers = broker.timers
        self.settings = parse_settings(settings or {})
        self.publisher = Publisher(broker, mapping, NatsOrigin())
        self.sessions: set[NatsSession] = set()
        self.slow_consumers = 0
        self.server_id = "N" + secrets.token_hex(_ID_BYTES)[1:].upper()
        self._client_ids = count(1)
        self._styles: WeakValueDictionary[tuple[bytes, bool], MsgStyle] = WeakValueDictionary()

    def session(self, peer: Peer, outbox: Outbox) -> NatsSession:
        """The state machine of a new connection."""
        outbox.limit = self.settings.max_pending
        outbox.farewell = codec.encode_error(codec.SLOW_CONSUMER)
        session = NatsSession(self, peer, outbox)
        self.sessions.add(session)
        return session

    def info(self, peer: Peer) -> dict[str, Any]:
        """What INFO says to a new connection."""
        info: dict[str, Any] = {
            "server_id": self.server_id,
            "server_name": "hubbub",
            "version": NATS_VERSION,
            "proto": 1,
            "host": peer.local[0],
            "port": peer.local[1],
            "headers": True,
        }
        if self.settings.requires_auth:
            info["auth_required"] = True
        return info | {
            "max_payload": self.settings.max_payload,
            "client_id": next(self._client_ids),
            "client_ip": peer.remote[0],
        }

    def style(self, sid: bytes, *, headers: bool) -> MsgStyle:
        """How deliveries to a subscription id look, one for all clients that number theirs alike."""
        style = self._styles.get((sid, headers))
        if style is None:
            style = self._styles[sid, headers] = MsgStyle(sid, headers)
        return style
