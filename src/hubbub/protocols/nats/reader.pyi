from hubbub.broker.dispatch import Publisher
from hubbub.broker.outbox import Outbox
from hubbub.broker.routes import Route
from hubbub.broker.stream import StreamSession

class NatsReader(StreamSession):
    """Splits what arrives into operations; publishes are carried out here, all else in a subclass.

    Consecutive publishes of a chunk are one burst.
    """

    verbose: bool
    pedantic: bool
    headers: bool
    no_responders: bool
    echoes: bool
    trusted: bool
    heard: bool
    """Bytes came since it was last set to False."""
    principal: str
    """Who publishes."""
    max_payload: int
    max_control_line: int

    def __init__(self, publisher: Publisher, outbox: Outbox) -> None: ...
    @property
    def closed(self) -> bool: ...
    def mark_closed(self) -> None:
        """Look at nothing more that arrives."""
    def connect(self, text: bytes) -> None:
        """CONNECT with this JSON."""
    def subscribe(self, subject: bytes, queue: bytes, sid: bytes) -> None:
        """SUB."""
    def unsubscribe(self, sid: bytes, limit: int) -> None:
        """UNSUB; ``limit`` 0 means at once."""
    def ping(self) -> None:
        """PING."""
    def pong(self) -> None:
        """PONG."""
    def may_publish(self, route: Route) -> bool:
        """Whether a publish there is allowed, by the name and by who publishes."""
    def no_responder(self, reply: bytes) -> None:
        """Told that nobody got a request that asks for an answer at ``reply``."""
    def error(self, text: str) -> None:
        """Say what is wrong; the connection goes on."""
    def close(self, error: str | None) -> None:
        """Close, after saying why unless that is None."""
