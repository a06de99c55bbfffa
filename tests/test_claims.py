"""What is commonly said of publish-subscribe, held against a running server.

The item numbers are those of the checklist that the pattern's usual description makes.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections import defaultdict

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition

import hubbub
from clients import AioKafka, ConfluentKafka, PythonApi, RedisPy
from serving import ServerProcess

pytestmark = pytest.mark.server

WAIT = 20


@pytest.fixture
def broker(shared_server):
    with hubbub.Broker.connect(shared_server.url) as connected:
        yield connected


@pytest.fixture
def client(shared_server):
    with contextlib.closing(redis.Redis(port=shared_server.ports["redis"])) as connected:
        yield connected


@pytest.fixture
def topic(broker):
    name = f"claims.{uuid.uuid4().hex}"
    broker.create_topic(name, partitions=1)
    return name


def consumer_of(server, **config) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": server.kafka,
            "group.id": f"g{uuid.uuid4().hex}",
            "auto.offset.reset": "earliest",
            "heartbeat.interval.ms": 200,
            **config,
        }
    )


def poll(consumer: Consumer, count: int) -> list:
    got: list = []
    deadline = time.monotonic() + WAIT
    while len(got) < count and time.monotonic() < deadline:
        got += [
            message for message in consumer.consume(count - len(got), 0.2) if not message.error()
        ]
    return got


def test_a_hundred_subscribers_each_get_a_thousand_messages(shared_server, broker, client):
    """Item 6: 100,000 deliveries, none missing and none twice."""
    address = f"broadcast.{uuid.uuid4().hex}"
    got: list[list[bytes]] = [[] for _ in range(100)]
    done = threading.Event()

    def observer(index: int):
        def observe(message) -> None:
            got[index].append(message.value)
            if all(len(values) == 1000 for values in got):
                done.set()

        return observe

    for index in range(100):
        broker.subscribe(address, observer(index))
    pipeline = client.pipeline(transaction=False)
    for number in range(1000):
        pipeline.publish(address, b"%d" % number)
    assert pipeline.execute() == [100] * 1000
    assert done.wait(WAIT)
    assert got == [[b"%d" % number for number in range(1000)]] * 100


def test_those_who_listen_are_listed_by_protocol_and_name(shared_server, broker, topic):
    """Item 16: what the listing says is who is connected."""
    named = redis.Redis(port=shared_server.ports["redis"], client_name="dashboard")
    pubsub = named.pubsub()
    pubsub.subscribe(topic)
    assert pubsub.get_message(timeout=WAIT)["type"] == "subscribe"
    own = broker.subscribe(topic, print)
    listed = {(info.protocol, info.client) for info in broker.subscribers(topic)}
    assert ("redis", "dashboard") in listed
    assert {protocol for protocol, _ in listed} == {"redis", "bus"}
    own.unsubscribe()
    pubsub.close()
    named.close()
    PythonApi(shared_server).publish(
        topic, [b"a round trip, so that the server has seen the close"]
    )
    assert broker.subscribers(topic) == []


def test_publishing_to_nobody_succeeds_for_everyone(shared_server, broker, client, topic):
    """Item 17."""
    assert client.publish(f"nobody.{topic}", b"x") == 0
    assert broker.publish(f"nobody.{topic}", b"x").observers == 0
    ConfluentKafka(shared_server).publish(topic, [b"x"])


def test_subscribers_that_come_and_go_do_not_disturb_the_publisher(shared_server, client):
    """Items 19 and 105: a thousand subscriptions made and dropped while messages flow."""
    address = f"churn.{uuid.uuid4().hex}"
    stopping, errors = threading.Event(), []

    def publish() -> None:
        publisher = redis.Redis(port=shared_server.ports["redis"])
        while not stopping.is_set():
            try:
                publisher.publish(address, b"x")
            except redis.RedisError as error:
                errors.append(error)
        publisher.close()

    publishing = threading.Thread(target=publish)
    publishing.start()
    before = shared_server.memory_kib()
    with contextlib.closing(client.pubsub()) as pubsub:
        for _ in range(1000):
            pubsub.subscribe(address)
            pubsub.unsubscribe(address)
            while pubsub.get_message(timeout=WAIT)["type"] != "unsubscribe":
                pass
    stopping.set()
    publishing.join(WAIT)
    assert errors == []
    assert client.pubsub_numsub(address) == [(address.encode(), 0)]
    assert shared_server.memory_kib() - before < 16 * 1024


def test_a_subscriber_is_replaced_by_one_of_another_make(shared_server, topic):
    """Item 20: the successor goes on where the other stopped; the publisher never knows."""
    producer = Producer({"bootstrap.servers": shared_server.kafka})
    group = uuid.uuid4().hex
    first = consumer_of(shared_server, **{"group.id": group, "enable.auto.commit": False})
    first.subscribe([topic])
    for number in range(5):
        producer.produce(topic, b"%d" % number)
    assert producer.flush(WAIT) == 0
    before = poll(first, 3)
    first.commit(before[-1], asynchronous=False)
    first.close()
    import kafka

    second = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=shared_server.kafka,
        group_id=group,
        consumer_timeout_ms=WAIT * 1000,
    )
    for number in range(5, 10):
        producer.produce(topic, b"%d" % number)
    assert producer.flush(WAIT) == 0
    after = [next(second).value for _ in range(7)]
    second.close()
    assert [m.value() for m in before] + after == [b"%d" % number for number in range(10)]


@pytest.mark.parametrize("name", ["orders.OrderPlaced", "UPPER.lower-0_9", "a" * 249])
def test_a_name_is_the_same_in_every_protocol(shared_server, broker, client, name):
    """Item 34."""
    name = f"{name[:210]}.{uuid.uuid4().hex}"
    broker.create_topic(name)
    with (
        ConfluentKafka(shared_server).subscribed(name) as log,
        RedisPy(shared_server).subscribed(name) as live,
    ):
        client.publish(name, b"x")
        assert log.take(1) == live.take(1) == [b"x"]
    assert name in [info.name for info in broker.topics()]


def test_a_consumer_knows_where_it_is(shared_server, topic):
    """Item 37."""
    ConfluentKafka(shared_server).publish(topic, [b"0", b"1", b"2"])
    consumer = consumer_of(shared_server, **{"enable.auto.commit": False})
    place = TopicPartition(topic, 0)
    consumer.assign([TopicPartition(topic, 0, 0)])
    got = poll(consumer, 2)
    assert consumer.position([place])[0].offset == 2
    consumer.commit(got[0], asynchronous=False)
    assert consumer.committed([place], WAIT)[0].offset == 1
    consumer.close()


def test_order_per_key_holds_across_protocols(shared_server, broker):
    """Items 63 and 64: publishers on different doors, one key each way, every subscriber."""
    name = f"keys.{uuid.uuid4().hex}"
    broker.create_topic(name, partitions=4)
    keys = [f"key{index}".encode() for index in range(20)]
    seen = defaultdict(list)
    done = threading.Event()

    def observe(message) -> None:
        seen[message.key].append(json.loads(message.value))
        if sum(map(len, seen.values())) == 20 * 20 * 2:
            done.set()

    broker.subscribe(name, observe)

    def through_kafka() -> None:
        producer = Producer({"bootstrap.servers": shared_server.kafka})
        for number in range(20):
            for key in keys[:10]:
                producer.produce(name, json.dumps(number), key)
            producer.poll(0)
        for number in range(20, 40):
            for key in keys[:10]:
                producer.produce(name, json.dumps(number), key)
        assert producer.flush(WAIT) == 0

    def through_python() -> None:
        with hubbub.Broker.connect(shared_server.url) as own:
            for number in range(40):
                for key in keys[10:]:
                    own.publish_soon(name, number, key=key)

    threads = [threading.Thread(target=run) for run in (through_kafka, through_python)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert done.wait(WAIT)
    assert all(seen[key] == list(range(40)) for key in keys)
    consumer = consumer_of(shared_server)
    consumer.subscribe([name])
    stored = defaultdict(list)
    for message in poll(consumer, 800):
        stored[message.key()].append(json.loads(message.value()))
    consumer.close()
    assert all(stored[key] == list(range(40)) for key in keys)


def test_what_was_not_committed_comes_again(shared_server, topic):
    """Items 65 and 83: at least once, so a consumer that dies sees a duplicate and loses nothing."""
    ConfluentKafka(shared_server).publish(topic, [b"0", b"1", b"2"])
    group = uuid.uuid4().hex
    config = {"group.id": group, "enable.auto.commit": False}
    first = consumer_of(shared_server, **config)
    first.subscribe([topic])
    assert len(poll(first, 3)) == 3
    first.close()
    second = consumer_of(shared_server, **config)
    second.subscribe([topic])
    assert [message.value() for message in poll(second, 3)] == [b"0", b"1", b"2"]
    second.close()


def test_order_is_total_in_one_partition_only(shared_server, broker):
    """Item 81: what is in one partition has one order; between partitions there is none."""
    one, many = f"one.{uuid.uuid4().hex}", f"many.{uuid.uuid4().hex}"
    broker.create_topic(one, partitions=1)
    broker.create_topic(many, partitions=8)
    for number in range(80):
        for name in (one, many):
            broker.publish_soon(name, number, key=b"key%d" % number)
    broker.publish(one, "end", key=b"key")
    consumer = consumer_of(shared_server)
    consumer.assign([TopicPartition(one, 0, 0)])
    assert [json.loads(m.value()) for m in poll(consumer, 80)] == list(range(80))
    consumer.assign([TopicPartition(many, partition, 0) for partition in range(8)])
    by_partition = defaultdict(list)
    for message in poll(consumer, 80):
        by_partition[message.partition()].append(json.loads(message.value()))
    assert len(by_partition) > 1
    assert all(numbers == sorted(numbers) for numbers in by_partition.values())
    consumer.close()


def test_lag_is_what_is_stored_and_not_yet_settled(shared_server, broker, topic):
    """Item 82, for both kinds of subscription."""
    group = uuid.uuid4().hex
    ConfluentKafka(shared_server).publish(topic, [b"%d" % number for number in range(10)])
    consumer = consumer_of(shared_server, **{"group.id": f"kafka{group}"})
    consumer.subscribe([topic])
    got = poll(consumer, 4)
    consumer.commit(got[-1], asynchronous=False)
    settled = threading.Event()

    def handle(message) -> None:
        if message.offset == 2:
            settled.set()

    shared = broker.subscribe(topic, handle, group=f"shared{group}", start="beginning", limit=3)
    assert settled.wait(WAIT)
    shared.unsubscribe()
    lags = {info.name: info.lag for info in broker.subscriptions()}
    consumer.close()
    assert lags[f"kafka{group}"] == 6
    assert lags[f"shared{group}"] == 7


def test_offsets_and_messages_are_there_after_kill_9(tmp_path):
    """Item 95: a group goes on where it committed, and a new one replays everything."""
    with ServerProcess(tmp_path) as server:
        ConfluentKafka(server).publish("kept", [b"%d" % number for number in range(10)])
        consumer = consumer_of(server, **{"group.id": "g", "enable.auto.commit": False})
        consumer.subscribe(["kept"])
        consumer.commit(poll(consumer, 4)[-1], asynchronous=False)
        server.kill()
        server.start()
        consumer.close()
        again = consumer_of(server, **{"group.id": "g"})
        again.subscribe(["kept"])
        assert [m.value() for m in poll(again, 6)] == [b"%d" % number for number in range(4, 10)]
        again.close()
        with AioKafka(server).subscribed("kept") as everything:
            assert everything.take(10) == [b"%d" % number for number in range(10)]


def test_a_pure_redis_channel_leaves_no_byte_on_the_disk(tmp_path):
    """Items 8 and 45."""
    with ServerProcess(tmp_path) as server:
        client = redis.Redis(port=server.ports["redis"])
        client.ping()

        def stored() -> int:
            return sum(file.stat().st_size for file in (tmp_path / "data").rglob("*.log"))

        before = stored()
        for _ in range(1000):
            client.publish("channel", b"x" * 1000)
        assert stored() == before
        client.close()
