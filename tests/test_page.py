"""The programs that everybody who explains publish-subscribe shows, run as their authors write them.

They use default ports and a host called ``kafka``; the only thing changed here is where those lead.
"""

from __future__ import annotations

import functools
import json
import threading
import uuid

import confluent_kafka
import pytest
import redis

pytestmark = pytest.mark.server


def at(server, factory):
    """The Kafka client class, with ``kafka:9092`` leading to the server."""

    def make(config):
        assert config["bootstrap.servers"] == "kafka:9092"
        return factory({**config, "bootstrap.servers": server.kafka})

    return make


def test_the_kafka_programs(shared_server):
    """Items 30, 43 and 44: each kind of subscriber is a group of its own and gets everything."""
    producer_class = at(shared_server, confluent_kafka.Producer)
    consumer_class = at(shared_server, confluent_kafka.Consumer)
    user_id = uuid.uuid4().hex

    producer = producer_class({"bootstrap.servers": "kafka:9092"})
    producer.produce(
        topic="notifications",
        key=user_id,
        value=json.dumps({"type": "order_placed", "user": user_id}),
    )
    producer.flush()

    for subscriber in ("email-sender", "sms-sender"):
        consumer = consumer_class(
            {
                "bootstrap.servers": "kafka:9092",
                "group.id": subscriber,
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe(["notifications"])
        for _ in range(20):
            message = consumer.poll(1.0)
            if message and not message.error():
                assert json.loads(message.value())["user"] == user_id
                consumer.commit(message, asynchronous=False)
                break
        else:
            pytest.fail("nothing came")
        committed = consumer.committed(consumer.assignment(), 10)
        assert [place.offset for place in committed] == [1]
        consumer.close()


def test_the_redis_programs(shared_server, monkeypatch):
    """Item 48, with the confirmation that comes before the first message."""
    default = functools.partial(redis.Redis, port=shared_server.ports["redis"])
    monkeypatch.setattr(redis, "Redis", default)
    kinds, handled, subscribed = [], [], threading.Event()

    def subscriber():
        r = redis.Redis()
        pubsub = r.pubsub()
        pubsub.subscribe("notifications-redis")
        for msg in pubsub.listen():
            kinds.append(msg["type"])
            subscribed.set()
            if msg["type"] == "message":
                handled.append(json.loads(msg["data"]))
                break
        pubsub.close()

    thread = threading.Thread(target=subscriber)
    thread.start()
    assert subscribed.wait(10)
    r = redis.Redis()
    assert r.publish("notifications-redis", json.dumps({"type": "order_placed"})) == 1
    thread.join(10)
    assert kinds == ["subscribe", "message"]
    assert handled == [{"type": "order_placed"}]
    r.close()


def test_ten_workers_share_a_queue_of_jobs_and_ten_subscribers_each_get_all(shared_server):
    """Items 23, 24 and 93 through the Python API's groups."""
    import hubbub

    address = f"jobs.{uuid.uuid4().hex}"
    with hubbub.Broker.connect(shared_server.url) as broker:
        broker.create_topic(address)
        done, shares, everyone = threading.Event(), [0] * 10, [0] * 10

        def handler(table, index):
            def handle(_message):
                table[index] += 1
                if sum(shares) == 1000 and sum(everyone) == 10_000:
                    done.set()

            return handle

        for index in range(10):
            broker.subscribe(address, handler(shares, index), group="workers")
            broker.subscribe(address, handler(everyone, index))
        for number in range(1000):
            broker.publish(address, b"%d" % number)
        assert done.wait(30)
    assert sum(shares) == 1000
    assert everyone == [1000] * 10
    assert min(shares) >= 80
    assert max(shares) <= 120
