"""What users of Kafka do all day, with confluent-kafka, aiokafka and kafka-python as they come."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import uuid
from collections import Counter, defaultdict

import kafka
import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec

pytestmark = pytest.mark.server

WAIT = 20


@pytest.fixture
def admin(shared_server):
    return AdminClient({"bootstrap.servers": shared_server.kafka})


@pytest.fixture
def topic(admin):
    return make_topic(admin, 6)


def make_topic(admin, partitions: int, **config: str) -> str:
    name = f"kafka.{uuid.uuid4().hex}"
    for made in admin.create_topics([NewTopic(name, partitions, 1, config=config)]).values():
        made.result(WAIT)
    return name


def produce(server, topic: str, values, **config) -> None:
    producer = Producer({"bootstrap.servers": server.kafka, **config})
    failures = []
    for value in values:
        producer.produce(
            topic,
            value=value,
            key=value,
            on_delivery=lambda error, _: error and failures.append(error),
        )
        producer.poll(0)
    assert producer.flush(WAIT) == 0
    assert failures == []


def consumer_of(server, group: str | None = None, **config) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": server.kafka,
            "group.id": group or f"g{uuid.uuid4().hex}",
            "auto.offset.reset": "earliest",
            "heartbeat.interval.ms": 200,  # a rebalance is noticed at the next heartbeat
            **config,
        }
    )


def poll(consumer: Consumer, count: int) -> list:
    """The next ``count`` messages; fewer only if they do not come in time."""
    got: list = []
    deadline = time.monotonic() + WAIT
    while len(got) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and not message.error():
            got.append(message)
    return got


def consume(server, topic: str, count: int, **config) -> list:
    consumer = consumer_of(server, **config)
    consumer.subscribe([topic])
    got = poll(consumer, count)
    consumer.close()
    return got


class Member(threading.Thread):
    """One member of a group: commits what it handled, and leaves in good order when told to."""

    def __init__(self, server, topic: str, group: str, handled: list, **config) -> None:
        super().__init__(daemon=True)
        self.consumer = consumer_of(server, group, **{"enable.auto.commit": False, **config})
        self.consumer.subscribe([topic], on_assign=self.assigned, on_revoke=self.revoked)
        self.handled = handled
        self.count = 0
        self.stopping = threading.Event()
        self.held: set[int] = set()
        self.start()

    def assigned(self, _consumer, partitions) -> None:
        self.held |= {place.partition for place in partitions}

    def revoked(self, _consumer, partitions) -> None:
        self.held -= {place.partition for place in partitions}

    def run(self) -> None:
        while not self.stopping.is_set():
            message = self.consumer.poll(0.1)
            if message is None or message.error():
                continue
            self.handled.append(message.value())
            self.count += 1
            with contextlib.suppress(
                Exception
            ):  # a rebalance in between: the next owner repeats it
                self.consumer.commit(message, asynchronous=False)
        self.consumer.close()

    def leave(self) -> None:
        self.stopping.set()
        self.join(WAIT)


def wait_until(condition) -> bool:
    deadline = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_messages_come_back_as_they_were_in_every_compression(shared_server, admin, codec):
    topic = make_topic(admin, 1)
    values = [b"%d " % number + b"x" * 200 for number in range(500)]
    produce(shared_server, topic, values, **{"compression.type": codec, "linger.ms": 20})
    got = consume(shared_server, topic, 500)
    assert [message.value() for message in got] == values
    assert [message.offset() for message in got] == list(range(500))


def test_keys_headers_and_timestamps_are_kept(shared_server, topic):
    producer = Producer({"bootstrap.servers": shared_server.kafka})
    headers = [("a", b"1"), ("a", b"2"), ("none", None)]
    producer.produce(topic, b"v", b"k", headers=headers, timestamp=1_700_000_000_123)
    producer.produce(topic, None, b"tombstone")
    assert producer.flush(WAIT) == 0
    got = {message.key(): message for message in consume(shared_server, topic, 2)}
    assert got[b"k"].headers() == headers
    assert got[b"k"].timestamp()[1] == 1_700_000_000_123
    assert got[b"tombstone"].value() is None


def test_each_of_two_groups_of_three_gets_everything_once(shared_server, topic):
    """Items 25 and 38, with members that join late and leave early."""
    values = [b"%d" % number for number in range(600)]
    handled: dict[str, list[bytes]] = {"one": [], "two": []}
    suffix = uuid.uuid4().hex
    members = {
        name: [Member(shared_server, topic, f"{name}{suffix}", handled[name]) for _ in range(3)]
        for name in handled
    }
    assert wait_until(
        lambda: all(len(member.held) == 2 for group in members.values() for member in group)
    )
    produce(shared_server, topic, values[:300])
    assert wait_until(lambda: all(len(set(got)) == 300 for got in handled.values()))
    members["one"].pop().leave()
    members["two"].append(Member(shared_server, topic, f"two{suffix}", handled["two"]))
    produce(shared_server, topic, values[300:])
    assert wait_until(lambda: all(len(set(got)) == 600 for got in handled.values()))
    for group in members.values():
        for member in group:
            member.leave()
    for got in handled.values():
        assert sorted(got) == sorted(values)


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_every_assignment_strategy_shares_the_partitions(shared_server, topic, strategy):
    handled: list[bytes] = []
    group = uuid.uuid4().hex
    config = {"partition.assignment.strategy": strategy}
    members = [Member(shared_server, topic, group, handled, **config) for _ in range(3)]
    assert wait_until(lambda: [len(member.held) for member in members] == [2, 2, 2])
    members.pop().leave()
    assert wait_until(lambda: [len(member.held) for member in members] == [3, 3])
    for member in members:
        member.leave()


def test_a_group_goes_on_where_it_committed(shared_server, topic):
    group = uuid.uuid4().hex
    produce(shared_server, topic, [b"%d" % number for number in range(20)])
    first = consumer_of(shared_server, group, **{"enable.auto.commit": False})
    first.subscribe([topic])
    before = poll(first, 8)
    for message in before:
        first.commit(message, asynchronous=False)
    first.close()
    second = consumer_of(shared_server, group)
    second.subscribe([topic])
    after = poll(second, 12)
    assert len(after) == 12
    assert not {m.value() for m in before} & {m.value() for m in after}
    second.close()


def test_a_static_member_comes_back_to_its_partitions_without_a_rebalance(shared_server, topic):
    group = uuid.uuid4().hex
    config = {"session.timeout.ms": 30_000}
    assigned: list[list] = []
    other = consumer_of(shared_server, group, **config, **{"group.instance.id": "b"})
    other.subscribe([topic], on_assign=lambda _, partitions: assigned.append(partitions))
    first = consumer_of(shared_server, group, **config, **{"group.instance.id": "a"})
    first.subscribe([topic])

    def settled() -> bool:
        first.poll(0.05)
        other.poll(0.05)
        return len(first.assignment()) == len(other.assignment()) == 3

    assert wait_until(settled)
    held, rebalances = sorted(p.partition for p in first.assignment()), len(assigned)
    first.close()
    again = consumer_of(shared_server, group, **config, **{"group.instance.id": "a"})
    again.subscribe([topic])

    def back() -> bool:
        again.poll(0.05)
        other.poll(0.05)
        return sorted(p.partition for p in again.assignment()) == held

    assert wait_until(back)
    assert len(assigned) == rebalances
    again.close()
    other.close()


def test_a_group_can_be_rewound_and_replays_everything(shared_server, topic, admin):
    """Items 21, 92 and 95."""
    group = uuid.uuid4().hex
    produce(shared_server, topic, [b"%d" % number for number in range(30)])
    assert len(consume(shared_server, topic, 30, **{"group.id": group})) == 30
    rewound = [TopicPartition(topic, partition, 0) for partition in range(6)]
    for done in admin.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(group, rewound)]
    ).values():
        done.result(WAIT)
    assert len(consume(shared_server, topic, 30, **{"group.id": group})) == 30


def test_a_consumer_seeks_by_offset_and_by_time(shared_server, admin):
    topic = make_topic(admin, 1)
    producer = Producer({"bootstrap.servers": shared_server.kafka})
    for number in range(10):
        producer.produce(topic, b"%d" % number, timestamp=1_700_000_000_000 + number * 1000)
    assert producer.flush(WAIT) == 0
    consumer = consumer_of(shared_server)
    consumer.assign([TopicPartition(topic, 0, 7)])
    assert poll(consumer, 1)[0].value() == b"7"
    found = consumer.offsets_for_times([TopicPartition(topic, 0, 1_700_000_003_500)], WAIT)
    assert found[0].offset == 4
    consumer.seek(TopicPartition(topic, 0, 4))
    assert poll(consumer, 1)[0].value() == b"4"
    assert consumer.get_watermark_offsets(TopicPartition(topic, 0), WAIT) == (0, 10)
    consumer.close()


def test_a_regular_expression_follows_topics_made_later(shared_server, admin):
    prefix = f"regex{uuid.uuid4().hex}"
    consumer = consumer_of(shared_server, **{"topic.metadata.refresh.interval.ms": 200})
    consumer.subscribe([f"^{prefix}.*"])
    consumer.poll(0.1)
    for name in (f"{prefix}.one", f"{prefix}.two"):
        for made in admin.create_topics([NewTopic(name, 1, 1)]).values():
            made.result(WAIT)
        produce(shared_server, name, [name.encode()])
    assert {message.value() for message in poll(consumer, 2)} == {
        f"{prefix}.one".encode(),
        f"{prefix}.two".encode(),
    }
    consumer.close()


def test_a_topic_is_made_when_a_producer_first_asks_for_it(shared_server):
    name = f"auto.{uuid.uuid4().hex}"
    produce(shared_server, name, [b"first"])
    assert [message.value() for message in consume(shared_server, name, 1)] == [b"first"]


def test_an_idempotent_producer_of_each_client_writes_everything_once(shared_server, topic):
    values = [b"%d" % number for number in range(200)]
    produce(shared_server, topic, values, **{"enable.idempotence": True, "linger.ms": 1})
    producer = kafka.KafkaProducer(bootstrap_servers=shared_server.kafka, enable_idempotence=True)
    for value in values:
        producer.send(topic, value)
    producer.flush(WAIT)
    producer.close()
    counted = Counter(message.value() for message in consume(shared_server, topic, 400))
    assert set(counted.values()) == {2}
    assert len(counted) == 200


def test_order_holds_for_every_key_whoever_publishes(shared_server, topic):
    """Items 35, 63 and 108: 100 keys from four producers at once."""

    def send(keys: range) -> None:
        producer = Producer({"bootstrap.servers": shared_server.kafka, "linger.ms": 1})
        for number in range(50):
            for key in keys:
                producer.produce(topic, b"%d" % number, b"key%d" % key)
            producer.poll(0)
        assert producer.flush(WAIT) == 0

    threads = [threading.Thread(target=send, args=(range(n, 100, 4),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers, partitions = defaultdict(list), defaultdict(set)
    for message in consume(shared_server, topic, 5000):
        numbers[message.key()].append(int(message.value()))
        partitions[message.key()].add(message.partition())
    assert len(numbers) == 100
    assert all(got == list(range(50)) for got in numbers.values())
    assert all(len(found) == 1 for found in partitions.values())


def test_a_message_larger_than_the_topic_allows_is_refused(shared_server, admin):
    topic = make_topic(admin, 1, **{"max.message.bytes": "1000"})
    producer = Producer({"bootstrap.servers": shared_server.kafka})
    errors = []
    producer.produce(topic, b"x" * 5000, on_delivery=lambda error, _: errors.append(error))
    producer.flush(WAIT)
    assert [error.code() for error in errors] == [KafkaError.MSG_SIZE_TOO_LARGE]


def test_settings_are_shown_changed_and_in_force(shared_server, admin):
    """Items 41 and 42: a week by default, forever on request."""
    topic = make_topic(admin, 1)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    shown = admin.describe_configs([resource])[resource].result(WAIT)
    assert shown["retention.ms"].value == "604800000"
    assert shown["retention.ms"].is_default
    resource.set_config("retention.ms", "-1")
    admin.alter_configs([resource])[resource].result(WAIT)
    fresh = ConfigResource(ConfigResource.Type.TOPIC, topic)
    assert admin.describe_configs([fresh])[fresh].result(WAIT)["retention.ms"].value == "-1"


def test_partitions_can_be_added_and_topics_deleted(shared_server, admin, topic):
    admin.create_partitions([NewPartitions(topic, 8)])[topic].result(WAIT)
    assert len(admin.list_topics(topic, WAIT).topics[topic].partitions) == 8
    admin.delete_topics([topic])[topic].result(WAIT)
    assert topic not in admin.list_topics(timeout=WAIT).topics


def test_records_can_be_deleted_from_the_front(shared_server, admin):
    topic = make_topic(admin, 1)
    produce(shared_server, topic, [b"%d" % number for number in range(10)])
    done = admin.delete_records([TopicPartition(topic, 0, 4)])
    assert next(iter(done.values())).result(WAIT).low_watermark == 4
    assert [m.value() for m in consume(shared_server, topic, 6)] == [
        b"%d" % n for n in range(4, 10)
    ]


def test_committed_offsets_live_in_an_internal_topic_that_tools_can_see(shared_server, admin):
    """Item 107."""
    listed = admin.list_topics(timeout=WAIT).topics
    assert "__consumer_offsets" in listed
    group = uuid.uuid4().hex
    name = make_topic(admin, 1)
    produce(shared_server, name, [b"x"])
    consume(shared_server, name, 1, **{"group.id": group})
    described = admin.describe_consumer_groups([group])[group].result(WAIT)
    assert described.state.name in {"EMPTY", "STABLE"}
    assert group in {listed.group_id for listed in admin.list_consumer_groups().result(WAIT).valid}
    offsets = admin.list_offsets({TopicPartition(name, 0): OffsetSpec.latest()})
    assert next(iter(offsets.values())).result(WAIT).offset == 1
    admin.delete_consumer_groups([group])[group].result(WAIT)


def test_an_offset_past_retention_falls_back_to_what_the_consumer_chose(shared_server, admin):
    """Item 80."""
    topic = make_topic(admin, 1)
    produce(shared_server, topic, [b"%d" % number for number in range(10)])
    next(iter(admin.delete_records([TopicPartition(topic, 0, 5)]).values())).result(WAIT)
    consumer = consumer_of(shared_server)
    consumer.assign([TopicPartition(topic, 0, 2)])
    assert poll(consumer, 1)[0].offset() == 5
    consumer.close()


def test_kafka_python_uses_groups_offsets_and_admin(shared_server):
    name, group = f"kp.{uuid.uuid4().hex}", uuid.uuid4().hex
    admin = kafka.KafkaAdminClient(bootstrap_servers=shared_server.kafka)
    admin.create_topics([kafka.admin.NewTopic(name, 2, 1)])
    producer = kafka.KafkaProducer(bootstrap_servers=shared_server.kafka, compression_type="gzip")
    for number in range(10):
        producer.send(name, b"%d" % number, key=b"%d" % number).get(WAIT)
    producer.close()
    consumer = kafka.KafkaConsumer(
        name,
        bootstrap_servers=shared_server.kafka,
        group_id=group,
        auto_offset_reset="earliest",
        consumer_timeout_ms=WAIT * 1000,
    )
    got = [next(consumer).value for _ in range(10)]
    consumer.commit()
    assert sorted(got) == [b"%d" % number for number in range(10)]
    consumer.close()
    committed = admin.list_group_offsets([group]) if hasattr(admin, "list_group_offsets") else None
    assert committed is None or committed
    admin.close()


def test_aiokafka_rebalances_between_two_members(shared_server, admin):
    topic = make_topic(admin, 4)
    group = uuid.uuid4().hex

    async def run() -> set[bytes]:
        members = [
            AIOKafkaConsumer(
                topic,
                bootstrap_servers=shared_server.kafka,
                group_id=group,
                auto_offset_reset="earliest",
                metadata_max_age_ms=500,
            )
            for _ in range(2)
        ]
        got: set[bytes] = set()
        for member in members:
            await member.start()
        async with asyncio.timeout(WAIT):
            while sorted(len(member.assignment()) for member in members) != [2, 2]:
                for member in members:
                    await member.getmany(timeout_ms=100)
        produce(shared_server, topic, [b"%d" % number for number in range(40)])
        async with asyncio.timeout(WAIT):
            while len(got) < 40:
                for member in members:
                    for records in (await member.getmany(timeout_ms=100)).values():
                        got.update(record.value for record in records)
        for member in members:
            await member.stop()
        return got

    assert asyncio.run(run()) == {b"%d" % number for number in range(40)}
