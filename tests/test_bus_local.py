"""What holds of a broker in the same process only."""

from __future__ import annotations

import subprocess
import sys
import threading

import psutil
import pytest

import hubbub
from bus_backends import WAIT, Box
from hubbub import Broker
from hubbub.log.disk import DiskLog
from hubbub.log.files import FileSystem
from hubbub.model.errors import DataDirectoryLockedError, StorageError


def sockets():
    return [c for c in psutil.Process().net_connections(kind="all") if c.family.name != "AF_UNIX"]


def test_the_observer_pattern_needs_neither_socket_nor_thread():
    before, threads = sockets(), threading.active_count()
    with Broker() as broker:
        box = Box()
        broker.subscribe("t", box)
        broker.subscribe("t.>", box)
        broker.publish("t", b"x")
        broker.create_topic("stored")
        broker.publish("stored", b"x")
        assert box.values(1) == [b"x"]
        assert sockets() == before
        assert threading.active_count() == threads


def test_importing_the_package_loads_nothing_of_it():
    program = "import sys, hubbub; print([m for m in sys.modules if m.startswith('hubbub.')])"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_program_without_coroutines_does_not_load_asyncio():
    program = (
        "import sys, hubbub; b = hubbub.Broker(); b.create_topic('t');"
        "b.subscribe('t', print); b.publish('t', None); print('asyncio' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines() == ["<Message t>", "False"]


def test_every_public_name_is_there():
    assert set(hubbub.__all__) <= set(dir(hubbub))
    assert all(getattr(hubbub, name) is not None for name in hubbub.__all__)
    with pytest.raises(AttributeError):
        _ = hubbub.nothing


def test_handlers_run_in_the_publishers_thread_in_the_order_they_subscribed():
    order = []
    with Broker() as broker:
        for pattern in ("a.>", "a.b", "*.b", "a.b"):
            broker.subscribe(
                pattern, lambda _, name=pattern: order.append((name, threading.get_ident()))
            )
        broker.publish("a.b", b"x")
    assert order == [(name, threading.get_ident()) for name in ("a.>", "a.b", "*.b", "a.b")]


@pytest.mark.parametrize("is_stored", [False, True])
def test_observers_share_the_published_object_and_encode_it_at_most_once(is_stored):
    event, seen = {"a": [1, 2]}, []
    with Broker() as broker:
        if is_stored:
            broker.create_topic("t")
        broker.subscribe("t", seen.append)
        broker.subscribe("t", seen.append)
        broker.publish("t", event)
    first, second = seen
    assert first is second
    assert first.payload is event
    assert first.value is second.value
    assert first.json() == event
    assert first.json() is not event
    assert first.json() is first.json()


def test_what_nobody_asks_the_bytes_of_may_be_any_object():
    event, seen = object(), []
    with Broker() as broker:
        broker.subscribe("t", lambda message: seen.append(message.payload))
        broker.publish("t", event)
        assert seen == [event]
        broker.create_topic("t")
        with pytest.raises(TypeError):
            broker.publish("t", event)


def test_a_subscriber_unsubscribed_by_an_earlier_one_gets_nothing_of_that_message():
    with Broker() as broker:
        box = Box()
        broker.subscribe("t", lambda _: later.unsubscribe())
        later = broker.subscribe("t", box)
        broker.publish("t", b"x")
        assert box.is_empty()


def test_topics_messages_and_groups_are_there_again_after_a_restart(tmp_path):
    with Broker(tmp_path) as broker:
        broker.create_topic("t", partitions=2)
        subscription = broker.subscribe("t", group="g")
        for number in range(4):
            broker.publish("t", number, key=str(number))
        done = subscription.get(WAIT)
        done.ack()
    with Broker(tmp_path) as broker:
        assert broker.lag("g") == 3
        replay = broker.subscribe("t", start="beginning", limit=4)
        assert sorted(message.json() for message in replay) == [0, 1, 2, 3]
        rest = broker.subscribe("t", group="g")
        got = sorted(rest.get(WAIT).json() for _ in range(3))
        assert got == sorted({0, 1, 2, 3} - {done.json()})


def test_a_directory_belongs_to_one_broker_at_a_time(tmp_path):
    with Broker(tmp_path), pytest.raises(DataDirectoryLockedError):
        Broker(tmp_path)
    Broker(tmp_path).close()


class CountingFiles(FileSystem):
    """Counts syncs, and holds them up while ``gate`` is not set."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.syncs = 0
        self.failing = False

    def sync(self, file):
        self.gate.wait(WAIT)
        self.syncs += 1
        if self.failing:
            raise OSError(5, "the disk is on fire")
        super().sync(file)


@pytest.fixture
def files(monkeypatch, tmp_path):
    """The files below every broker that is opened on a directory."""
    counting = CountingFiles()
    monkeypatch.setattr("hubbub.log.disk.DiskLog", lambda path: DiskLog(path, filesystem=counting))
    return counting


def test_many_publishers_share_one_sync(files, tmp_path):
    with Broker(tmp_path) as broker:
        broker.create_topic("t")
        box = Box()
        broker.subscribe("t", box)
        before = files.syncs
        files.gate.clear()
        threads = [threading.Thread(target=broker.publish, args=("t", b"x")) for _ in range(32)]
        for thread in threads:
            thread.start()
        box.take(32)  # all are appended, none is durable
        files.gate.set()
        for thread in threads:
            thread.join()
        assert files.syncs - before <= 4
        assert broker.topics()[0].messages == 32


def test_a_publish_returns_only_after_the_sync(files, tmp_path):
    with Broker(tmp_path) as broker:
        broker.create_topic("t")
        files.gate.clear()
        pending = broker.publish_soon("t", b"x")
        assert not pending.done()
        files.gate.set()
        assert pending.result(WAIT).stored[0].offset == 0


def test_a_failing_disk_fails_the_publish(files, tmp_path):
    with Broker(tmp_path) as broker:
        broker.create_topic("t")
        files.failing = True
        with pytest.raises(StorageError):
            broker.publish("t", b"x")
        with pytest.raises(StorageError):
            broker.publish_soon("t", b"x")


def test_closing_waits_for_the_handler_at_work(tmp_path):
    started, release, finished = threading.Event(), threading.Event(), threading.Event()
    broker = Broker(tmp_path)

    def work(_message):
        started.set()
        release.wait(WAIT)
        finished.set()

    broker.subscribe("t", work, group="g")
    broker.publish("t", b"x")
    assert started.wait(WAIT)
    threading.Timer(0.01, release.set).start()
    broker.close()
    assert finished.is_set()
    with Broker(tmp_path) as again:
        assert again.lag("g") == 0


def test_a_handler_may_close_the_broker():
    broker, closed = Broker(), threading.Event()

    def work(_message):
        broker.close()
        closed.set()

    broker.subscribe("t", work, group="g")
    broker.publish("t", b"x")
    assert closed.wait(WAIT)


def test_a_slow_iteration_drops_what_it_has_no_room_for_and_counts_it(monkeypatch, caplog):
    monkeypatch.setattr("hubbub.bus.mailbox.Mailbox.__init__.__defaults__", (10,))
    with Broker() as broker:
        subscription = broker.subscribe("t")
        for number in range(15):
            broker.publish("t", number)
        assert [subscription.get(WAIT).json() for _ in range(10)] == list(range(10))
        assert subscription.dropped == 5
        assert caplog.text.count("too slow") == 1
