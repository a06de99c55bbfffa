"""kill -9 at random moments: no confirmed message is lost, and none acknowledged comes again."""

from __future__ import annotations

import contextlib
import random
import threading
import time

import pika
import pytest

from amqp_clients import Pika
from serving import ServerProcess

pytestmark = pytest.mark.server

QUEUES = {
    "crash.classic": {},
    "crash.quorum": {"x-queue-type": "quorum"},
}
RETRY_SECONDS = 0.02
TURN_SECONDS = 0.005
BACKLOG = 200  # messages that wait in each queue, so that a crash has something to lose
UNANSWERED = 50  # how many publishes may wait for their confirms
PORT_TRIES = 500
LOST = (pika.exceptions.AMQPError, OSError)


class Ledger:
    """What the clients of one queue know: numbers that were confirmed, and numbers that were settled."""

    def __init__(self) -> None:
        self.sent = 0
        self.confirmed: set[int] = set()
        self.settled: set[int] = set()  # acknowledged, and the server answered something afterwards
        self.received: set[int] = set()
        self.wrong: list[str] = []

    @property
    def backlog(self) -> int:
        return len(self.confirmed) - len(self.received)

    def receive(self, number: int) -> None:
        self.received.add(number)
        if number in self.settled:
            self.wrong.append(f"{number} came again, acknowledged as it was")


class Load(threading.Thread):
    """Connects again and again until it is told to finish; ``work`` uses one connection until it is lost."""

    def __init__(self, server: ServerProcess, queue: str, ledger: Ledger) -> None:
        super().__init__(daemon=True)
        self.url = server.amqp
        self.queue = queue
        self.ledger = ledger
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.is_set():
            with contextlib.suppress(*LOST):
                connection = pika.BlockingConnection(pika.URLParameters(self.url))
                channel = connection.channel()
                self.work(connection, channel)
                connection.close()
            self.stopping.wait(RETRY_SECONDS)

    def finish(self) -> None:
        self.stopping.set()
        self.join()


class Publishing(Load):
    """Persistent messages with confirms, some at a time."""

    def work(self, connection, channel) -> None:
        waiting: dict[int, int] = {}
        channel._impl.confirm_delivery(
            lambda frame: self.answered(frame.method, waiting), callback=lambda _: None
        )
        persistent = pika.BasicProperties(delivery_mode=2)
        tag = 0
        while not self.stopping.is_set() or waiting:
            if len(waiting) < UNANSWERED and not self.stopping.is_set():
                tag += 1
                waiting[tag] = self.ledger.sent
                self.ledger.sent += 1
                body = b"%d" % waiting[tag]
                channel._impl.basic_publish("", self.queue, body, persistent)
            connection.process_data_events(0 if len(waiting) < UNANSWERED else TURN_SECONDS)

    def answered(self, method, waiting: dict[int, int]) -> None:
        tags = [method.delivery_tag]
        if method.multiple:
            tags = [tag for tag in waiting if tag <= method.delivery_tag]
        numbers = [waiting.pop(tag) for tag in tags]
        if isinstance(method, pika.spec.Basic.Ack):
            self.ledger.confirmed.update(numbers)


class Consuming(Load):
    """Acknowledges what it gets, and asks something now and then: an answer proves that the server knows."""

    def work(self, connection, channel) -> None:
        asked: set[int] = set()
        channel.basic_qos(prefetch_count=20)
        for method, _, body in channel.consume(self.queue, inactivity_timeout=0.1):
            while self.ledger.backlog < BACKLOG and not self.stopping.is_set():
                connection.process_data_events(TURN_SECONDS)
            if method is not None:
                self.ledger.receive(int(body))
                channel.basic_ack(method.delivery_tag)
                asked.add(int(body))
            if method is None or len(asked) == 10:
                channel.queue_declare(self.queue, passive=True)  # answered behind what came before
                self.ledger.settled |= asked
                asked = set()
            if self.stopping.is_set():
                break
        channel.cancel()


def check(server: ServerProcess, queue: str, ledger: Ledger) -> None:
    """Take what is left; then everything confirmed was received, and nothing settled came again."""
    with Pika(server.amqp) as client:
        for got in client.get_all(queue):
            ledger.receive(int(got.body))
    assert ledger.wrong == []
    assert ledger.confirmed - ledger.received == set()


def start_again(server: ServerProcess) -> None:
    """Start; a client that connects may hold one of the ports for a moment, as its own end."""
    for _ in range(PORT_TRIES):
        try:
            server.start()
        except AssertionError as error:
            if "the port is taken" not in str(error):
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return
    pytest.fail("a port stays taken")


def run_rounds(directory, rounds: int, seed: int) -> dict[str, Ledger]:
    rng = random.Random(seed)
    server = ServerProcess(directory).start()
    with Pika(server.amqp) as client:
        for queue, arguments in QUEUES.items():
            client.declare_queue(queue, durable=True, **arguments)
    ledgers = {queue: Ledger() for queue in QUEUES}
    loads = [
        kind(server, queue, ledger)
        for queue, ledger in ledgers.items()
        for kind in (Publishing, Consuming)
    ]
    for load in loads:
        load.start()
    try:
        for _ in range(rounds):
            time.sleep(rng.uniform(0.1, 0.6))  # the moment of the crash is the point of the test
            server.kill()
            start_again(server)
        time.sleep(0.1)
        for load in loads:
            load.finish()
        for queue, ledger in ledgers.items():
            check(server, queue, ledger)
    finally:
        for load in loads:
            load.stopping.set()
        server.stop()
    return ledgers


@pytest.mark.timeout(120)
def test_a_few_crashes_lose_nothing_confirmed_and_repeat_nothing_acknowledged(tmp_path):
    for ledger in run_rounds(tmp_path, rounds=3, seed=1).values():
        assert len(ledger.confirmed) > 30
        assert len(ledger.settled) > 30


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_hundred_crashes_lose_nothing_confirmed_and_repeat_nothing_acknowledged(tmp_path):
    for ledger in run_rounds(tmp_path, rounds=100, seed=2).values():
        assert len(ledger.confirmed) > 3000
        assert len(ledger.settled) > 3000
