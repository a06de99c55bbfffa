"""What a row does to one contender, once."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec

from hubbub.bench import scaling
from hubbub.bench.disk import sync_times
from hubbub.bench.peers import HOST, STORED_SUBJECT
from hubbub.bench.shape import Outcome, Protocol, Shape, Task

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from hubbub.bench.peers import Broker
    from hubbub.bench.rows import Row

Figures = dict[str, float]
_Answer = TypeVar("_Answer")

# Starting, connecting 10,000 times and draining; no load itself runs for so long.
_PROCESS_SECONDS = 120.0
_WARMUP_SECONDS = 0.3
_CONSUMED_TOPIC = "bench.consumed"


class MeasuringError(Exception):
    """A run that measured nothing: messages were lost, or a broker or generator gave up."""


def measure(row: Row, broker: Broker, seconds: float) -> Figures:
    """The row's figures for one broker.

    Raises:
        MeasuringError: messages were lost or repeated, or the broker refused something.
    """
    try:
        return _measure(row, broker, seconds)
    except OSError as error:
        raise MeasuringError(str(error)) from error


def measure_disk(directory: Path, seconds: float) -> Figures:
    """The disk's own figures, where ``directory`` is. Raises MeasuringError."""
    try:
        return sync_times(directory, seconds)
    except OSError as error:
        raise MeasuringError(str(error)) from error


def _measure(row: Row, broker: Broker, seconds: float) -> Figures:
    protocol = cast("Protocol", row.protocol)
    match row.measure:
        case "load" | "table":
            assert row.shape is not None  # noqa: S101 - tests/test_bench_rows.py
            shape = msgspec.structs.replace(row.shape, seconds=seconds)
            beside: AbstractContextManager[None] = contextlib.nullcontext()
            if row.measure == "table":
                beside = scaling.subscriptions(broker, protocol, row.count)
            with beside:
                port = broker.ports[protocol]
                return figures_of(generate(HOST, port, shape, relay=broker.relay))
        case "subscribing":
            return scaling.subscription_rate(broker, protocol, row.count)
        case "connections":
            return scaling.idle_connections(broker, protocol, row.count)
        case "rest":
            return scaling.at_rest(broker)
        case "produce" | "consume" | "kafka latency":
            return _kafka(row, broker, seconds)


def generate(host: str, port: int, shape: Shape, *, relay: bool = False) -> Outcome:
    """Run a load against what listens there, in a process of its own.

    Raises:
        MeasuringError: messages were lost or repeated, or the generator failed.
    """
    task = Task(host=host, port=port, shape=shape, relay=relay)
    outcome = _child("generator", task, Outcome)
    if outcome.lost or outcome.duplicated:
        raise MeasuringError(
            f"{outcome.lost:,} messages lost, {outcome.duplicated:,} delivered twice"
        )
    return outcome


def figures_of(outcome: Outcome) -> Figures:
    """The numbers of an outcome, by the names that rows use."""
    figures = {
        "published": outcome.published,
        "delivered": outcome.delivered,
        "acknowledged": outcome.acknowledged,
        "cost": 1e9 / outcome.delivered if outcome.delivered else 0.0,
        "generator": outcome.processor,
    }
    for prefix, latency in (("", outcome.delivery), ("ack ", outcome.acknowledgement)):
        if latency is not None:
            figures[f"{prefix}p50"] = latency.p50
            figures[f"{prefix}p99"] = latency.p99
            figures[f"{prefix}p99.9"] = latency.p999
            figures[f"{prefix}max"] = latency.max
    return figures


def _kafka(row: Row, broker: Broker, seconds: float) -> Figures:
    work = row.measure.removeprefix("kafka ")
    task = {
        "address": f"{HOST}:{broker.ports['kafka']}",
        "work": work,
        "topic": _CONSUMED_TOPIC if work == "consume" else STORED_SUBJECT,
        "warmup": _WARMUP_SECONDS,
        "seconds": seconds,
    }
    return _child("kafka_load", task, Figures)


def _child(module: str, task: object, kind: type[_Answer]) -> _Answer:
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", f"hubbub.bench.{module}"],
            input=msgspec.json.encode(task),
            capture_output=True,
            timeout=_PROCESS_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasuringError(f"not done after {_PROCESS_SECONDS:.0f} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise MeasuringError(said[-1] if said else f"{module} exited {done.returncode}")
    return msgspec.json.decode(done.stdout, type=kind)
