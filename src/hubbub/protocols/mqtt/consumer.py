"""A client as the consumer of a queue: its session's own, or that of a shared subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.mqtt.marks import Mark, mark_of
from hubbub.protocols.mqtt.packets import Sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.observer import Subscriber
    from hubbub.broker.queue import Queue
    from hubbub.broker.shared import Delivery
    from hubbub.model.address import Address
    from hubbub.protocols.mqtt.deliveries import Match
    from hubbub.protocols.mqtt.flow import Flow


class QueueConsumer:
    """Takes what a queue hands out, as far as the client has room for it.

    ``match`` says what a message means to the client; None for one that it does not get. A queue that
    is ``shared`` gives to others what this client leaves unacknowledged at QoS 1; all else comes to it
    again under the Packet Identifier that it had.
    """

    __slots__ = ("_away", "_flow", "_match", "_settled_early", "ids", "queue", "shared")

    def __init__(
        self,
        flow: Flow,
        queue: Queue,
        match: Callable[[Address, Mark], Match | None],
        *,
        shared: bool = False,
    ) -> None:
        self._flow = flow
        self._match = match
        self.queue = queue
        self.shared = shared
        self.ids: dict[int, int] = {}  # offset -> Packet Identifier
        self._away = 0  # of them, those that the queue is to hand out again
        self._settled_early: set[int] = set()  # offsets that were acknowledged before that

    @property
    def subscriber(self) -> Subscriber:
        """Who it is."""
        return self._flow.subscriber

    @property
    def credit(self) -> int:
        """How many more deliveries there is room for; those sent before have their room already."""
        return self._flow.credit + self._away if self._flow.is_ready else 0

    def connect(self) -> None:
        """The client is there."""
        self.queue.join(self)

    def disconnect(self) -> None:
        """The client is gone: what it has not acknowledged goes back, or stays its own."""
        for offset, packet_id in tuple(self.ids.items()):
            sent = self._flow.sent(packet_id)
            if not self.shared:
                self._flow.send_again(packet_id, Sent(sent.qos, consumer=self, offset=offset))
                continue
            del self.ids[offset]
            if sent.qos == 1:
                self._flow.forget(packet_id)
                continue
            # [MQTT-4.8.2-4, MQTT-4.8.2-5] it is this client's, or nobody's.
            self.queue.ack(sent.lease)
            self._flow.send_again(
                packet_id, Sent(sent.qos, sent.message, sent.mark, sent.match, sent.retain)
            )
        self._away = len(self.ids)
        self.queue.leave(self)

    def restore(self, offset: int, packet_id: int) -> None:
        """A message was sent under this identifier before the broker ended."""
        self.ids[offset] = packet_id
        self._away += 1

    def deliver(self, delivery: Delivery) -> None:
        """Take one from the queue."""
        record = delivery.record
        if record.offset in self._settled_early:
            self._settled_early.discard(record.offset)
            self.queue.ack(delivery.lease)
            return
        mark = mark_of(record.message)
        match = self._match(record.message.address, mark)
        packet_id = self.ids.get(record.offset)
        if packet_id is not None:
            qos = self._flow.sent(packet_id).qos
            self._away -= 1
        elif match is None:  # unsubscribed since, or its own
            self.queue.ack(delivery.lease)
            return
        else:
            qos = min(mark.qos, match.qos)
        retain = match is not None and match.as_published and mark.retain
        sent = Sent(qos, record.message, mark, match, retain, self, record.offset, delivery.lease)
        if not qos:
            self._flow.write(0, sent, duplicate=False)
            self.queue.ack(delivery.lease)
        else:
            self._flow.take(sent, packet_id)

    def settle(self, sent: Sent) -> None:
        """The client has acknowledged it, or must not get it."""
        self.ids.pop(sent.offset, None)
        if sent.lease < 0:
            self._away -= 1
            self._settled_early.add(sent.offset)
        else:
            self.queue.ack(sent.lease)
