"""Following a pattern from a chosen place: what topics kept first, then whatever comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from hubbub.broker.tail import FromOffset, Tail, start_offset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.observer import Subscriber
    from hubbub.broker.partition import Partition
    from hubbub.broker.tail import Start
    from hubbub.broker.topics import Topic
    from hubbub.model.address import Address
    from hubbub.model.message import Message, Record
    from hubbub.model.pattern import Exact, Wildcard

    # (topic, partition) -> the next offset to read there.
    Positions: TypeAlias = Mapping[tuple[str, int], int]


class Replay:
    """Hands over each message that matches ``pattern`` once.

    Stored ones come as records, in the order of their partition, and those that no topic captures as
    they are published. ``take`` says whether it took the record; after a False nothing stored comes until ``resume``.
    ``positions`` say where an earlier replay of the pattern had got to. It knew every topic then, so
    one that is not in them is new and read from its start.

    Raises:
        DeniedError: ``subscriber`` may not subscribe to the pattern.
    """

    def __init__(
        self,
        broker: Broker,
        subscriber: Subscriber,
        pattern: Exact | Wildcard,
        start: Start,
        take: Callable[[Record], bool],
        take_live: Callable[[Message], None],
        positions: Positions | None = None,
    ) -> None:
        self.subscriber = subscriber
        self._broker = broker
        self._pattern = pattern
        self._take = take
        self._take_live = take_live
        self._tails: dict[Partition, Tail[Record]] = {}
        broker.subscribe(pattern, self)
        self._unwatch = broker.topics.watch(self._follow_from_start)
        for topic in broker.topics:
            self._follow(topic, start, positions)

    @property
    def positions(self) -> dict[tuple[str, int], int]:
        """Where to go on later: the next offset of each partition that is followed."""
        return {
            (partition.topic.name, partition.index): tail.offset
            for partition, tail in self._tails.items()
        }

    def observe(self, message: Message) -> None:
        """Pass a live message on, unless a topic holds it: then it comes as a record."""
        if not self._broker.topics.holders(message.address):
            self._take_live(message)

    def resume(self) -> None:
        """Go on after ``take`` declined."""
        for tail in self._tails.values():
            tail.resume()

    def close(self) -> None:
        """Hand over nothing more."""
        self._broker.unsubscribe(self._pattern, self)
        self._unwatch()
        for tail in self._tails.values():
            tail.close()

    def _follow_from_start(self, topic: Topic) -> None:
        self._tails = {part: tail for part, tail in self._tails.items() if not part.closed}
        self._follow(topic, "beginning", None)

    def _follow(self, topic: Topic, start: Start, positions: Positions | None) -> None:
        if topic.internal or not self._may_hold(topic):
            return
        for partition in topic.partitions:
            if partition in self._tails:
                continue
            if positions is None:
                offset = start_offset(partition, start)
            else:
                known = positions.get((topic.name, partition.index), 0)
                if known > partition.log.end_offset:
                    # Positions go by name. Only a topic that was deleted and made again is shorter
                    # than what was read of it, and of this one nothing was.
                    known = 0
                offset = start_offset(partition, FromOffset(known))
            self._tails[partition] = Tail(
                partition, offset, self._take_record, self._broker.timers, self._broker.decode
            )

    def _may_hold(self, topic: Topic) -> bool:
        return self._pattern.matches(topic.name) or bool(topic.settings.captures)

    def _take_record(self, record: Record) -> bool:
        address = record.message.address
        wanted = (
            self._pattern.matches(address)
            and self._is_first_holder(record.topic, address)
            and self._broker.may(self.subscriber.principal, "receive", address)
        )
        return self._take(record) if wanted else True

    def _is_first_holder(self, name: Address, address: Address) -> bool:
        """Several topics may hold the message; the one made first, which has most, speaks for it."""
        holders = self._broker.topics.holders(address)
        return len(holders) < 2 or min(holders, key=_number).name == name


def _number(topic: Topic) -> int:
    return topic.number
