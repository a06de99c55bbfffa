"""The Celery application of test_amqp_celery.py, as its workers and the test import it.

Celery's settings are its defaults; CELERY_BROKER and CELERY_RESULTS say where, and CELERY_QUORUM=1 asks for quorum
queues in the two words that Celery documents.
"""

from __future__ import annotations

import os
import time

from celery import Celery
from celery.signals import worker_ready


def application(broker: str, results: str, *, quorum: bool = False) -> Celery:
    app = Celery("tests", broker=broker, backend=results)
    if quorum:
        app.conf.task_default_queue = "celery-quorum"
        app.conf.task_default_queue_type = "quorum"
        app.conf.task_default_exchange_type = "topic"
    register(app)
    return app


def register(app: Celery) -> None:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    @app.task(name="total")
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task(name="where", bind=True)
    def where(self) -> str:
        return self.request.hostname

    @app.task(name="moment")
    def moment() -> float:
        return time.time()

    @app.task(name="flaky", bind=True, max_retries=5)
    def flaky(self, failures: int, countdown: float) -> int:
        if self.request.retries < failures:
            raise self.retry(countdown=countdown)
        return self.request.retries

    @app.task(
        name="hopeless",
        bind=True,
        autoretry_for=(ValueError,),
        max_retries=2,
        default_retry_delay=0.2,  # the worker says RETRY after it sent the task again
    )
    def hopeless(self) -> None:
        raise ValueError("no use")

    @app.task(name="die", bind=True, acks_late=True, reject_on_worker_lost=True)
    def die(self) -> str:
        """Take the whole worker along, at first."""
        if not self.request.delivery_info["redelivered"]:
            os.kill(os.getpid(), 9)
        return self.request.hostname


@worker_ready.connect
def say_ready(**_: object) -> None:
    os.write(1, b"ready\n")  # sys.stdout is the worker's log by now


if broker := os.environ.get("CELERY_BROKER"):
    app = application(
        broker, os.environ["CELERY_RESULTS"], quorum=bool(os.environ.get("CELERY_QUORUM"))
    )
