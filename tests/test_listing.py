"""Listings: what topics hold, who lags how far behind, and who would get a message."""

from __future__ import annotations

import pytest

from hubbub.broker import listing
from hubbub.broker.broker import Broker
from hubbub.broker.listing import SubscriberInfo, SubscriptionInfo
from hubbub.broker.observer import Subscriber
from hubbub.broker.offset_records import Committed
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.model.address import parse_address
from hubbub.model.message import Message
from hubbub.model.pattern import parse_pattern
from hubbub.model.settings import TopicSettings


class Anyone:
    credit = 0

    def __init__(self, client):
        self.subscriber = Subscriber("test", client)

    def observe(self, message):
        pass

    def deliver(self, delivery):
        pass


@pytest.fixture
def broker():
    made = Broker(MemoryLog(), Timers(0.0, 1_700_000_000_000))
    made.create_topic(parse_address("t"), 2)
    for number in range(10):
        made.publish(Message(parse_address("t"), b"x", b"%d" % number))
    return made


def test_topics_are_listed_without_the_brokers_own(broker):
    (info,) = listing.topics(broker)
    assert (info.name, info.messages, len(info.partitions)) == ("t", 10, 2)
    assert info.bytes == sum(partition.bytes for partition in info.partitions) > 0
    broker.topics.get(parse_address("t")).partitions[0].log.truncate_before(2)
    assert listing.topics(broker)[0].messages == 8


def test_both_kinds_of_subscription_are_listed_with_their_lag(broker):
    ends = [part.log.durable_offset for part in broker.topics.get(parse_address("t")).partitions]
    places = {("t", 0): Committed(ends[0] - 1), ("t", 1): Committed(0), ("gone", 0): Committed(5)}
    broker.offsets.commit("kafka-group", places, lambda _: None)
    shared = broker.subscriptions.open(
        "workers", broker.topics.get(parse_address("t")), "beginning"
    )
    shared.join(Anyone("one"))
    assert listing.subscriptions(broker) == [
        SubscriptionInfo("partitioned", "kafka-group", "t", (), 1 + ends[1]),
        SubscriptionInfo("shared", "workers", "t", ("test:one",), 10),
    ]


def test_everyone_who_would_get_a_message_is_listed(broker):
    broker.create_topic(parse_address("all"), 1, TopicSettings(captures=(">",)))
    broker.subscribe(parse_pattern("*"), Anyone("live"))
    everything = broker.subscriptions.open("audit", broker.topics.get(parse_address("all")))
    everything.join(Anyone("auditor"))
    assert listing.subscribers(broker, parse_address("t")) == [
        SubscriberInfo("test", "live"),
        SubscriberInfo("test", "auditor", "audit", 0),
    ]
    assert listing.subscribers(broker, parse_address("a.b")) == [
        SubscriberInfo("test", "auditor", "audit", 0)
    ]
