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
        self._topic = partition.topic.name
        self._index = partition.index
        self._router: Router[Binding] = Router()
        self._ended: deque[Binding] = deque()  # still in the router; they end in this order
        self._offers = 0
        for binding in sorted(bindings, key=_after):
            self.add(binding)
            if binding.after != NEVER:
                self._ended.append(binding)
        self._tail: Tail[RawRecord] = Tail(partition, offset, self._take, timers, _decode)

    @property
    def position(self) -> int:
        """The offset of the next record to offer."""
        return self._tail.offset

    def add(self, binding: Binding) -> None:
        """Offer what the binding selects."""
        self._router.add(binding.pattern, binding)

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

    def _take(self, raw: RawRecord) -> bool:
        if self._offers >= OFFERS_A_TURN:
            self._offers = 0
            self._tail.resume()
            return False
        while self._ended and self._ended[0].after <= raw.offset:
            self.remove(self._ended.popleft())
        record = None
        found = self._router.route(address_in(raw, self._topic))
        self._offers += len(found)
        for binding in found:
            if binding.first <= raw.offset < binding.after and binding.queue.select(raw.offset):
                if record is None:
                    record = record_of(raw, self._topic, self._index)
                binding.queue.take(record)
        return True


def _decode(data: bytes, _: Partition) -> list[RawRecord]:
    return batch.decode(data)


def _after(binding: Binding) -> int:
    return binding.after
