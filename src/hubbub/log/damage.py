"""What recovery and reads report."""

from __future__ import annotations

from typing import NamedTuple


class Damage(NamedTuple):
    """Offsets of one partition that were acknowledged and cannot be read: [first_lost, next_good)."""

    topic: int
    partition: int
    first_lost: int
    next_good: int
    why: str

    def __str__(self) -> str:
        return (
            f"topic number {self.topic}, partition {self.partition}: offsets {self.first_lost} to "
            f"{self.next_good - 1} are lost: {self.why}"
        )
