"""What ``INFO`` counts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubbub.protocols.redis.publishing import RedisPublisher


class Stats:
    """Counters of a listener, zeroed by ``CONFIG RESETSTAT``."""

    def __init__(self, publisher: RedisPublisher) -> None:
        self._publisher = publisher  # counts by itself what it does
        self.reset()

    def reset(self) -> None:
        """Begin again at zero."""
        self.connections = 0
        self.rejected_connections = 0
        self.other_commands = 0
        self._publisher.publishes = 0
        self._publisher.input_bytes = 0
        self.slow_consumers = 0
        self.errors: Counter[str] = Counter()

    @property
    def commands(self) -> int:
        """Requests carried out."""
        return self.other_commands + self._publisher.publishes

    @property
    def input_bytes(self) -> int:
        """Bytes received."""
        return self._publisher.input_bytes

    def count_error(self, line: str) -> None:
        """Count an error reply under its code, the first word."""
        self.errors[line.partition(" ")[0]] += 1

    def count_slow_consumer(self) -> None:
        """Count a connection that was cut off because it did not read its deliveries."""
        self.slow_consumers += 1
