"""One client's calls on the broker, whatever carries them: a connection, or a lock in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, assert_never

from hubbub.broker import listing
from hubbub.model.address import parse_address
from hubbub.model.errors import HubbubError, InvalidSettingsError, UnknownTopicError
from hubbub.model.pattern import parse_pattern
from hubbub.protocols.bus import codec, mapping
from hubbub.protocols.bus.feeds import GroupFeed, Sink, open_feed

if TYPE_CHECKING:
    from hubbub.broker.broker import Broker
    from hubbub.broker.observer import Subscriber
    from hubbub.broker.topics import Topic
    from hubbub.protocols.bus.feeds import Feed

# Subscriptions of one client: far beyond any program, within what a broker can hold for many.
MAX_SUBSCRIPTIONS = 10_000


class Client(Sink, Protocol):
    """Where answers go, too."""

    def reply(self, reply: codec.Reply) -> None:
        """Take one answer. Never raises."""


class Service:
    """Carries out requests. Answers come at once or, where it takes the disk, when that is done."""

    def __init__(self, broker: Broker, subscriber: Subscriber, client: Client) -> None:
        self.subscriber = subscriber
        self.unanswered = 0  # calls that wait for the disk
        self._broker = broker
        self._client = client
        self._feeds: dict[int, Feed] = {}

    def handle(self, request: codec.Request) -> None:
        """Carry out one request; what goes wrong is its answer."""
        if isinstance(request, codec.Notice):
            self._notice(request)
            return
        try:
            self._call(request)
        except HubbubError as error:
            self._client.reply(mapping.failed(request.id, error))

    def close(self) -> None:
        """Let go of every subscription."""
        for feed in self._feeds.values():
            feed.close()
        self._feeds.clear()

    def _call(self, request: codec.Call) -> None:
        match request:
            case codec.Publish():
                self._publish(request)
            case codec.Subscribe():
                self._subscribe(request)
            case codec.Unsubscribe():
                self._unsubscribe(request)
            case codec.CreateTopic():
                self._create_topic(request)
            case codec.DeleteTopic():
                self._broker.delete_topic(self._topic(request.name))
                self._answer_when_durable(codec.Done(request.id))
            case codec.DeleteSubscription():
                self._delete_subscription(request)
            case codec.ListTopics():
                found = listing.topics(self._broker)
                self._client.reply(codec.Topics(request.id, tuple(found)))
            case codec.ListSubscriptions():
                known = listing.subscriptions(self._broker)
                self._client.reply(codec.Subscriptions(request.id, tuple(known)))
            case codec.ListSubscribers():
                who = listing.subscribers(self._broker, parse_address(request.address))
                self._client.reply(codec.Subscribers(request.id, tuple(who)))
            case codec.Hello():
                self._client.reply(codec.Welcome(request.id, codec.VERSION))
            case _:
                assert_never(request)

    def _notice(self, request: codec.Notice) -> None:
        """Nothing here is an error: what the notice is about may have gone in the meantime."""
        feed = self._feeds.get(request.subscription)
        if feed is None:
            return
        if isinstance(request, codec.Credit):
            feed.add_credit(request.more)
        elif not isinstance(feed, GroupFeed):
            return
        elif isinstance(request, codec.Ack):
            feed.membership.ack(request.source, request.lease)
        elif isinstance(request, codec.Nack):
            feed.membership.nack(request.source, request.lease, request.delay)
        else:
            feed.membership.extend(request.source, request.lease, request.seconds)

    def _publish(self, request: codec.Publish) -> None:
        message = mapping.from_wire(request.message)
        publication = self._broker.publish(message, self.subscriber.principal)
        stored = mapping.places_of(publication)
        self.unanswered += 1

        def durable(failure: Exception | None) -> None:
            self.unanswered -= 1
            answer = codec.Published(request.id, publication.observers, stored)
            self._client.reply(mapping.failed(request.id, failure) if failure else answer)

        publication.when_durable(durable)

    def _subscribe(self, request: codec.Subscribe) -> None:
        if request.subscription in self._feeds:
            raise InvalidSettingsError(f"subscription {request.subscription} is open")
        if len(self._feeds) >= MAX_SUBSCRIPTIONS:
            raise InvalidSettingsError(f"a client has at most {MAX_SUBSCRIPTIONS} subscriptions")
        pattern = parse_pattern(request.pattern)
        feed = open_feed(self._broker, self.subscriber, pattern, request, self._client)
        self._feeds[request.subscription] = feed
        if isinstance(feed, GroupFeed):  # the group, and perhaps its topic, is new
            self._answer_when_durable(codec.Subscribed(request.id))
        else:
            self._client.reply(codec.Subscribed(request.id, feed.positions))

    def _unsubscribe(self, request: codec.Unsubscribe) -> None:
        feed = self._feeds.pop(request.subscription, None)
        if feed is not None:
            feed.close()
        self._client.reply(codec.Done(request.id))

    def _create_topic(self, request: codec.CreateTopic) -> None:
        if request.settings is not None:
            mapping.check_settings(request.settings)
        self._broker.create_topic(parse_address(request.name), request.partitions, request.settings)
        self._answer_when_durable(codec.Done(request.id))

    def _delete_subscription(self, request: codec.DeleteSubscription) -> None:
        found = self._broker.subscriptions.get(request.name, self._topic(request.topic))
        if found is None:
            raise UnknownTopicError(f"{request.topic} has no subscription {request.name}")
        if found.consumers:  # they would hear nothing more, and not know; Kafka: NON_EMPTY_GROUP
            raise InvalidSettingsError(
                f"subscription {request.name} of {request.topic} has members"
            )
        self._broker.subscriptions.delete(found)
        self._answer_when_durable(codec.Done(request.id))

    def _topic(self, name: str) -> Topic:
        topic = self._broker.topics.get(parse_address(name))
        if topic is None:
            raise UnknownTopicError(f"there is no topic {name}")
        return topic

    def _answer_when_durable(self, answer: codec.Reply) -> None:
        """Topics and subscriptions are state, in a log of each; a call may have changed both."""
        self.unanswered += 1

        def durable(failure: Exception | None) -> None:
            self.unanswered -= 1
            self._client.reply(mapping.failed(answer.id, failure) if failure else answer)

        def topics_durable(failure: Exception | None) -> None:
            if failure is None:
                self._broker.subscriptions.when_durable(durable)
            else:
                durable(failure)

        self._broker.topics.when_durable(topics_durable)
