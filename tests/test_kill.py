"""kill -9 at random moments under load from both protocols: what was acknowledged is there."""

from __future__ import annotations

import random
import shutil
import threading
import time

import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from log_checker import Checker, Place, Sent
from serving import ServerProcess

pytestmark = pytest.mark.server

PARTITIONS = 6
KAFKA_TOPIC = "crash.kafka"
REDIS_TOPIC = "crash.redis"
READ_SECONDS = 60
FIRST_TOPIC_NUMBER = 4  # the catalogue, the state, what is queued and committed offsets come first


class KafkaLoad(threading.Thread):
    """One idempotent producer that lives through every crash of the server."""

    def __init__(self, server: ServerProcess, checker: Checker) -> None:
        super().__init__(daemon=True)
        self.checker = checker
        self.stopping = threading.Event()
        self.failures: list[str] = []
        self.producer = Producer(
            {
                "bootstrap.servers": server.kafka,
                "enable.idempotence": True,
                "linger.ms": 2,
                "reconnect.backoff.max.ms": 100,
                "log_level": 0,
            }
        )

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            sent = Sent(f"k{number % 20}", number)
            self.producer.produce(
                KAFKA_TOPIC,
                key=sent.key,
                value=f"{sent.key} {sent.number}",
                on_delivery=self.delivered,
            )
            number += 1
            self.producer.poll(0)
            if len(self.producer) > 2000:
                self.producer.poll(0.05)
            self.stopping.wait(0.0005)

    def delivered(self, error, message) -> None:
        if error is not None:
            self.failures.append(str(error))
            return
        key, number = message.value().decode().split()
        place = Place(message.topic(), message.partition(), message.offset())
        self.checker.acknowledge(KAFKA_TOPIC, Sent(key, int(number)), place)

    def finish(self) -> None:
        self.stopping.set()
        self.join()
        assert self.producer.flush(60) == 0
        assert self.failures == []


class RedisLoad(threading.Thread):
    """PUBLISH on a stored topic: the reply is the acknowledgement; a lost reply proves nothing."""

    def __init__(self, server: ServerProcess, checker: Checker) -> None:
        super().__init__(daemon=True)
        self.checker = checker
        self.stopping = threading.Event()
        self.client = redis.Redis(port=server.ports["redis"], retry=None, socket_timeout=10)

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            sent = Sent("r", number)
            number += 1
            try:
                self.client.publish(REDIS_TOPIC, f"{sent.key} {sent.number}")
            except redis.RedisError:
                self.stopping.wait(0.01)
                continue
            self.checker.acknowledge(REDIS_TOPIC, sent)

    def finish(self) -> None:
        self.stopping.set()
        self.join()
        self.client.close()


def read_everything(server: ServerProcess) -> dict[Place, Sent]:
    consumer = Consumer(
        {
            "bootstrap.servers": server.kafka,
            "group.id": "reader",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    wanted = {(KAFKA_TOPIC, partition) for partition in range(PARTITIONS)} | {(REDIS_TOPIC, 0)}
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in wanted])
    read: dict[Place, Sent] = {}
    deadline = time.monotonic() + READ_SECONDS
    while wanted and time.monotonic() < deadline:
        for message in consumer.consume(5000, 0.2):
            if message.error():
                wanted.discard((message.topic(), message.partition()))
                continue
            key, number = message.value().decode().split()
            place = Place(message.topic(), message.partition(), message.offset())
            read[place] = Sent(key, int(number))
    consumer.close()
    assert not wanted
    return read


def make_topics(server: ServerProcess) -> None:
    admin = AdminClient({"bootstrap.servers": server.kafka, "log_level": 0})
    wanted = [NewTopic(KAFKA_TOPIC, PARTITIONS, 1), NewTopic(REDIS_TOPIC, 1, 1)]
    for made in admin.create_topics(wanted).values():
        made.result(10)


def run_rounds(directory, rounds: int, seed: int) -> tuple[ServerProcess, Checker]:
    rng = random.Random(seed)
    checker = Checker()
    server = ServerProcess(directory).start()
    make_topics(server)
    loads = [KafkaLoad(server, checker), RedisLoad(server, checker)]
    for load in loads:
        load.start()
    for number in range(rounds):
        time.sleep(rng.uniform(0.05, 0.6))  # the moment of the crash is the point of the test
        server.kill()
        server.start()
        if number % 10 == 9:
            expected = checker.frozen()
            assert expected.check(read_everything(server)) == []
    for load in loads:
        load.finish()
    assert checker.check(read_everything(server)) == []
    return server, checker


@pytest.mark.timeout(300)
def test_a_few_crashes_lose_nothing_and_the_checker_would_notice(tmp_path):
    server, checker = run_rounds(tmp_path, rounds=5, seed=1)
    assert len(checker.placed) > 100
    assert len(checker.unplaced[REDIS_TOPIC]) > 100
    assert server.stop() == 0
    # What a server that acknowledges before it syncs leaves after a power cut: a shorter tail.
    for segment in (tmp_path / "data" / "topics").rglob("*.log"):
        if int(segment.parts[-3]) < FIRST_TOPIC_NUMBER:
            continue
        size = segment.stat().st_size
        with segment.open("r+b") as file:
            file.truncate(size * 9 // 10)
        segment.with_suffix(".index").unlink(missing_ok=True)
    with server:
        assert "lost" in {violation.kind for violation in checker.check(read_everything(server))}
    shutil.rmtree(tmp_path / "data")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_hundred_crashes_lose_nothing(tmp_path):
    server, checker = run_rounds(tmp_path, rounds=100, seed=2)
    assert len(checker.placed) > 5000
    assert server.stop() == 0
