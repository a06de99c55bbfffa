"""What one client is subscribed to, and the observers that bring it its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.model.errors import DeniedError
from hubbub.model.pattern import Exact, Glob
from hubbub.protocols.redis.command import CommandError
from hubbub.protocols.redis.deliveries import ClientObserver, FrameHead
from hubbub.protocols.redis.mapping import address_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.model.pattern import Pattern
    from hubbub.protocols.redis.channels import ChannelTable
    from hubbub.protocols.redis.session import RedisSession

# Names one client may hold: about 50 MB. Redis has no such limit, and no memory bound either.
MAX_SUBSCRIPTIONS = 100_000

_MESSAGE = FrameHead(b"message")
_SHARD_MESSAGE = FrameHead(b"smessage")


class Channels:
    """The channels that a client is subscribed to by name, in the order in which it asked."""

    subscribed = "subscribe"  # what a confirmation calls it
    unsubscribed = "unsubscribe"
    head = _MESSAGE

    def __init__(self, session: RedisSession, table: ChannelTable) -> None:
        self._session = session
        self._table = table
        self._shared = ClientObserver(session.client, session.replies, self.head)
        self._observers: dict[bytes, ClientObserver] = {}

    def __len__(self) -> int:
        return len(self._observers)

    def names(self) -> list[bytes]:
        """The names."""
        return list(self._observers)

    def admit(self, names: Iterable[bytes]) -> None:
        """Raises DeniedError or InvalidAddressError if the client may not have one of ``names``."""
        broker, principal = self._session.broker, self._session.client.principal
        for name in names:
            pattern = self._pattern(name)
            if not broker.may(principal, "subscribe", pattern):
                raise DeniedError(f"this user may not subscribe to {pattern}")

    def add(self, name: bytes) -> None:
        """Subscribe; nothing happens if the client is subscribed already."""
        if name in self._observers:
            return
        observer = self._observer(name)
        self._connect(name, observer)
        self._observers[name] = observer
        self._table.add(name, observer)

    def remove(self, name: bytes) -> None:
        """Unsubscribe; nothing happens if the client is not subscribed."""
        observer = self._observers.pop(name, None)
        if observer is not None:
            self._disconnect(name, observer)
            self._table.remove(name, observer)

    def _pattern(self, name: bytes) -> Pattern:
        return Exact(address_of(name))

    def _observer(self, _name: bytes) -> ClientObserver:
        return self._shared

    def _connect(self, name: bytes, observer: ClientObserver) -> None:
        self._session.broker.subscribe(self._pattern(name), observer)

    def _disconnect(self, name: bytes, observer: ClientObserver) -> None:
        self._session.broker.unsubscribe(self._pattern(name), observer)


class Patterns(Channels):
    """Globs. Each has an observer of its own, because a pmessage names the pattern that matched."""

    subscribed = "psubscribe"
    unsubscribed = "punsubscribe"

    def _pattern(self, name: bytes) -> Pattern:
        return Glob(name)

    def _observer(self, name: bytes) -> ClientObserver:
        session = self._session
        return ClientObserver(session.client, session.replies, session.listener.pattern_head(name))


class ShardChannels(Channels):
    """Sharded channels: a name space that only SPUBLISH reaches, so the broker does not know it."""

    subscribed = "ssubscribe"
    unsubscribed = "sunsubscribe"
    head = _SHARD_MESSAGE

    def _connect(self, name: bytes, observer: ClientObserver) -> None:
        """The listener's table is the route."""

    def _disconnect(self, name: bytes, observer: ClientObserver) -> None:
        """The listener's table is the route."""


class Subscriptions:
    """Everything that one client is subscribed to."""

    def __init__(self, session: RedisSession) -> None:
        listener = session.listener
        self.channels = Channels(session, listener.channels)
        self.patterns = Patterns(session, listener.patterns)
        self.shards = ShardChannels(session, listener.shards)

    def __len__(self) -> int:
        return len(self.channels) + len(self.patterns) + len(self.shards)

    def count(self, kind: Channels) -> int:
        """The number that a confirmation shows: sharded channels are counted by themselves."""
        if kind is self.shards:
            return len(self.shards)
        return len(self.channels) + len(self.patterns)

    def make_room(self, kind: Channels, names: list[bytes]) -> None:
        """Raises CommandError if ``names`` are more than a client may hold."""
        if len(self) + len(names) <= MAX_SUBSCRIPTIONS:
            return
        if len(self) + len(set(names).difference(kind.names())) > MAX_SUBSCRIPTIONS:
            raise CommandError(f"ERR a client has at most {MAX_SUBSCRIPTIONS} subscriptions")

    def clear(self) -> None:
        """Unsubscribe from everything, without a word."""
        for kind in (self.channels, self.patterns, self.shards):
            for name in kind.names():
                kind.remove(name)
