"""One reader for all queues: each message that is queued is decoded and routed once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hubbub.broker.queue import NEVER
from hubbub.broker.router import Router
from hubbub.broker.tail import Tail
from hubbub.log import batch
from hubbub.log.records import address_in, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.broker.partition import Partition
    from hubbub.broker.queue import Binding, Queue
    from hubbub.broker.timers import Timers
    from hubbub.log.batch import RawRecord
    from hubbub.model.address import Address

# How many messages are given to queues in a turn: some milliseconds, whatever the chunk that was
# read holds and however many queues want the same.
OFFERS_A_TURN = 10_000


class Feed:
    """Follows the log from ``offset`` on and offers each record to the queues whose bindings match."""

    def __init__(
        self, partition: Partition, timers: Timers, offset: int, bindings: Iterable[Binding]
    ) -> None:
        self._partition = partition
        self._timers = timers
        self._topic = partition.topic.name
        self._router: Router[Binding] = Router()
        self._ended: deque[Binding] = deque()  # still in the router; they end in this order
        self._offers = 0
        self._tail: Tail[RawRecord] | None = None  # from the first binding on
        for binding in sorted(bindings, key=_after):
            self._add(binding, offset)
            if binding.after != NEVER:
                self._ended.append(binding)

    @property
    def position(self) -> int:
        """The offset of the next record to offer."""
        return self._partition.log.durable_offset if self._tail is None else self._tail.offset

    def add(self, binding: Binding) -> None:
        """Offer what the binding selects, which begins at the end of the log."""
        self._add(binding, self.position)

    def end(self, binding: Binding) -> None:
        """The binding ends at the end of the log, which is not read yet."""
        self._ended.append(binding)

    def remove(self, binding: Binding) -> None:
        """Offer it nothing more."""
        self._router.remove(binding.pattern, binding)

    def matching(self, address: Address) -> list[Queue]:
        """The queues that get what is published to the address now."""
        found = [each.queue for each in self._router.route(address) if each.after == NEVER]
        return list(dict.fromkeys(found))

    def _add(self, binding: Binding, offset: int) -> None:
        self._router.add(binding.pattern, binding)
        if self._tail is None:
            self._tail = Tail(self._partition, offset, self._take, self._timers, _decode)

    def _take(self, raw: RawRecord) -> bool:
        if self._offers >= OFFERS_A_TURN:
            self._offers = 0
            self._timers.after(0, self._go_on)
            return False
        while self._ended and self._ended[0].after <= raw.offset:
            self.remove(self._ended.popleft())
        record = None
        found = self._router.route(address_in(raw, self._topic))
        self._offers += len(found)
        for binding in found:
            if binding.first <= raw.offset and binding.queue.select(raw.offset):
                if record is None:
                    record = record_of(raw, self._topic, self._partition.index)
                binding.queue.take(record)
        return True

    def _go_on(self) -> None:
        if self._tail is not None:
            self._tail.resume()


def _decode(data: bytes, _: Partition) -> list[RawRecord]:
    return batch.decode(data)


def _after(binding: Binding) -> int:
    return binding.after
