"""Dead letters: what a queue could not give to anybody goes to another exchange, with its story.

RabbitMQ: Dead Letter Exchanges. The story is in the headers: `x-death`, one entry for each queue and
reason, the latest first. We believe the one that a client sends, as RabbitMQ did up to 3.13; 4.0 begins
anew with a message that a client publishes again, and so forgets how often it was tried.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from hubbub.broker.work_item import Item
from hubbub.protocols.amqp.carbon_copies import BCC, CC, shown_routing_keys
from hubbub.protocols.amqp.errors import SyntaxFailure
from hubbub.protocols.amqp.marks import Mark, decode_mark
from hubbub.protocols.amqp.names import raw
from hubbub.protocols.amqp.properties import NONE, Properties, decode_properties, replace
from hubbub.protocols.amqp.tables import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.leases import Entry
    from hubbub.broker.timers import Timers
    from hubbub.protocols.amqp.exchanges import Exchange
    from hubbub.protocols.amqp.queue import AmqpQueue
    from hubbub.protocols.amqp.routing import Routing
    from hubbub.protocols.amqp.tables import Table

logger = logging.getLogger(__name__)

X_DEATH = "x-death"

# How many queues and reasons a message may have died of. The header has to fit into a frame, and RabbitMQ
# would let it grow; a way as long as this is a circle, or might as well be one.
MAX_DEATHS = 100

# Letters that make others at once are published while the first one is, so deep; what comes of these waits
# until that is done: a chain of queues is as long as a client likes, the stack is not.
_MOST_NESTED = 16


class DeadLetters:
    """Publishes the dead letters of a virtual host's queues."""

    def __init__(self, exchanges: Mapping[str, Exchange], routing: Routing, timers: Timers) -> None:
        self._exchanges = exchanges
        self._routing = routing
        self._timers = timers
        self._waiting: deque[tuple[AmqpQueue, Item, str]] = deque()
        self._nested = 0
        self._has_complained = False

    def attach(self, queue: AmqpQueue) -> None:
        """See to the dead letters of a queue, if it says where they go."""
        if queue.work is None or queue.parsed.dead_letter_exchange is None:
            return
        queue.work.on_dead = partial(self._died, queue)
        if queue.parsed.refused_to_dlx:
            queue.refused = partial(self._refused, queue)

    def _died(self, queue: AmqpQueue, entry: Entry, reason: str) -> None:
        self._publish(queue, entry.item(), reason, _MOST_NESTED)

    def _refused(self, queue: AmqpQueue, item: Item) -> None:
        """It was too much for a queue of `reject-publish-dlx`."""
        self._publish(queue, item, "maxlen", 1)

    def _publish(self, queue: AmqpQueue, item: Item, reason: str, most_nested: int) -> None:
        """Publish one, and those that this makes, however long the chain is.

        A queue settles what died there when the letter is stored, and so wants it to be put at once.
        """
        if self._nested >= most_nested:
            self._waiting.append((queue, item, reason))
            return
        self._nested += 1
        try:
            self._publish_one(queue, item, reason)
            while self._waiting and self._nested == 1:
                self._publish_one(*self._waiting.popleft())
        finally:
            self._nested -= 1

    def _publish_one(self, queue: AmqpQueue, item: Item, reason: str) -> None:
        exchange = self._exchanges.get(queue.parsed.dead_letter_exchange or "")
        if exchange is None:
            return  # as RabbitMQ does: it need not be there
        letter, deaths = self._letter(queue, item, reason, exchange)
        queues = self._routing.route(exchange, letter.key, letter.properties)
        if len(deaths) > MAX_DEATHS:
            return
        dead = Item(
            item.value,
            letter.encode(),
            self._timers.wall_ms,
            -1,
            item.priority,
            item.persistent,
        )
        for target in queues:
            if not is_cycle(target.name, deaths):
                target.put(dead)

    def _letter(
        self, queue: AmqpQueue, item: Item, reason: str, exchange: Exchange
    ) -> tuple[Mark, list[Field]]:
        """The message with its story, which is returned, too; under its own key or the queue's."""
        mark, properties = self._decoded(queue, item)
        headers = dict(properties.headers or {})
        death = _death(
            queue.name, reason, mark, headers, self._timers.wall_ms // 1000, properties.expiration
        )
        deaths = record_death(headers, death)
        source = Field("S", mark.exchange)
        for which in ("first", "last"):
            if which == "last" or f"x-{which}-death-reason" not in headers:
                headers[f"x-{which}-death-reason"] = death["reason"]
                headers[f"x-{which}-death-queue"] = death["queue"]
                headers[f"x-{which}-death-exchange"] = source
        key = queue.parsed.dead_letter_routing_key
        if key is not None:
            # These named further keys beside the one that is no more.
            headers.pop(CC, None)
            headers.pop(BCC, None)
        encoded = replace(mark.properties, headers=headers, expiration=None)
        return Mark(raw(exchange.name), mark.key if key is None else key, encoded), deaths

    def _decoded(self, queue: AmqpQueue, item: Item) -> tuple[Mark, Properties]:
        """The mark and what its properties say; without those that nobody can read.

        Nobody publishes such today, but a log may have some: a letter without them is better than none.
        """
        mark = decode_mark(item.mark)
        try:
            return mark, decode_properties(mark.properties)
        except SyntaxFailure as error:
            if not self._has_complained:
                logger.warning(
                    "amqp: properties of a dead letter of queue %s: %s", queue.name, error
                )
            self._has_complained = True
        with suppress(SyntaxFailure):
            mark = mark._replace(properties=replace(mark.properties, headers=None))
            return mark, decode_properties(mark.properties)
        return mark._replace(properties=NONE), Properties()


def record_death(headers: Table, death: Table) -> list[Field]:
    """Write a death into `x-death`, which is returned: counted with those like it, and in front."""
    found = headers.get(X_DEATH)
    before: list[Field] = found.value if found is not None and found.letter == "A" else []
    kept = []
    for field in before:
        if field.letter != "F":
            continue
        earlier: Table = field.value
        if all(earlier.get(name) == death[name] for name in ("queue", "reason")):
            count = earlier.get("count")
            times = count.value if count is not None and isinstance(count.value, int) else 0
            death = {**earlier, "count": Field("l", min(times + 1, _MOST))}
        else:
            kept.append(field)
    deaths = [Field("F", death), *kept]
    headers[X_DEATH] = Field("A", deaths)
    return deaths


def is_cycle(queue: str, deaths: list[Field]) -> bool:
    """Whether a message comes back to a queue, and no client had a hand in it since it was there."""
    name = Field("S", raw(queue))
    for death in deaths:
        if death.value.get("reason") == _REJECTED:
            return False
        if death.value.get("queue") == name:
            return True
    return False


_REJECTED = Field("S", b"rejected")
_MOST = 2**63 - 1


def _death(
    queue: str, reason: str, mark: Mark, headers: Table, seconds: int, expiration: str | None
) -> Table:
    """An entry of `x-death`; ``expiration`` as it was, since the letter has none."""
    keys = [Field("S", key) for key in shown_routing_keys(mark.key, headers)]
    death = {} if expiration is None else {"original-expiration": Field("S", raw(expiration))}
    return death | {
        "count": Field("l", 1),
        "reason": Field("S", reason.encode()),
        "queue": Field("S", raw(queue)),
        "time": Field("T", seconds),
        "exchange": Field("S", mark.exchange),
        "routing-keys": Field("A", keys),
    }
