"""The clients that are connected to a listener, and how ``CLIENT LIST`` describes them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from hubbub.broker.observer import Subscriber

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.broker.session import Peer
    from hubbub.protocols.redis.session import RedisSession

PROTOCOL = "redis"

# CLIENT LIST and KILL filter by these; "slave" and "replica" are the same to Redis.
CLIENT_TYPES = frozenset({"normal", "master", "replica", "slave", "pubsub"})


@dataclass(slots=True)
class Client:
    """What is known of one client. Times are monotonic seconds."""

    id: int
    peer: Peer
    connected_at: float
    subscriber: Subscriber
    name: str = ""
    library: str = ""
    library_version: str = ""
    database: int = 0
    last_command: str = "NULL"

    @property
    def address(self) -> str:
        """Where it connects from."""
        return endpoint(self.peer.remote)

    @property
    def local_address(self) -> str:
        """Where it connects to."""
        return endpoint(self.peer.local)

    @property
    def principal(self) -> str:
        """Who it authenticated as; empty while no password is configured."""
        return self.subscriber.principal

    def rename(self, name: str) -> None:
        """Go by another name; by none where it is empty."""
        self.name = name
        self.subscriber = self.subscriber._replace(client=name or self.address)

    def authenticate(self, principal: str) -> None:
        """Be somebody."""
        self.subscriber = self.subscriber._replace(principal=principal)


class ClientRegistry:
    """Every connected session by its client's id, which is never given out twice."""

    def __init__(self) -> None:
        self._sessions: dict[int, RedisSession] = {}
        self._ids = count(1)

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[RedisSession]:
        return iter(tuple(self._sessions.values()))

    def new_client(self, peer: Peer, now: float) -> Client:
        """A client that has just connected."""
        subscriber = Subscriber(PROTOCOL, endpoint(peer.remote))
        return Client(next(self._ids), peer, now, subscriber)

    def add(self, session: RedisSession) -> None:
        """List the session."""
        self._sessions[session.client.id] = session

    def remove(self, session: RedisSession) -> None:
        """Undo ``add``; harmless if it was not there."""
        self._sessions.pop(session.client.id, None)

    def get(self, client_id: int) -> RedisSession | None:
        """The session with this id."""
        return self._sessions.get(client_id)


def endpoint(address: tuple[str, int]) -> str:
    """A host and a port as Redis writes them."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def client_type(session: RedisSession) -> str:
    """``pubsub`` for a client that is subscribed to something, else ``normal``."""
    return "pubsub" if session.subscriptions else "normal"


def describe(session: RedisSession, now: float) -> str:
    """The client's line of ``CLIENT LIST``, with the fields that mean something here."""
    client, outbox = session.client, session.outbox
    subscriptions, transaction = session.subscriptions, session.transaction
    flags = ("P" if subscriptions else "") + ("x" if transaction.open else "")
    fields = {
        "id": client.id,
        "addr": client.address,
        "laddr": client.local_address,
        "name": client.name,
        "age": int(now - client.connected_at),
        "idle": int(now - (session.active_at or client.connected_at)),
        "flags": flags or "N",
        "db": client.database,
        "sub": len(subscriptions.channels),
        "psub": len(subscriptions.patterns),
        "ssub": len(subscriptions.shards),
        "multi": len(transaction.queued) if transaction.open else -1,
        "watch": 0,
        "qbuf": session.unparsed_bytes,
        "multi-mem": transaction.size,
        "omem": outbox.size,
        "events": "r",
        "cmd": "publish" if session.published_last else client.last_command,
        "user": "default",
        "redir": -1,
        "resp": session.replies.protocol,
        "lib-name": client.library,
        "lib-ver": client.library_version,
    }
    return " ".join(f"{key}={value}" for key, value in fields.items())
