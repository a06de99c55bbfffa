from collections.abc import Callable
from typing import Any

from hubbub.broker.broker import Broker
from hubbub.broker.outbox import Outbox
from hubbub.broker.stream import StreamSession
from hubbub.protocols.redis.parser import RequestParser
from hubbub.protocols.redis.replies import Replies

class Publisher:
    """What the sessions of a listener publish with, one after the other.

    ``mapping`` has ``address_of``; ``error_line`` turns an error into the text of a reply.
    """

    def __init__(
        self, broker: Broker, mapping: Any, error_line: Callable[[Exception], str]
    ) -> None: ...

class PublishingSession(StreamSession):
    """Splits what arrives into requests; a PUBLISH is carried out here, all else in a subclass.

    Consecutive publishes of a chunk are one burst: stored together, rendered together, and answered
    together, though each with a reply of its own.
    """

    @property
    def outbox(self) -> Outbox: ...
    @property
    def replies(self) -> Replies: ...
    @property
    def parser(self) -> RequestParser: ...
    def __init__(self, publisher: Publisher, outbox: Outbox, replies: Replies) -> None: ...
    def arrived(self, size: int) -> bool:
        """Told before so many bytes are parsed; whether they are of interest still."""
    def burst_limit(self) -> int:
        """How many publishes in a row may be carried out together; 0 where each is a matter of its own."""
    def execute(self, request: list[bytes]) -> bool:
        """Run any other request; whether more are to follow."""
    def published(self, count: int) -> str:
        """Told that so many publishes are carried out; by whom."""
    def give_up(self, failure: str) -> None:
        """Close after a protocol error; without a word where ``failure`` has none."""
