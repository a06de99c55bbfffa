from typing import Any, Protocol

class Leased(Protocol):
    """A delivery: a queue's entry, or what behaves like one.

    ``queue`` has ``settle(entry)``, ``give_back(entry, counts)`` and ``reject(entry)``.
    """

    @property
    def queue(self) -> Any: ...

class PrefetchWindow:
    """How much one consumer may have unacknowledged (basic.qos), and has; a limit of 0 is none."""

    prefetch: int
    def __init__(self, prefetch: int) -> None: ...
    @property
    def outstanding(self) -> int: ...

class Unacknowledged:
    """Deliveries of one channel by delivery tag, in order (AMQP 0-9-1 section 1.1, delivery-tag).

    Costs what is unacknowledged, however far apart the tags of that are.
    """

    def __len__(self) -> int: ...
    @property
    def last_tag(self) -> int:
        """Of the latest delivery, 0 before the first."""
    def push(self, entry: Leased, consumer: PrefetchWindow | None = None) -> int:
        """Note a delivery; its tag."""
    def skip(self) -> int:
        """The tag of a delivery that needs no acknowledgement."""
    def acknowledge(self, tag: int, *, multiple: bool = False) -> bool:
        """Settle a delivery, or all up to it (0: all there are); False for an unknown tag."""
    def take(self, tag: int, *, multiple: bool = False) -> list[Any]:
        """As ``acknowledge``, but the entries are the caller's to settle; none for an unknown tag."""
    def take_all(self) -> list[Any]:
        """Everything that is not held, in the order of the tags."""
    def peek(self, tag: int, *, multiple: bool = False) -> list[Any] | None:
        """What ``take`` would return; None for an unknown tag."""
    def hold(self, tag: int, *, multiple: bool = False) -> list[int]:
        """Have the tags be unknown from now on, of deliveries that count as before; the tags."""
    def let_go(self, tags: list[int]) -> None:
        """Undo ``hold``."""
    def forget_consumer(self, consumer: PrefetchWindow) -> None:
        """The consumer is cancelled; what it was sent stays the channel's."""
