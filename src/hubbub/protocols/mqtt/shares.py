"""Shared subscriptions (MQTT 5 section 4.8.2): each message goes to one of the clients.

What is published at QoS 0 goes to those that are there, in turn. As soon as one of the clients was
granted QoS 1 or 2, all else is theirs through one queue of the broker, so that a message that a
client leaves unacknowledged comes to another, and none is lost while all are away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hubbub.protocols.mqtt.consumer import QueueConsumer
from hubbub.protocols.mqtt.deliveries import Deliveries
from hubbub.protocols.mqtt.queue_names import SHARE_PREFIX, queue_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.broker.broker import Broker
    from hubbub.broker.queue import Queue
    from hubbub.broker.shared import SharedSettings
    from hubbub.protocols.mqtt.filters import Subscription
    from hubbub.protocols.mqtt.session_state import SessionState


class _Present(NamedTuple):
    """A member whose client is there."""

    deliveries: Deliveries
    consumer: QueueConsumer | None


class ShareGroup:
    """The members of one shared subscription; there is one for each ShareName and filter."""

    def __init__(self, broker: Broker, text: bytes, settings: SharedSettings, limit: int) -> None:
        self._broker = broker
        self._text = text
        self._settings = settings
        self._limit = limit
        self._members: dict[SessionState, Subscription] = {}
        self._present: dict[SessionState, _Present] = {}
        self.queue: Queue | None = None

    def __len__(self) -> int:
        return len(self._members)

    def add(self, state: SessionState, subscription: Subscription) -> None:
        """Take the subscription of a client in, in place of the one it had. Raises StorageError."""
        self._members[state] = subscription
        self._have_queue()
        present = self._present.get(state)
        if present is not None:
            present.deliveries.narrow(state.filters.match_of(subscription))

    def remove(self, state: SessionState) -> None:
        """The client has unsubscribed, or its session has ended."""
        present = self._present.pop(state, None)
        if present is not None:
            self._broker.unsubscribe(self._members[state].pattern, present.deliveries)
            if present.consumer is not None:
                present.consumer.release()
        del self._members[state]
        self._have_queue()

    def enter(self, state: SessionState) -> None:
        """The client is there. Harmless if it was. Raises DeniedError."""
        if state in self._present:
            return
        subscription = self._members[state]
        deliveries = Deliveries(
            state,
            state.flow.outgoing,
            state.filters.match_of(subscription),
            share=("mqtt", self._text),
            at_most_once=self.queue is not None,
        )
        self._broker.subscribe(subscription.pattern, deliveries)
        consumer = None
        if self.queue is not None:
            consumer = QueueConsumer(
                state.flow,
                self.queue,
                lambda _address, _mark: state.filters.match_of(self._members[state]),
                is_shared=True,
            )
            consumer.connect()
        self._present[state] = _Present(deliveries, consumer)

    def leave(self, state: SessionState) -> None:
        """The client is gone; its part is the others' until it comes back."""
        present = self._present.pop(state, None)
        if present is not None:
            self._broker.unsubscribe(self._members[state].pattern, present.deliveries)
            if present.consumer is not None:
                present.consumer.disconnect()

    def dispatch(self) -> None:
        """One of the clients has room again."""
        if self.queue is not None:
            self.queue.dispatch()

    def _have_queue(self) -> None:
        """Have a queue as long as somebody was granted more than QoS 0."""
        wanted = [each for each in self._members.values() if each.qos]
        if bool(wanted) == (self.queue is not None):
            return
        present = tuple(self._present)
        for state in present:
            self.leave(state)
        if self.queue is not None:
            queue, self.queue = self.queue, None
            self._broker.queues.delete(queue)
        else:
            name = queue_name(SHARE_PREFIX, self._text.removeprefix(b"$share/").decode())
            queue = self._broker.queues.open(name, self._settings, self._limit)
            queue.bind(wanted[0].pattern)
            self.queue = queue
        for state in present:
            self.enter(state)


class Shares:
    """All shared subscriptions of a listener, by their filters as clients write them."""

    def __init__(self, broker: Broker, settings: SharedSettings, limit: int) -> None:
        self._broker = broker
        self._settings = settings
        self._limit = limit
        self._groups: dict[bytes, ShareGroup] = {}

    def __iter__(self) -> Iterator[ShareGroup]:
        return iter(tuple(self._groups.values()))

    def get(self, text: bytes) -> ShareGroup:
        """The group of this filter, new if there is none."""
        group = self._groups.get(text)
        if group is None:
            group = self._groups[text] = ShareGroup(self._broker, text, self._settings, self._limit)
        return group

    def remove(self, text: bytes, state: SessionState) -> None:
        """The client is no member any more."""
        group = self._groups[text]
        group.remove(state)
        if not len(group):
            del self._groups[text]
