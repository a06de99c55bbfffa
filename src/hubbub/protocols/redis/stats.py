"""What ``INFO`` counts."""

from __future__ import annotations

from collections import Counter


class Stats:
    """Counters of a listener, zeroed by ``CONFIG RESETSTAT``."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again at zero."""
        self.connections = 0
        self.rejected_connections = 0
        self.commands = 0
        self.input_bytes = 0
        self.slow_consumers = 0
        self.errors: Counter[str] = Counter()

    def count_error(self, line: str) -> None:
        """Count an error reply under its code, the first word."""
        self.errors[line.partition(" ")[0]] += 1

    def count_slow_consumer(self) -> None:
        """Count a connection that was cut off because it did not read its deliveries."""
        self.slow_consumers += 1
