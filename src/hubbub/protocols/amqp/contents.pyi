from typing import Any

from hubbub.broker.broker import Broker
from hubbub.broker.publication import Durable
from hubbub.broker.routes import Route
from hubbub.broker.run import Origin
from hubbub.broker.work_item import Item

class AmqpPublisher:
    """What all channels of a listener publish to other protocols through.

    ``inward`` is the observer by which messages of others come in; AMQP's own do not.
    """

    inward: Any
    unfinished: int
    def __init__(self, broker: Broker, origin: Origin, inward: Any) -> None: ...
    def hold(self, size: int) -> None:
        """Count bytes of what is not published yet, negative ones where it is or never will be.

        Raises: ConnectionFailure (506), where it is too much.
        """

class ContentReader:
    """One channel's contents (AMQP 0-9-1 section 4.2.6): from frames to queues.

    ``published`` counts messages since confirm.select.
    """

    number: int
    publisher: AmqpPublisher
    confirming: bool
    in_transaction: bool
    is_closing: bool
    published: int
    max_message_size: int
    def __init__(self, number: int, publisher: AmqpPublisher, max_message_size: int) -> None: ...
    def refuse_immediate(self) -> None:
        """The bit that RabbitMQ does not implement. Raises ConnectionFailure."""
    def find_exchange(self, name: bytes) -> tuple[Any, Any]:
        """The exchange, and the cache of the addresses it publishes to. Raises ChannelError."""
    def authorise(self, exchange: Any, key: bytes, properties: bytes) -> None:
        """Where not everybody may do everything: whether this may be. Raises ChannelError."""
    def route(self, exchange: Any, key: bytes, properties: bytes) -> tuple[Any, ...]:
        """The queues that a message goes to."""
    def special(self, properties: bytes, user_id: bytes | None) -> bytes:
        """The properties as they are to be delivered, where they say more than most do."""
    def put_elsewhere(self, queue: Any, item: Item) -> int:
        """Give an item to what is no queue of leases; 1 taken, 0 refused."""
    def stored_in(self, durable: Durable) -> None:
        """Have the confirm wait for this, too."""
    def wake(self) -> None:
        """Let the queues look at the channel's consumers again."""
    def drop_content(self) -> None:
        """Let go of a body that is not whole."""
    def take_stored(self) -> list[Durable]:
        """What a commit has to wait for, since the last time."""
    def take_refused(self) -> dict[int, Exception | None]:
        """What a commit could not put, since the last time."""
    def publish_later(
        self, item: Item, queues: tuple[Any, ...], route: Route | None, mandatory: bool
    ) -> None:
        """Hold a message until the transaction commits."""
    def returned(self, mark: bytes, body: bytes) -> None:
        """A mandatory message went nowhere."""
    def confirm(self, last: int, stored: list[Durable], refused: dict[int, Any]) -> None:
        """Confirm all up to ``last`` that is not confirmed yet, once it is ``stored``."""
    def put_now(
        self, item: Item, queues: tuple[Any, ...], route: Route | None, mandatory: bool
    ) -> None:
        """Carry out what ``publish_later`` held."""

def scanned(properties: bytes) -> tuple[bool, int, int, bytes | None, bytes | None, bytes | None]:
    """Persistent, priority, expiration (ms, -1 none), headers, reply-to and user-id.

    Raises: SyntaxFailure.
    """
