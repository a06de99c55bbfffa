"""Celery as it comes: an application, two workers, and what it does with RabbitMQ."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import chain, chord, group
from celery.exceptions import TaskRevokedError

from celery_app import application
from clients import WAIT_SECONDS

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

REPLIES = {"reply": True, "timeout": WAIT_SECONDS, "limit": 2}  # of each worker
HERE = Path(__file__).parent


class Workers:
    """An application and the worker processes that were started for it."""

    def __init__(self, broker, directory, *, quorum=False):
        (directory / "results").mkdir()
        self.directory = directory
        self._environment = {
            **os.environ,
            "CELERY_BROKER": broker,
            "CELERY_RESULTS": f"file://{directory / 'results'}",
            "CELERY_QUORUM": "1" if quorum else "",
            "PYTHONPATH": str(HERE),
        }
        self.app = application(broker, self._environment["CELERY_RESULTS"], quorum=quorum)
        self.processes = {}

    def start(self, name, *options):
        log = (self.directory / f"{name}.log").open("w")
        with log:
            process = subprocess.Popen(
                [*self._command("worker", "-n", name, "--loglevel", "info"), *options],
                env=self._environment, cwd=self.directory, text=True,
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.processes[name] = process
        while line := process.stdout.readline():
            if line == "ready\n":
                return process
        raise AssertionError((self.directory / f"{name}.log").read_text())

    def _command(self, *words):
        return [sys.executable, "-m", "celery", "-A", "celery_app", *words]

    def run(self, *words):
        """What a command of Celery prints."""
        return subprocess.run(
            self._command(*words), env=self._environment, cwd=self.directory, text=True,
            capture_output=True, check=True, timeout=WAIT_SECONDS,
        ).stdout  # fmt: skip

    def send(self, name, *args, **options):
        return self.app.tasks[name].apply_async(args, **options)

    def result(self, asked):
        return asked.get(timeout=60, interval=0.02)

    def stop(self):
        self.app.close()
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            process.wait(WAIT_SECONDS)
            process.stdout.close()


@contextlib.contextmanager
def running(*args, **options):
    workers = Workers(*args, **options)
    try:
        yield workers
    finally:
        workers.stop()


def celery_url(amqp_url):
    return amqp_url.removesuffix("%2F") + "/"  # as Celery's documentation writes it


@pytest.fixture(scope="module")
def celery(amqp_url, tmp_path_factory):
    """Two workers: one with a pool of processes, one that works itself."""
    with running(celery_url(amqp_url), tmp_path_factory.mktemp("celery")) as workers:
        workers.start("pool@test", "--pool", "prefork", "--concurrency", "2")
        workers.start("solo@test", "--pool", "solo")
        yield workers


def test_tasks_are_done_by_both_workers_and_have_their_results(celery):
    asked = [celery.send("add", number, 1) for number in range(30)]
    assert [celery.result(one) for one in asked] == [number + 1 for number in range(30)]
    hosts = {celery.result(one) for one in [celery.send("where") for _ in range(40)]}
    assert hosts == {"pool@test", "solo@test"}


def test_a_task_that_fails_is_tried_again(celery):
    assert celery.result(celery.send("flaky", 3, 0.05)) == 3
    with pytest.raises(ValueError, match="no use"):
        celery.result(celery.send("hopeless"))


def test_a_task_waits_for_its_time(celery):
    begin = time.time()
    countdown = celery.send("moment", countdown=1)
    eta = celery.send("moment", eta=datetime.now(UTC) + timedelta(seconds=1.5))
    at_once = celery.send("moment")
    assert celery.result(countdown) >= begin + 1
    assert celery.result(eta) >= begin + 1.5
    assert celery.result(at_once) < celery.result(countdown)


def test_an_expired_task_is_not_done(celery):
    asked = celery.send("add", 1, 1, countdown=0.5, expires=0.1)
    with pytest.raises(TaskRevokedError):
        celery.result(asked)


def test_chains_groups_and_chords(celery):
    add, total = celery.app.tasks["add"], celery.app.tasks["total"]
    assert celery.result(chain(add.s(1, 2), add.s(3), add.s(4))()) == 10
    assert celery.result(group(add.s(n, n) for n in range(10))()) == [2 * n for n in range(10)]
    assert celery.result(chord(add.s(n, n) for n in range(10))(total.s())) == 90
    nested = chain(chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(100))
    assert celery.result(nested()) == 106


def test_workers_answer_who_is_there(celery):
    answers = celery.app.control.ping(timeout=WAIT_SECONDS, limit=2)
    assert sorted(name for answer in answers for name in answer) == ["pool@test", "solo@test"]
    said = celery.run("inspect", "ping", "--timeout", "2")
    assert "pool@test: OK" in said
    assert "solo@test: OK" in said
    assert "2 nodes online." in said


def test_workers_are_asked_and_told_things_one_by_one(celery):
    inspect = celery.app.control.inspect(["solo@test"], timeout=WAIT_SECONDS, limit=1)
    assert "add" in inspect.registered()["solo@test"]
    assert [queue["name"] for queue in inspect.active_queues()["solo@test"]] == ["celery"]
    waiting = celery.send("add", 1, 1, countdown=60)
    deadline = time.monotonic() + WAIT_SECONDS
    everybody = celery.app.control.inspect(timeout=WAIT_SECONDS, limit=2)
    while not any(everybody.scheduled().values()):
        assert time.monotonic() < deadline
    waiting.revoke()
    asked = celery.send("moment", countdown=1)
    celery.app.control.revoke(asked.id, **REPLIES)
    with pytest.raises(TaskRevokedError):
        celery.result(asked)


def test_a_worker_takes_another_queue_when_told_to(celery):
    celery.app.control.add_consumer("other", destination=["solo@test"], **REPLIES | {"limit": 1})
    assert celery.result(celery.send("where", queue="other")) == "solo@test"
    celery.app.control.cancel_consumer("other", destination=["solo@test"], **REPLIES | {"limit": 1})


def test_what_happens_can_be_watched(celery):
    celery.app.control.enable_events(**REPLIES)
    seen = []
    with celery.app.connection_for_read() as connection:
        receiver = celery.app.events.Receiver(connection, handlers={"*": seen.append})

        def until(kind, uuid):
            return any(one["type"] == kind and one["uuid"] == uuid for one in seen if "uuid" in one)

        with receiver.consumer_context() as (listening, _, _):
            asked = celery.send("add", 1, 1)
            while not until("task-succeeded", asked.id):
                listening.drain_events(timeout=WAIT_SECONDS)
    celery.app.control.disable_events(**REPLIES)


def test_a_task_whose_worker_was_killed_is_done_by_the_other(celery):
    """acks_late: what a worker did not finish goes back to its queue with the connection."""
    lost = celery.start("lost@test", "--pool", "solo", "--queues", "dangerous")
    asked = celery.send("die", queue="dangerous")
    assert lost.wait(WAIT_SECONDS) == -signal.SIGKILL
    celery.start("heir@test", "--pool", "solo", "--queues", "dangerous")
    assert celery.result(asked) == "heir@test"


def test_quorum_queues_delay_tasks_in_the_broker(amqp_url, tmp_path):
    """Celery's native delayed delivery: 28 queues, one for each bit of the seconds to wait."""
    with running(celery_url(amqp_url), tmp_path, quorum=True) as workers:
        workers.start("one@quorum", "--pool", "solo")
        workers.start("two@quorum", "--pool", "prefork", "--concurrency", "1")
        begin = time.time()
        later, at_once = workers.send("moment", countdown=3), workers.send("moment")
        both = workers.app.control.inspect(list(workers.processes), timeout=WAIT_SECONDS, limit=2)
        waiting = both.scheduled()
        assert waiting == {"one@quorum": [], "two@quorum": []}  # it is not with a worker
        assert workers.result(at_once) < begin + 3
        assert workers.result(later) >= begin + 2  # full seconds, of which one has begun
        assert workers.result(workers.send("flaky", 1, 1)) == 1
