"""What a request's handler may know and do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from hubbub.protocols.kafka.schema import make, module_of, response_type

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from hubbub.broker.broker import Broker

    # An entity of kio's, the body of a response already encoded (whole or in chunks), or None where
    # the request wants no response.
    Response: TypeAlias = Any | bytes | Iterable[bytes] | None
    Reply: TypeAlias = Callable[[Response], None]
    # Called with the context, the decoded request, and what to call once with the response.
    Handler: TypeAlias = Callable[["RequestContext", Any, Reply], None]


class Node(NamedTuple):
    """The one broker of the cluster, as clients are told to reach it."""

    node_id: int
    host: str
    port: int


class Connection:
    """What is the same for every request of a connection."""

    __slots__ = (
        "_departures",
        "broker",
        "client_host",
        "disconnect",
        "node",
        "parked_partitions",
        "principal",
        "served",
        "settings",
    )

    def __init__(
        self,
        broker: Broker,
        settings: Mapping[str, Any],
        node: Node,
        client_host: str,
        served: Collection[int],
        disconnect: Callable[[], None],
    ) -> None:
        self.broker = broker
        self.settings = settings
        self.node = node
        self.client_host = client_host
        self.served = served  # the API keys that have a handler
        self.disconnect = disconnect  # close, once what was answered so far is sent
        self.principal = ""  # empty until users are configured
        self.parked_partitions = 0  # of the fetches that wait
        self._departures: dict[Callable[[], None], None] = {}

    def when_gone(self, call: Callable[[], None]) -> None:
        """Call ``call`` when the connection ends, unless ``forget`` comes before."""
        self._departures[call] = None

    def forget(self, call: Callable[[], None]) -> None:
        """Undo ``when_gone``."""
        self._departures.pop(call, None)

    def gone(self) -> None:
        """The connection has ended."""
        departures, self._departures = self._departures, {}
        for call in departures:
            call()


class RequestContext:
    """One request: who asks, in which version, and the way to the broker."""

    __slots__ = ("api_key", "api_version", "client_id", "connection")

    def __init__(
        self, connection: Connection, api_key: int, api_version: int, client_id: str | None
    ) -> None:
        self.connection = connection
        self.api_key = api_key
        self.api_version = api_version
        self.client_id = client_id

    @property
    def broker(self) -> Broker:
        """The facade."""
        return self.connection.broker

    @property
    def settings(self) -> Mapping[str, Any]:
        """The listener's settings."""
        return self.connection.settings

    @property
    def node(self) -> Node:
        """The broker as this client is told to reach it."""
        return self.connection.node

    @property
    def client_host(self) -> str:
        """Where the client connects from."""
        return self.connection.client_host

    @property
    def principal(self) -> str:
        """Who the client authenticated as."""
        return self.connection.principal

    def make(self, name: str, /, **fields: Any) -> Any:
        """The entity ``name`` of the response, without the fields that this version lacks."""
        return make(module_of(response_type(self.api_key, self.api_version)), name, **fields)
