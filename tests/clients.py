"""The same few things said through each system's own client: what the crossing suite runs on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import threading
import uuid
from typing import TYPE_CHECKING, ClassVar

import aiomqtt
import kafka
import nats
import paho.mqtt.client
import pika
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer
from paho.mqtt.client import MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

import hubbub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from serving import ServerProcess

WAIT_SECONDS = 20


class Inbox:
    """What one subscriber got, in order; payloads as bytes."""

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes] = queue.Queue()

    def put(self, payload: bytes) -> None:
        self._queue.put(payload)

    def take(self, count: int) -> list[bytes]:
        """The next ``count`` payloads; fails loudly when they do not come."""
        return [self._queue.get(timeout=WAIT_SECONDS) for _ in range(count)]

    def rest(self) -> list[bytes]:
        """What is there now beyond what was taken."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._queue.get_nowait())
        return found


class Polling(threading.Thread):
    """Runs ``step`` until stopped; ``step`` hands payloads to the inbox."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._step = step
        self._stopping = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._stopping.is_set():
            self._step()

    def stop(self) -> None:
        self._stopping.set()
        self.join(WAIT_SECONDS)


class ConfluentKafka:
    """confluent-kafka, on librdkafka."""

    name = "confluent-kafka"

    def __init__(self, server: ServerProcess) -> None:
        self.bootstrap = server.kafka

    def publish(self, address: str, payloads: list[bytes], key: bytes | None = None) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap})
        for payload in payloads:
            producer.produce(address, value=payload, key=key)
        assert producer.flush(WAIT_SECONDS) == 0

    @contextlib.contextmanager
    def subscribed(self, address: str) -> Iterator[Inbox]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"g-{uuid.uuid4()}",
                "auto.offset.reset": "earliest",
            }
        )
        inbox, assigned = Inbox(), threading.Event()
        consumer.subscribe([address], on_assign=lambda *_: assigned.set())

        def step() -> None:
            message = consumer.poll(0.1)
            if message is not None and not message.error():
                inbox.put(message.value())

        polling = Polling(step)
        assert assigned.wait(WAIT_SECONDS)
        yield inbox
        polling.stop()
        consumer.close()


class KafkaPython:
    """kafka-python, pure Python."""

    name = "kafka-python"

    def __init__(self, server: ServerProcess) -> None:
        self.bootstrap = server.kafka

    def publish(self, address: str, payloads: list[bytes], key: bytes | None = None) -> None:
        producer = kafka.KafkaProducer(bootstrap_servers=self.bootstrap)
        for payload in payloads:
            producer.send(address, value=payload, key=key)
        producer.flush(WAIT_SECONDS)
        producer.close()

    @contextlib.contextmanager
    def subscribed(self, address: str) -> Iterator[Inbox]:
        consumer = kafka.KafkaConsumer(
            address,
            bootstrap_servers=self.bootstrap,
            group_id=f"g-{uuid.uuid4()}",
            auto_offset_reset="earliest",
        )
        inbox, assigned = Inbox(), threading.Event()

        def step() -> None:
            for records in consumer.poll(100).values():
                for record in records:
                    inbox.put(record.value)
            if consumer.assignment():
                assigned.set()

        polling = Polling(step)
        assert assigned.wait(WAIT_SECONDS)
        yield inbox
        polling.stop()
        consumer.close()


class AioKafka:
    """aiokafka, on asyncio."""

    name = "aiokafka"

    def __init__(self, server: ServerProcess) -> None:
        self.bootstrap = server.kafka

    def publish(self, address: str, payloads: list[bytes], key: bytes | None = None) -> None:
        async def send() -> None:
            async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
                for payload in payloads:
                    await producer.send_and_wait(address, payload, key=key)

        asyncio.run(send())

    @contextlib.contextmanager
    def subscribed(self, address: str) -> Iterator[Inbox]:
        inbox, assigned, stopping = Inbox(), threading.Event(), threading.Event()

        async def consume() -> None:
            consumer = AIOKafkaConsumer(
                address,
                bootstrap_servers=self.bootstrap,
                group_id=f"g-{uuid.uuid4()}",
                auto_offset_reset="earliest",
            )
            async with consumer:
                while not stopping.is_set():
                    if consumer.assignment():
                        assigned.set()
                    for records in (await consumer.getmany(timeout_ms=100)).values():
                        for record in records:
                            inbox.put(record.value)

        thread = threading.Thread(target=asyncio.run, args=(consume(),), daemon=True)
        thread.start()
        assert assigned.wait(WAIT_SECONDS)
        yield inbox
        stopping.set()
        thread.join(WAIT_SECONDS)


class RedisPy:
    """redis-py; ``protocol`` 2 or 3."""

    name = "redis-py"
    protocol: ClassVar[int] = 3

    def __init__(self, server: ServerProcess) -> None:
        self.client = redis.Redis(port=server.ports["redis"], protocol=self.protocol)

    def publish(self, address: str, payloads: list[bytes], key: bytes | None = None) -> None:
        for payload in payloads:
            self.client.publish(address, payload)

    @contextlib.contextmanager
    def subscribed(self, address: str) -> Iterator[Inbox]:
        inbox, confirmed = Inbox(), threading.Event()
        pubsub = self.client.pubsub()
        pubsub.subscribe(address)

        def step() -> None:
            message = pubsub.get_message(timeout=0.1)
            if message is None:
                return
            if message["type"] == "subscribe":
                confirmed.set()
            elif message["type"] == "message":
                inbox.put(message["data"])

        polling = Polling(step)
        assert confirmed.wait(WAIT_SECONDS)
        yield inbox
        polling.stop()
        pubsub.close()
        self.client.close()


class RedisPyResp2(RedisPy):
    """redis-py as its older releases speak."""

    name = "redis-py-resp2"
    protocol = 2


class NatsPy:
    """nats-py, on asyncio."""

    name = "nats-py"

    def __init__(self, server: ServerProcess) -> None:
        self.url = server.nats

    def publish(self, address: str, payloads: list[bytes], key: bytes | None = None) -> None:
        async def send() -> None:
            async with await nats.connect(self.url) as connection:
                for payload in payloads:
                    await connection.publish(address, payload)
                await connection.flush(WAIT_SECONDS)

        asyncio.run(send())

    @contextlib.contextmanager
    def subscribed(self, address: str) -> Iterator[Inbox]:
        inbox, confirmed = Inbox(), threading.Event()
        loop = asyncio.new_event_loop()
        stopping = asyncio.Event()

        async def take(message: nats.aio.msg.Msg) -> None:
            inbox.put(message.data)

        async def consume() -> None:
            async with await nats.connect(self.url) as connection:
                await connection.subscribe(address, cb=take)
                await connection.flush(WAIT_SECONDS)
                confirmed.set()
                await stopping.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(consume(),), daemon=True)
        thread.start()
        assert confirmed.wait(WAIT_SECONDS)
        yield inbox
        loop.call_soon_threadsafe(stopping.set)
        thread.join(WAIT_SECONDS)
        loop.close()


class Paho:
    """paho-mqtt, with MQTT 5; its network is a thread."""

    name = "paho-mqtt"

    def __init__(self, server: ServerProcess) -> None:
        self.port = server.ports["mqtt"]

    @contextlib.contextmanager
    def _connected(self) -> Iterator[paho.mqtt.client.Client]:
        client = paho.mqtt.client.Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        yield client
        client.disconnect()
        client.loop_stop()

    def publish(self, address: str, payloads: list[bytes], key: bytes | None = None) -> None:
        with self._connected() as client:
            sent = [client.publish(address.replace(".", "/"), payload, 1) for payload in payloads]
            for info in sent:
                info.wait_for_publish(WAIT_SECONDS)
                assert info.is_published()

    @contextlib.contextmanager
    def subscribed(self, address: str) -> Iterator[Inbox]:
        inbox, confirmed = Inbox(), threading.Event()
        with self._connected() as client:
            client.on_message = lambda _client, _data, message: inbox.put(message.payload)
            client.on_subscribe = lambda *_: confirmed.set()
            client.subscribe(address.replace(".", "/"), 1)
            assert confirmed.wait(WAIT_SECONDS)
            yield inbox


class AioMqtt:
    """aiomqtt, on asyncio, with MQTT 3.1.1."""

    name = "aiomqtt"

    def __init__(self, server: ServerProcess) -> None:
        self.port = server.ports["mqtt"]

    def publish(self, address: str, payloads: list[bytes], key: bytes | None = None) -> None:
        async def send() -> None:
            async with aiomqtt.Client("127.0.0.1", self.port) as client:
                for payload in payloads:
                    await client.publish(address.replace(".", "/"), payload, 2)

        asyncio.run(send())

    @contextlib.contextmanager
    def subscribed(self, address: str) -> Iterator[Inbox]:
        inbox, confirmed = Inbox(), threading.Event()
        loop = asyncio.new_event_loop()
        stopping = asyncio.Event()

        async def take(client: aiomqtt.Client) -> None:
            async for message in client.messages:
                inbox.put(message.payload)

        async def consume() -> None:
            async with aiomqtt.Client("127.0.0.1", self.port) as client:
                await client.subscribe(address.replace(".", "/"), 2)
                taking = asyncio.create_task(take(client))
                confirmed.set()
                await stopping.wait()
                taking.cancel()

        thread = threading.Thread(target=loop.run_until_complete, args=(consume(),), daemon=True)
        thread.start()
        assert confirmed.wait(WAIT_SECONDS)
        yield inbox
        loop.call_soon_threadsafe(stopping.set)
        thread.join(WAIT_SECONDS)
        loop.close()


class Pika:
    """pika; the exchange amq.topic is the common address space."""

    name = "pika"

    def __init__(self, server: ServerProcess) -> None:
        self.parameters = pika.URLParameters(server.amqp)

    def publish(self, address: str, payloads: list[bytes], key: bytes | None = None) -> None:
        with pika.BlockingConnection(self.parameters) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for payload in payloads:
                channel.basic_publish("amq.topic", address, payload)

    @contextlib.contextmanager
    def subscribed(self, address: str) -> Iterator[Inbox]:
        inbox = Inbox()
        connection = pika.BlockingConnection(self.parameters)
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "amq.topic", address)
        channel.basic_consume(queue, lambda *got: inbox.put(got[-1]), auto_ack=True)
        polling = Polling(lambda: connection.process_data_events(0.1))
        yield inbox
        polling.stop()
        connection.close()


class PythonApi:
    """hubbub's own API, connected."""

    name = "python"

    def __init__(self, server: ServerProcess) -> None:
        self.url = server.url

    def publish(self, address: str, payloads: list[bytes], key: bytes | None = None) -> None:
        with hubbub.Broker.connect(self.url) as broker:
            for payload in payloads:
                broker.publish(address, payload, key=key)

    @contextlib.contextmanager
    def subscribed(self, address: str) -> Iterator[Inbox]:
        inbox = Inbox()
        with hubbub.Broker.connect(self.url) as broker:
            broker.subscribe(address, lambda message: inbox.put(message.value))
            yield inbox


CLIENTS = (
    ConfluentKafka,
    KafkaPython,
    AioKafka,
    RedisPy,
    RedisPyResp2,
    NatsPy,
    Paho,
    AioMqtt,
    Pika,
    PythonApi,
)


def event(number: int) -> bytes:
    return json.dumps({"type": "order_placed", "number": number}).encode()
