"""AMQP as applications have it: amqplib of Node, kombu, aio-pika, and many processes at one queue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import Counter

import aio_pika
import kombu
import pytest
from aio_pika.patterns import RPC, Master

from amqp_clients import Pika, here_only
from clients import WAIT_SECONDS
from node_client import ClientError

pytestmark = pytest.mark.server

JOBS = 10_000
WORKERS = 10


@pytest.fixture
def pika_client(amqp_url):
    with Pika(amqp_url) as client:
        yield client


# amqplib, of Node


def test_node_and_python_understand_each_other(amqp_url, amqplib, pika_client, name):
    pika_client.declare_exchange(name, "topic")
    with amqplib.started(amqp_url, "sub", name, "a.#", "3") as node:
        pika_client.publish(name, "a", b"one")
        pika_client.publish(
            name, "a.b", b"\xff\x00", headers={"n": 2**40, "l": ["x"]}, content_type="text/plain"
        )
        pika_client.publish(name, "b", b"not for it")
        pika_client.publish(name, "a.b.c", b"x" * 300_000, delivery_mode=2, priority=3)
        got = node.messages()
    assert [(one.exchange, one.key, one.payload) for one in got] == [
        (name, "a", b"one"), (name, "a.b", b"\xff\x00"), (name, "a.b.c", b"x" * 300_000),
    ]  # fmt: skip
    assert got[1].properties == {
        "contentType": "text/plain", "headers": {"n": 2**40, "l": ["x"]},
    }  # fmt: skip
    assert got[2].properties.items() >= {"deliveryMode": 2, "priority": 3}.items()


def test_what_node_sends_has_its_options(amqp_url, amqplib, pika_client, name):
    options = {
        "persistent": True, "headers": {"a": "b", "deep": {"n": 1}}, "messageId": "m",
        "expiration": 60000, "type": "t", "appId": "shop", "timestamp": 1_700_000_000,
    }  # fmt: skip
    amqplib.run(amqp_url, "send", name, json.dumps(options), "x", "")
    first, second = pika_client.get_all(name)
    assert (first.body, second.body) == (b"x", b"")
    assert first.properties == {
        "delivery_mode": 2, "headers": {"a": "b", "deep": {"n": 1}}, "message_id": "m",
        "expiration": "60000", "type": "t", "app_id": "shop", "timestamp": 1_700_000_000,
    }  # fmt: skip


def test_workers_of_node_share_a_queue(amqp_url, amqplib, name):
    jobs = [f"{number}" for number in range(10)]
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(amqplib.started(amqp_url, "work", name, "5")) for _ in range(2)
        ]
        amqplib.run(amqp_url, "send", name, "{}", *jobs)
        got = [message.payload for worker in workers for message in worker.messages()]
    assert sorted(got) == sorted(job.encode() for job in jobs)


def test_what_node_gives_back_comes_again(amqp_url, amqplib, name):
    amqplib.run(amqp_url, "send", name, "{}", "a", "b")
    got = amqplib.run(amqp_url, "retry", name, "2")
    assert [(one.payload, one.redelivered) for one in got] == [(b"a", True), (b"b", True)]


def test_a_request_of_node_is_answered_by_node(amqp_url, amqplib, name):
    with amqplib.started(amqp_url, "reply", name, "1"):
        [answer] = amqplib.run(amqp_url, "request", name, "hello")
    assert (answer.payload, answer.properties["correlationId"]) == (b"re: hello", "7")


def test_node_is_told_of_errors_and_returns(amqp_url, amqplib, name):
    with pytest.raises(ClientError, match="404"):
        amqplib.run(amqp_url, "check", name)
    with pytest.raises(ClientError, match="404"):
        amqplib.run(amqp_url, "pub", name, "key", "{}", "to no exchange")
    with pytest.raises(ClientError, match="returned"):
        amqplib.run(amqp_url, "pub", "amq.topic", name, "{}", "to no queue")


# kombu


def test_kombu_retries_through_a_queue_of_its_own_making(amqp_url, name):
    with kombu.Connection(amqp_url, transport_options={"confirm_publish": True}) as connection:
        queue = connection.SimpleQueue(name)
        for number in range(3):
            queue.put({"n": number}, compression="zlib")
        assert queue.qsize() == 3
        first = queue.get(timeout=WAIT_SECONDS)
        assert first.payload == {"n": 0}
        first.requeue()
        got = [queue.get(timeout=WAIT_SECONDS) for _ in range(3)]
        assert sorted(message.payload["n"] for message in got) == [0, 1, 2]
        for message in got:
            message.ack()
        queue.clear()
        queue.close()


def test_kombu_declares_what_it_consumes_and_publishes_to(amqp_url, name):
    exchange = kombu.Exchange(name, "topic", durable=True)
    queues = [
        kombu.Queue(f"{name}.{kind}", exchange, f"*.{kind}", message_ttl=60, max_priority=5)
        for kind in ("video", "image")
    ]
    got = []
    with kombu.Connection(amqp_url, transport_options={"confirm_publish": True}) as connection:
        with connection.Producer() as producer:
            for key in ("a.video", "b.image", "c.text"):
                producer.publish(
                    {"key": key}, exchange=exchange, routing_key=key, declare=queues, priority=2,
                    retry=True, headers={"h": 1},
                )  # fmt: skip

        def take(body, message):
            got.append((message.delivery_info["routing_key"], body["key"], message.headers))
            message.ack()

        with connection.Consumer(queues, callbacks=[take]):
            while len(got) < 2:
                connection.drain_events(timeout=WAIT_SECONDS)
    assert sorted(got) == [("a.video", "a.video", {"h": 1}), ("b.image", "b.image", {"h": 1})]


# aio-pika


def test_aio_pika_iterates_over_a_queue(amqp_url, name):
    async def scenario():
        connection = await aio_pika.connect_robust(amqp_url)
        async with connection, connection.channel() as channel:
            await channel.set_qos(10)
            queue = await channel.declare_queue(name, durable=True)
            exchange = channel.default_exchange
            for number in range(100):
                message = aio_pika.Message(
                    b"%d" % number, headers={"n": number}, expiration=60,
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )  # fmt: skip
                await exchange.publish(message, name)
            got = []
            async with queue.iterator(timeout=WAIT_SECONDS) as messages:
                async for message in messages:
                    async with message.process():
                        got.append((message.body, message.headers["n"], message.expiration))
                    if len(got) == 100:
                        break
            assert got == [(b"%d" % number, number, 60) for number in range(100)]

    asyncio.run(asyncio.wait_for(scenario(), WAIT_SECONDS))


def test_aio_pika_calls_procedures_and_has_workers(amqp_url, name):
    async def scenario():
        connection = await aio_pika.connect_robust(amqp_url)
        async with connection:
            rpc = await RPC.create(await connection.channel())

            async def multiply(x, y):
                return x * y

            await rpc.register(name, multiply, auto_delete=True)
            answers = await asyncio.gather(
                *(rpc.call(name, kwargs={"x": x, "y": 2}) for x in range(20))
            )
            assert answers == [2 * x for x in range(20)]

            done = asyncio.Queue()

            async def work(task):
                await done.put(task)

            master = Master(await connection.channel())
            await master.create_worker(f"{name}.work", work, auto_delete=True)
            for task in range(20):
                await master.create_task(f"{name}.work", {"task": task})
            assert sorted([await done.get() for _ in range(20)]) == list(range(20))

    asyncio.run(asyncio.wait_for(scenario(), WAIT_SECONDS))


@here_only
def test_aio_pika_has_its_queues_again_after_a_restart(server, name):
    async def scenario():
        connection = await aio_pika.connect_robust(server.amqp, reconnect_interval=0.1)
        async with connection:
            back, got = asyncio.Event(), asyncio.Queue()
            connection.reconnect_callbacks.add(lambda *_: back.set())
            channel = await connection.channel()
            exchange = await channel.declare_exchange(name, "fanout", auto_delete=True)
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange)
            await queue.consume(got.put, no_ack=True)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            await back.wait()
            with Pika(server.amqp) as publisher:
                publisher.publish(name, "", b"again", mandatory=True)
            assert (await got.get()).body == b"again"

    asyncio.run(asyncio.wait_for(scenario(), WAIT_SECONDS))


# Many processes

WORKER = """
import sys, pika
url, queue, prefetch = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()
channel.basic_qos(prefetch_count=int(prefetch))
def work(channel, method, properties, body):
    if body == b"end":
        channel.basic_cancel(method.consumer_tag)
    else:
        print(int(body), int(method.redelivered))
    channel.basic_ack(method.delivery_tag)
print("ready", flush=True)
sys.stdin.readline()
channel.basic_consume(queue, work)
print("consuming", flush=True)
channel.start_consuming()
connection.close()
"""


@contextlib.contextmanager
def workers(url, queue, prefetch):
    """Ten processes that consume, from one moment on, and end each by the message "end"."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", WORKER, url, queue, str(prefetch)]
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, text=True, **pipes))
            for _ in range(WORKERS)
        ]
        for worker in started:
            assert worker.stdout.readline() == "ready\n"
        for worker in started:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in started:
            assert worker.stdout.readline() == "consuming\n"
        yield started


def shares(started):
    """How many jobs each worker did; each job was done once."""
    done = [[line.split() for line in worker.stdout] for worker in started]
    assert [worker.wait() for worker in started] == [0] * WORKERS
    assert Counter(int(job) for share in done for job, _ in share) == Counter(range(JOBS))
    assert not any(int(redelivered) for share in done for _, redelivered in share)
    return [len(share) for share in done]


def fill(client, queue):
    for number in range(JOBS):
        client.publish("", queue, b"%d" % number, delivery_mode=2)
    for _ in range(WORKERS):
        client.publish("", queue, b"end")


@pytest.mark.timeout(180)
def test_ten_processes_share_ten_thousand_jobs_evenly_each_once(amqp_url, pika_client, name):
    pika_client.declare_queue(name, durable=True)
    with workers(amqp_url, name, prefetch=0) as started:
        with Pika(amqp_url, confirms=False) as publisher:
            fill(publisher, name)
        assert shares(started) == [JOBS // WORKERS] * WORKERS


@pytest.mark.timeout(180)
def test_ten_processes_drain_a_full_queue_and_none_is_left_without(amqp_url, pika_client, name):
    pika_client.declare_queue(name, durable=True)
    with Pika(amqp_url, confirms=False) as publisher:
        fill(publisher, name)
    pika_client.await_count(name, JOBS + WORKERS)
    with workers(amqp_url, name, prefetch=10) as started:
        assert min(shares(started)) > 0
