"""The Redis listener: what its sessions share."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from hubbub.protocols.redis import mapping
from hubbub.protocols.redis.authentication import Authentication
from hubbub.protocols.redis.channels import ChannelTable
from hubbub.protocols.redis.clients import PROTOCOL, ClientRegistry
from hubbub.protocols.redis.deliveries import FrameHead
from hubbub.protocols.redis.parameters import Parameters
from hubbub.protocols.redis.publishing import RedisPublisher
from hubbub.protocols.redis.session import RedisSession
from hubbub.protocols.redis.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.session import Peer

# Redis's run ids are 40 hex digits.
_RUN_ID_BYTES = 20


class RedisListener:
    """One Redis port. ``settings`` are parameters as in redis.conf, and ``requirepass``.

    Raises:
        InvalidSettingsError: a setting that does not exist, or a value that it cannot have.
    """

    name = PROTOCOL
    default_port = 6379

    def __init__(self, broker: Broker, settings: Mapping[str, Any] | None = None) -> None:
        chosen = dict(settings or {})
        self.broker = broker
        self.authentication = Authentication(chosen.pop("requirepass", None))
        self.parameters = Parameters(chosen)
        self.clients = ClientRegistry()
        self.channels = ChannelTable()
        self.patterns = ChannelTable()
        self.shards = ChannelTable()
        self.publisher = RedisPublisher(broker, mapping, mapping.error_line)
        self._pattern_heads: WeakValueDictionary[bytes, FrameHead] = WeakValueDictionary()
        self.stats = Stats(self.publisher)
        self.started_at = broker.timers.now
        self.run_id = secrets.token_hex(_RUN_ID_BYTES)

    def session(self, peer: Peer, outbox: Outbox) -> RedisSession:
        """A session for an accepted connection; one too many is told so and closed."""
        session = RedisSession(self, peer, outbox)
        self.stats.connections += 1
        if len(self.clients) >= self.parameters.max_clients:
            self.stats.rejected_connections += 1
            session.refuse("ERR max number of clients reached")
        else:
            self.clients.add(session)
        return session

    def pattern_head(self, pattern: bytes) -> FrameHead:
        """What the deliveries by a pattern begin with, one for all clients that follow it."""
        head = self._pattern_heads.get(pattern)
        if head is None:
            head = self._pattern_heads[pattern] = FrameHead(b"pmessage", pattern)
        return head

    def configure(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Change parameters, for clients that are connected too. Raises CommandError."""
        self.parameters.set(pairs)
        for session in self.clients:
            session.set_limits()
