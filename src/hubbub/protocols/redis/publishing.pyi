from collections.abc import Callable
from typing import Any

from hubbub.broker.broker import Broker
from hubbub.broker.dispatch import Publisher
from hubbub.broker.outbox import Outbox
from hubbub.broker.stream import StreamSession
from hubbub.protocols.redis.parser import RequestParser
from hubbub.protocols.redis.replies import Replies

class RedisPublisher(Publisher):
    """A publisher that counts, and answers; ``error_line`` turns an error into the text of a reply."""

    publishes: int
    """Publishes carried out, on all connections."""
    input_bytes: int
    """Bytes received, likewise."""

    def __init__(
        self, broker: Broker, mapping: Any, error_line: Callable[[Exception], str]
    ) -> None: ...

class PublishingSession(StreamSession):
    """Splits what arrives into requests; a PUBLISH is carried out here, all else in a subclass.

    Consecutive publishes of a chunk are one burst: stored together, rendered together, and answered
    together, though each with a reply of its own.
    """

    closing: bool
    """Nothing that arrives is of interest any more."""
    principal: str
    """Who publishes."""
    burst_limit: int
    """How many publishes in a row may be carried out together; 0 where each is a matter of its own."""
    published_last: bool
    """Whether the last request was a PUBLISH carried out here."""

    @property
    def replies(self) -> Replies: ...
    @property
    def parser(self) -> RequestParser: ...
    def __init__(self, publisher: RedisPublisher, outbox: Outbox, replies: Replies) -> None: ...
    def execute(self, request: list[bytes]) -> None:
        """Run any other request, and say in ``burst_limit`` and ``closing`` what that changed."""
    def give_up(self, failure: str) -> None:
        """Close after a protocol error; without a word where ``failure`` has none."""
