"""Publishing in bursts: authorise, store, deliver, each message for itself and all in order."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from held_log import HeldLog
from hubbub.broker.broker import Broker
from hubbub.broker.names import QUEUED
from hubbub.broker.observer import Subscriber
from hubbub.broker.run import Burst, Origin
from hubbub.broker.shared import SharedSettings
from hubbub.broker.timers import Timers
from hubbub.log.batch import scan
from hubbub.log.memory import MemoryLog
from hubbub.model.address import Address, parse_address
from hubbub.model.errors import DeniedError, MessageTooLargeError, MissingKeyError, StorageFullError
from hubbub.model.message import Message
from hubbub.model.pattern import parse_pattern
from hubbub.model.settings import TopicSettings


class Recorder:
    def __init__(self, broker, pattern, principal="", share=None):
        self.subscriber = Subscriber("test", "recorder", principal)
        self.share = share
        self.messages = []
        broker.subscribe(parse_pattern(pattern), self)

    def observe(self, message):
        self.messages.append(message)

    @property
    def values(self):
        return [message.value for message in self.messages]


def small_broker(log=None, access=None):
    return Broker(log or MemoryLog(), Timers(0.0, 1_700_000_000_000), access=access)


def publish(broker, *pairs, principal=""):
    """Publish (address, value) pairs as one burst."""
    burst = Burst(Origin())
    routed = [(broker.routes.of(parse_address(address)), value) for address, value in pairs]
    for route, value in routed:
        burst.put(route, value)
    return broker.dispatcher.publish_burst(burst, principal)


def stored(broker, name):
    topic = broker.topics.get(Address(name))
    return [
        (record.message.address, record.message.value)
        for partition in topic.partitions
        for record in broker.decode(partition.log.read(0, 2**30), partition)
    ]


addresses = st.sampled_from(["a", "a.b", "b", "b.c", "t.one", "t.two"])


@settings(max_examples=100)
@given(st.lists(st.tuples(addresses, st.binary(max_size=8)), max_size=40))
def test_a_burst_is_what_its_messages_one_by_one_would_be(pairs):
    worlds = []
    for burst in (True, False):
        broker = small_broker()
        broker.create_topic(Address("log"), 3, TopicSettings(captures=("t.>", "a")))
        broker.create_topic(Address("t.one"), 1)
        recorders = [Recorder(broker, pattern) for pattern in ("#", "a.*", "b", "t.>", "a")]
        if burst:
            publish(broker, *pairs)
        else:
            for address, value in pairs:
                broker.publish(Message(parse_address(address), value))
        worlds.append(
            (
                [[(m.address, m.value) for m in recorder.messages] for recorder in recorders],
                stored(broker, "log"),
                stored(broker, "t.one"),
            )
        )
    assert worlds[0] == worlds[1]


def test_a_burst_into_one_partition_is_one_batch():
    broker = small_broker()
    broker.create_topic(Address("t"), 1)
    outcome = publish(broker, *[("t", b"%d" % number) for number in range(500)])
    [place] = outcome.stored
    assert (place.base_offset, place.next_offset) == (0, 500)
    assert stored(broker, "t") == [("t", b"%d" % number) for number in range(500)]


def test_a_burst_larger_than_a_batch_may_be_is_cut_into_several():
    broker = small_broker()
    broker.create_topic(Address("t"), 1, TopicSettings(max_message_bytes=1000))
    outcome = publish(broker, *[("t", b"x" * 100)] * 50)
    assert len(outcome.stored) > 5
    assert not outcome.refused
    assert len(stored(broker, "t")) == 50


def test_one_message_that_is_refused_takes_no_other_with_it():
    broker = small_broker()
    broker.create_topic(Address("small"), 1, TopicSettings(max_message_bytes=200))
    recorder = Recorder(broker, "#")
    outcome = publish(
        broker, ("small", b"1"), ("small", b"x" * 300), ("live", b"2"), ("small", b"3")
    )
    assert list(outcome.refused) == [1]
    assert isinstance(outcome.refused[1], MessageTooLargeError)
    assert recorder.values == [b"1", b"2", b"3"]
    assert stored(broker, "small") == [("small", b"1"), ("small", b"3")]


def test_a_compacted_topic_refuses_what_has_no_key():
    broker = small_broker()
    broker.create_topic(Address("t"), 1, TopicSettings(compact=True))
    recorder = Recorder(broker, "#")
    assert isinstance(publish(broker, ("t", b"1")).refused[0], MissingKeyError)
    broker.publish(Message(Address("t"), b"2", key=b"k"))
    assert recorder.values == [b"2"]


def test_reserved_names_are_refused_each_time_they_come_up():
    broker = small_broker()
    state = broker.topics.get(Address("__hubbub_state")).partitions[0].log
    before = state.end_offset
    outcome = publish(broker, ("__hubbub_state", b"1"), ("__hubbub_state", b"2"), ("a", b"3"))
    assert sorted(outcome.refused) == [0, 1]
    assert state.end_offset == before


def test_nobody_sees_what_the_disk_refused(monkeypatch):
    broker = small_broker()
    topic = broker.create_topic(Address("t"), 1)
    recorder = Recorder(broker, "#")

    def full(*_args, **_kwargs):
        raise StorageFullError("no space left")

    monkeypatch.setattr(topic.partitions[0].log, "append", full)
    outcome = publish(broker, ("t", b"1"), ("t", b"2"), ("live", b"3"))
    assert sorted(outcome.refused) == [0, 1]
    assert recorder.values == [b"3"]


def test_what_a_further_topic_refuses_is_its_own_affair(caplog):
    broker = small_broker()
    broker.create_topic(Address("t"), 1)
    broker.create_topic(Address("aa"), 1, TopicSettings(captures=("t",), max_message_bytes=150))
    recorder = Recorder(broker, "t")
    with caplog.at_level(logging.WARNING):
        outcome = publish(broker, ("t", b"x" * 300))
    assert not outcome.refused
    assert recorder.values == [b"x" * 300]
    assert "aa refused a message to t" in caplog.text


def test_a_burst_is_durable_when_all_of_it_is():
    log = HeldLog()
    broker = small_broker(log)
    topics = [broker.create_topic(Address(name), 1) for name in ("t", "u")]
    log.sync()
    done = []
    publish(broker, ("t", b"1"), ("u", b"2")).publication().when_durable(done.append)
    topics[0].partitions[0].log.sync()
    assert done == []
    topics[1].partitions[0].log.sync()
    assert done == [None]


class Rules:
    """Nobody but root sees or says secrets."""

    def may(self, principal, action, target):
        return principal == "root" or not str(target).startswith("secret")


def test_rights_are_asked_for_each_message_of_a_burst_and_each_observer():
    broker = small_broker(access=Rules())
    nobody, root = Recorder(broker, "#"), Recorder(broker, "#", "root")
    refused = publish(broker, ("open", b"1"), ("secret.x", b"2")).refused
    assert isinstance(refused[1], DeniedError)
    publish(broker, ("secret.x", b"3"), ("open", b"4"), principal="root")
    assert nobody.values == [b"1", b"4"]
    assert root.values == [b"1", b"3", b"4"]


def test_a_share_passes_over_those_who_may_not_receive():
    broker = small_broker(access=Rules())
    nobody = Recorder(broker, "#", share="s")
    root = Recorder(broker, "#", "root", share="s")
    publish(broker, *[("secret.x", b"%d" % n) for n in range(20)], principal="root")
    assert nobody.values == []
    assert len(root.values) == 20


def test_each_message_goes_to_one_of_a_share_and_all_of_them_get_some():
    broker = small_broker()
    members = [Recorder(broker, "jobs", share="workers") for _ in range(3)]
    everything = Recorder(broker, "jobs")
    payloads = [b"%d" % number for number in range(300)]
    publish(broker, *[("jobs", payload) for payload in payloads])
    assert everything.values == payloads
    assert sorted(value for member in members for value in member.values) == sorted(payloads)
    assert all(len(member.values) > 50 for member in members)
    assert all(member.values == sorted(member.values, key=int) for member in members)


def test_an_observer_that_fails_harms_no_other(caplog):
    broker = small_broker()
    first = Recorder(broker, "a")
    first.observe = lambda message: 1 // 0
    second = Recorder(broker, "a")
    publish(broker, ("a", b"1"), ("a", b"2"))
    assert second.values == [b"1", b"2"]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("captures", [(), ("other",)])
def test_what_kafka_appends_reaches_observers_with_all_it_has(captures):
    from hubbub.log.batch import encode

    broker = small_broker()
    topic = broker.create_topic(Address("t"), 1, TopicSettings(captures=captures))
    recorder = Recorder(broker, "t")
    headers = (("content-type", b"text/plain"), ("h", b"1"), ("h", None))
    records = [(5, b"k", b"v", headers), (7, None, None, ()), (9, b"", b"", ())]
    broker.append(topic.partitions[0], encode(records, attributes=1))
    first, second, third = recorder.messages
    assert (first.key, first.value, first.timestamp_ms) == (b"k", b"v", 5)
    assert (first.content_type, first.headers) == ("text/plain", (("h", b"1"), ("h", None)))
    assert (second.key, second.value, second.timestamp_ms) == (None, None, 7)
    assert (third.key, third.value, third.timestamp_ms) == (b"", b"", 9)


def test_a_record_of_kafkas_cannot_say_that_it_was_published_elsewhere():
    from hubbub.log.batch import encode

    broker = small_broker()
    topic = broker.create_topic(Address("t"), 1)
    recorder = Recorder(broker, "#")
    broker.append(topic.partitions[0], encode([(0, b"k", b"v", (("hubbub-address", b"x"),))]))
    assert [message.address for message in recorder.messages] == ["t"]


def test_observers_are_told_the_time_that_an_append_time_topic_gives():
    from hubbub.log.batch import encode

    broker = small_broker()
    topic = broker.create_topic(Address("t"), 1, TopicSettings(timestamp_kind="append"))
    recorder = Recorder(broker, "t")
    broker.append(topic.partitions[0], encode([(5, b"k", b"v", ())]))
    assert recorder.messages[0].timestamp_ms == 1_700_000_000_000


def test_a_batch_of_many_records_is_passed_on_piece_by_piece_and_whole():
    from hubbub.log.batch import encode

    broker = small_broker()
    topic = broker.create_topic(Address("t"), 1, TopicSettings(max_message_bytes=10_000_000))
    recorder = Recorder(broker, "t")
    payloads = [b"%d" % number for number in range(10_000)]
    broker.append(topic.partitions[0], encode([(0, None, value, ()) for value in payloads]))
    assert recorder.values == payloads


def test_a_disk_that_fails_a_further_topic_fails_that_message_only(monkeypatch):
    broker = small_broker()
    broker.create_topic(Address("t"), 1)
    further = broker.create_topic(Address("z"), 1, TopicSettings(captures=("t",)))

    def full(*_args, **_kwargs):
        raise StorageFullError("no space left")

    monkeypatch.setattr(further.partitions[0].log, "append", full)
    outcome = publish(broker, ("live", b"1"), ("t", b"2"), ("live", b"3"))
    assert list(outcome.failed) == [1]
    assert not outcome.refused


def batches(partition):
    return len(list(scan(partition.log.read(0, 2**30))))


def test_a_queue_of_everything_costs_one_batch_more_and_none_of_the_others_order():
    broker = small_broker()
    topic = broker.create_topic(Address("t"), 1)
    broker.queues.open("q", SharedSettings()).bind(parse_pattern("#"))
    queued = broker.topics.get(QUEUED)
    before = queued.partitions[0].log.end_offset
    payloads = [b"%d" % number for number in range(500)]
    publish(
        broker, *[("t" if number % 2 else "live", each) for number, each in enumerate(payloads)]
    )
    assert batches(topic.partitions[0]) == 1
    assert batches(queued.partitions[0]) == 1
    assert [value for _, value in stored(broker, "t")] == payloads[1::2]
    assert queued.partitions[0].log.end_offset - before == 500


def test_a_full_disk_under_queues_takes_nothing_from_those_who_are_there(monkeypatch):
    broker = small_broker()
    broker.queues.open("q", SharedSettings()).bind(parse_pattern("a"))
    recorder = Recorder(broker, "a")

    def full(*_args, **_kwargs):
        raise StorageFullError("no space left")

    monkeypatch.setattr(broker.topics.get(QUEUED).partitions[0].log, "append", full)
    outcome = publish(broker, ("a", b"1"), ("a", b"2"), ("b", b"3"))
    assert recorder.values == [b"1", b"2"]
    assert not outcome.refused
    assert sorted(outcome.failed) == [0, 1]
