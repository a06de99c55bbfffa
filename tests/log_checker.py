"""Did the log keep its promises? A linear-time checker in the spirit of Jepsen's Kafka workload.

Every message carries (key, number), unique and rising per key in the order in which its one
publisher sent it. The checker is told what was acknowledged, and what a complete read returned.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple


class Sent(NamedTuple):
    """What a message says about itself."""

    key: str
    number: int


class Place(NamedTuple):
    topic: str
    partition: int
    offset: int


class Violation(NamedTuple):
    kind: str
    what: object


class Checker:
    """Collects acknowledgements and judges complete reads against them."""

    def __init__(self) -> None:
        self.placed: dict[Place, Sent] = {}  # acknowledged with a position
        self.unplaced: dict[str, set[Sent]] = defaultdict(set)  # acknowledged without, by topic
        self.seen: dict[Place, Sent] = {}  # what any earlier read returned

    def acknowledge(self, topic: str, sent: Sent, place: Place | None = None) -> None:
        if place is None:
            self.unplaced[topic].add(sent)
        else:
            self.placed[place] = sent

    def frozen(self) -> Checker:
        """What is acknowledged by now: taken before a read, because publishers go on meanwhile."""
        copy = Checker()
        copy.placed = dict(self.placed)
        copy.unplaced.update({topic: set(sent) for topic, sent in tuple(self.unplaced.items())})
        copy.seen = self.seen
        return copy

    def check(self, read: dict[Place, Sent]) -> list[Violation]:
        """Everything that is wrong with a read of all topics from their start to their end."""
        found = [
            *self._lost(read),
            *self._reused(read),
            *self._disordered(read),
            *self._duplicated(read),
        ]
        self.seen.update(read)
        return found

    def _lost(self, read: dict[Place, Sent]) -> list[Violation]:
        present: dict[str, set[Sent]] = defaultdict(set)
        for place, sent in read.items():
            present[place.topic].add(sent)
        return [
            *(Violation("lost", place) for place in self.placed if place not in read),
            *(
                Violation("lost", (topic, sent))
                for topic, expected in self.unplaced.items()
                for sent in expected - present[topic]
            ),
        ]

    def _reused(self, read: dict[Place, Sent]) -> list[Violation]:
        return [
            Violation("offset reused", (place, sent, read[place]))
            for table in (self.placed, self.seen)
            for place, sent in table.items()
            if place in read and read[place] != sent
        ]

    def _disordered(self, read: dict[Place, Sent]) -> list[Violation]:
        last: dict[tuple[str, str], int] = {}
        found = []
        for place in sorted(read):
            sent = read[place]
            if sent.number < last.get((place.topic, sent.key), -1):
                found.append(Violation("order", (place, sent)))
            last[place.topic, sent.key] = sent.number
        return found

    def _duplicated(self, read: dict[Place, Sent]) -> list[Violation]:
        where: dict[tuple[str, Sent], Place] = {}
        found = []
        for place, sent in read.items():
            earlier = where.setdefault((place.topic, sent), place)
            if earlier != place:
                found.append(Violation("duplicate", (earlier, place, sent)))
        return found
