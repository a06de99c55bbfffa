class Held:
    """How many bytes of messages are in memory, however many queues they wait in."""

    @property
    def bytes(self) -> int: ...

class Item:
    """A message for work queues; it never changes.

    ``mark`` is what the publisher's protocol wants back with it, and nobody else reads. ``ttl_ms``
    is how long it may wait in a queue (-1: for ever). ``priority`` counts in queues that have
    priorities. Whether it is ``persistent`` matters to durable queues, which store it then.
    """

    def __init__(
        self,
        value: bytes,
        mark: bytes = b"",
        timestamp_ms: int = 0,
        ttl_ms: int = -1,
        priority: int = 0,
        persistent: bool = False,
    ) -> None: ...
    @property
    def value(self) -> bytes: ...
    @property
    def mark(self) -> bytes: ...
    @property
    def timestamp_ms(self) -> int: ...
    @property
    def ttl_ms(self) -> int: ...
    @property
    def priority(self) -> int: ...
    @property
    def persistent(self) -> bool: ...
