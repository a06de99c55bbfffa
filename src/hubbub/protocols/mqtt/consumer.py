"""A client as the consumer of a queue: its session's own, or that of a shared subscription."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hubbub.protocols.mqtt.marks import Mark, decode_mark
from hubbub.protocols.mqtt.packets import Sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.observer import Subscriber
    from hubbub.broker.queue import Queue
    from hubbub.broker.shared import Delivery
    from hubbub.model.address import Address
    from hubbub.protocols.mqtt.deliveries import Match
    from hubbub.protocols.mqtt.flow import Flow

logger = logging.getLogger(__name__)


class QueueConsumer:
    """Takes what a queue hands out, as far as the client has room for it.

    ``match`` says what a message means to the client; None for one that it does not get from here. A
    queue that is ``shared`` gives to others what this client leaves unacknowledged; from its own a
    client gets that again, under the Packet Identifier that it had.
    """

    __slots__ = ("_flow", "_match", "_settled_early", "ids", "is_shared", "queue")

    def __init__(
        self,
        flow: Flow,
        queue: Queue,
        match: Callable[[Address, Mark], Match | None],
        *,
        is_shared: bool = False,
    ) -> None:
        self._flow = flow
        self._match = match
        self.queue = queue
        self.is_shared = is_shared
        self.ids: dict[int, int] = {}  # offset -> Packet Identifier
        self._settled_early: set[int] = set()  # acknowledged before they were handed out again

    @property
    def subscriber(self) -> Subscriber:
        """Who it is."""
        return self._flow.subscriber

    @property
    def credit(self) -> int:
        """How many more deliveries there is room for."""
        return self._flow.credit

    def connect(self) -> None:
        """The client is there."""
        self.queue.join(self)

    def disconnect(self) -> None:
        """The client is gone: what it has not acknowledged goes back."""
        for offset, packet_id in tuple(self.ids.items()):
            if self.is_shared:
                del self.ids[offset]
                self._flow.forget(packet_id)
            else:
                self._flow.sent(packet_id).give_back()
        self.queue.leave(self)

    def release(self) -> None:
        """Take nothing more; what is on its way stays the client's [MQTT-3.10.4-3]."""
        for packet_id in self.ids.values():
            sent = self._flow.sent(packet_id)
            self.queue.ack(sent.lease)
            sent.consumer = None
        self.ids.clear()
        self.queue.leave(self)

    def restore(self, offset: int, packet_id: int) -> bool:
        """A message was sent under this identifier before the broker ended; whether it is unsettled."""
        if self.queue.cursor.is_settled(offset):
            return False
        self.ids[offset] = packet_id
        return True

    def deliver(self, delivery: Delivery) -> None:
        """Take one from the queue."""
        try:
            self._deliver(delivery)
        except Exception:
            # One message that cannot be sent must not hold up those behind it.
            logger.exception("mqtt: %s: a message was not sent", self.subscriber.client)
            self.queue.ack(delivery.lease)

    def _deliver(self, delivery: Delivery) -> None:
        record = delivery.record
        if record.offset in self._settled_early:
            self._settled_early.discard(record.offset)
            self.queue.ack(delivery.lease)
            return
        mark = decode_mark(record.mark)
        match = self._match(record.message.address, mark)
        packet_id = self.ids.get(record.offset)
        if packet_id is not None:
            qos = self._flow.sent(packet_id).qos
        elif match is None:
            self.queue.ack(delivery.lease)
            return
        else:
            qos = min(mark.qos, match.qos)
        retain = match is not None and match.as_published and mark.retain
        sent = Sent(qos, record.message, mark, match, retain, self, record.offset, delivery.lease)
        if qos:
            self._flow.take(sent, packet_id)
        else:
            self._flow.write(0, sent, duplicate=False)
            self.queue.ack(delivery.lease)

    def settle(self, sent: Sent) -> None:
        """The client has acknowledged it, or must not get it."""
        self.ids.pop(sent.offset, None)
        if sent.is_given_back:
            self._settled_early.add(sent.offset)
        else:
            self.queue.ack(sent.lease)
