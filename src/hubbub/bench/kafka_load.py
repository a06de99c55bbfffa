"""What a Kafka client does to a broker: `python -m hubbub.bench.kafka_load` reads a KafkaTask.

confluent-kafka is the client, as in most Python programs that care for speed; it is nearer to its
own limit than to that of any broker here.
"""

from __future__ import annotations

import sys
import time
from typing import Literal

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

# Messages that wait in the client; its default is 100,000.
_QUEUE_MESSAGES = 500_000
_FLUSH_SECONDS = 30
# What a pass of consuming reads, over and over: librdkafka's mock broker keeps no more than 5 MB.
_PASS_MESSAGES = 40_000
_CONSUME_AT_ONCE = 5_000
_FETCH_WAIT_MS = 5
_LINGER_MS = 5
# As often as the loop looks at the clock.
_PRODUCE_AT_ONCE = 1_000


class KafkaTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, for how long; ``size`` is that of the values, in bytes."""

    address: str
    work: Literal["produce", "consume", "latency"]
    topic: str
    size: int = 100
    warmup: float = 0.3
    seconds: float = 2.0


def produce(task: KafkaTask) -> dict[str, float]:
    """Messages acknowledged a second, with acks=all. Raises KafkaException."""
    failures: list[object] = []
    producer = _producer(task, _LINGER_MS)
    value = bytes(task.size)

    def delivered(error: object, _message: object) -> None:
        failures.append(error)

    sent = 0

    def send_until(deadline: float) -> tuple[int, float]:
        nonlocal sent
        while time.perf_counter() < deadline:
            for _ in range(_PRODUCE_AT_ONCE):
                try:
                    producer.produce(task.topic, value, partition=0, on_delivery=delivered)
                except BufferError:
                    producer.poll(0.001)
                    continue
                sent += 1
            producer.poll(0)
        return sent - len(producer), time.perf_counter()

    begin, began = send_until(time.perf_counter() + task.warmup)
    end, ended = send_until(time.perf_counter() + task.seconds)
    left = producer.flush(_FLUSH_SECONDS)
    if failures or left:
        raise KafkaException(f"{len(failures) + left} messages failed: {failures[:1]}")
    return {"produced": (end - begin) / (ended - began)}


def _producer(task: KafkaTask, linger_ms: int) -> Producer:
    return Producer(
        {
            "bootstrap.servers": task.address,
            "acks": "all",
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": _QUEUE_MESSAGES,
            "delivery.report.only.error": linger_ms > 0,
        }
    )


def consume(task: KafkaTask) -> dict[str, float]:
    """Messages consumed a second, from the beginning, again and again. Raises KafkaException."""
    consumer = Consumer(
        {
            "bootstrap.servers": task.address,
            "group.id": "bench",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            # A fetch that waits at the end of a pass would hold up the next one.
            "fetch.wait.max.ms": _FETCH_WAIT_MS,
            "fetch.queue.backoff.ms": _FETCH_WAIT_MS,
        }
    )
    try:
        start = TopicPartition(task.topic, 0, _fill(task, consumer))
        _consume_pass(consumer, start)
        count, began = 0, time.perf_counter()
        while time.perf_counter() < began + task.seconds:
            count += _consume_pass(consumer, start)
        return {"consumed": count / (time.perf_counter() - began)}
    finally:
        consumer.close()


def _fill(task: KafkaTask, consumer: Consumer) -> int:
    """Publish what a pass reads; its first offset."""
    producer = _producer(task, _LINGER_MS)
    for _ in range(_PASS_MESSAGES):
        producer.produce(task.topic, bytes(task.size), partition=0)
    producer.flush(_FLUSH_SECONDS)
    partition = TopicPartition(task.topic, 0)
    _, end = consumer.get_watermark_offsets(partition, timeout=_FLUSH_SECONDS)
    return int(end) - _PASS_MESSAGES


def _consume_pass(consumer: Consumer, start: TopicPartition) -> int:
    consumer.assign([start])
    count = 0
    while count < _PASS_MESSAGES:
        messages = consumer.consume(_CONSUME_AT_ONCE, timeout=_FLUSH_SECONDS)
        failed = next((message.error() for message in messages if message.error()), None)
        if failed or not messages:
            raise KafkaException(failed or "nothing came any more")
        count += len(messages)
    return count


def latency(task: KafkaTask) -> dict[str, float]:
    """Percentiles of one message's acknowledgement, in microseconds. Raises KafkaException."""
    from hubbub.bench.histogram import Histogram

    histogram = Histogram()
    producer = _producer(task, 0)
    acknowledged: list[object] = []
    counted_from = time.perf_counter() + task.warmup
    while (began := time.perf_counter_ns()) / 1e9 < counted_from + task.seconds:
        producer.produce(
            task.topic, bytes(task.size), on_delivery=lambda error, _: acknowledged.append(error)
        )
        while not acknowledged:
            producer.poll(_FLUSH_SECONDS)
        if error := acknowledged.pop():
            raise KafkaException(error)
        if began / 1e9 >= counted_from:
            histogram.record(time.perf_counter_ns() - began)
    return {f"ack p{percent}": histogram.percentile(percent) / 1000 for percent in (50, 99)}


_WORK = {"produce": produce, "consume": consume, "latency": latency}


def main() -> None:
    """Do what standard input says."""
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=KafkaTask)
    try:
        figures = _WORK[task.work](task)
    except KafkaException as error:
        sys.exit(f"{error}")
    sys.stdout.buffer.write(msgspec.json.encode(figures))


if __name__ == "__main__":
    main()
