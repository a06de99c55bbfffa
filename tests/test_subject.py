"""The Observer pattern's Subject: as the book has it, and further."""

from __future__ import annotations

import pytest

from bus_backends import WAIT, Box
from hubbub import Broker, Subject
from loopback_server import serving

TEXTBOOK = """
class Subject:
    def __init__(self):
        self._observers = []

    def subscribe(self, observer):
        self._observers.append(observer)

    def publish(self, event):
        for each in self._observers:
            each.notify(event)
"""

PROGRAM = """
class Mailer:
    def notify(self, event):
        send_email(event)

class Meter:
    def notify(self, event):
        record_metric(event)

subject = Subject()
subject.subscribe(Mailer())
subject.subscribe(Meter())
subject.publish({"type": "order_placed"})
"""


def run(program):
    calls = []
    exec(
        program,
        {
            "send_email": lambda event: calls.append(("send_email", event)),
            "record_metric": lambda event: calls.append(("record_metric", event)),
        },
    )
    return calls


def test_the_class_takes_the_place_of_the_textbooks():
    expected = run(TEXTBOOK + PROGRAM)
    assert expected == [
        ("send_email", {"type": "order_placed"}),
        ("record_metric", {"type": "order_placed"}),
    ]
    assert run("from hubbub import Subject\n" + PROGRAM) == expected


class Recorder:
    def __init__(self):
        self.events = []

    def notify(self, event):
        self.events.append(event)


def test_observers_get_the_event_itself_until_they_unsubscribe():
    subject, stays, leaves = Subject(), Recorder(), Recorder()
    subject.subscribe(stays)
    subject.subscribe(leaves)
    events = [object(), None, {"a": 1}]
    subject.publish(events[0])
    subject.unsubscribe(leaves)
    subject.notify(events[1])
    subject.publish(events[2])
    assert stays.events == events
    assert leaves.events == events[:1]
    with pytest.raises(ValueError, match="no observer"):
        subject.unsubscribe(leaves)


def test_functions_observe_too_and_subscribe_decorates():
    subject, events = Subject(), []

    @subject.subscribe
    def observe(event):
        events.append(event)

    subject.publish(1)
    subject.unsubscribe(observe)
    subject.publish(2)
    assert events == [1]


def test_who_subscribes_twice_is_notified_twice():
    subject, recorder = Subject(), Recorder()
    subject.subscribe(recorder)
    subject.subscribe(recorder)
    subject.publish(1)
    subject.unsubscribe(recorder)
    subject.publish(2)
    assert recorder.events == [1, 1, 2]


def test_an_observer_that_raises_keeps_nobody_from_being_notified(caplog):
    subject, recorder = Subject(), Recorder()
    subject.subscribe(lambda event: event / 0)
    subject.subscribe(recorder)
    subject.publish(1)
    assert recorder.events == [1]
    assert "ZeroDivisionError" in caplog.text


def test_subjects_keep_apart():
    one, other, recorder = Subject(), Subject(), Recorder()
    one.subscribe(recorder)
    other.publish("not for you")
    assert recorder.events == []


def test_a_subject_reaches_whoever_subscribes_to_its_address():
    with Broker() as broker:
        subject, recorder, box = Subject(broker, "orders"), Recorder(), Box()
        subject.subscribe(recorder)
        broker.subscribe("orders", box)
        subject.publish({"n": 1})
        broker.publish("orders", {"n": 2})
        assert recorder.events == [{"n": 1}, {"n": 2}]
        assert [message.json() for message in box.take(2)] == recorder.events


def test_a_subject_reaches_other_processes_and_survives_a_restart(tmp_path):
    """The same observers; only where the broker is has changed."""
    with serving(tmp_path) as server:
        with Broker.connect(server.url) as broker:
            broker.create_topic("orders")
        there = Box()
        with Broker.connect(server.url) as broker:
            Subject(broker, "orders").subscribe(there)
            Subject(server.url, "orders").publish({"n": 1})
            assert there.take(1) == [{"n": 1}]
        server.stop()
        server.start()
        with Broker.connect(server.url) as broker:
            kept = broker.subscribe("orders", start="beginning").get(WAIT)
            assert kept.payload == {"n": 1}
