"""Who publishes by another protocol hears that it is safe when AMQP's durable queues have it on disk."""

from __future__ import annotations

import pytest

from amqp_machine import Machine, no_room
from durable_publishers import SURE, UNSURE
from hubbub.log.batch import scan
from hubbub.model.errors import StorageError

every_publisher = pytest.mark.parametrize("publisher", SURE)
KINDS = ("classic", "quorum", "stream")
EVERYTHING = 1 << 30


@pytest.fixture
def machine():
    return Machine()


@pytest.mark.parametrize("kind", KINDS)
@every_publisher
def test_a_message_is_acknowledged_when_a_durable_queue_has_it_on_disk(machine, publisher, kind):
    machine.declare(kind=kind)
    client = machine.publisher(publisher)
    client.publish(b"x")
    machine.pass_turns()
    machine.sync_all_but(machine.queue_log())
    assert client.heard() == []
    machine.queue_log().sync()
    assert client.heard() == [True]


@every_publisher
def test_every_durable_queue_is_waited_for_and_transient_ones_are_not(machine, publisher):
    names = ("1", "2", "transient")
    for name in names:
        machine.declare(name, durable=name != "transient")
        machine.bind(name)
    client = machine.publisher(publisher)
    client.publish(b"x")
    machine.sync_all_but(machine.queue_log("2"))
    assert client.heard() == []
    machine.queue_log("2").sync()
    assert client.heard() == [True]
    assert [machine.messages(name) for name in names] == [1, 1, 1]


@every_publisher
def test_what_was_acknowledged_is_in_the_queue_after_a_power_cut(machine, publisher):
    machine.declare()
    client = machine.publisher(publisher)
    client.publish(b"1", b"2")
    machine.log.sync()
    assert all(client.heard())
    client.publish(b"3")
    found = Machine(machine.log.survivor(power_cut=True))
    assert found.messages() == 2


@every_publisher
def test_where_only_transient_queues_have_it_nothing_waits_for_them(machine, publisher):
    machine.declare(durable=False)
    machine.declare("elsewhere")  # durable, and for another address
    client = machine.publisher(publisher)
    client.publish(b"x")
    assert not machine.queue_log("elsewhere").is_awaited
    if not publisher.startswith("kafka"):  # where the topic has it
        assert client.heard() == [True]
    machine.sync_all_but(machine.queue_log("elsewhere"))
    machine.pass_turns()
    assert machine.messages() == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("publisher", UNSURE)
def test_who_wants_no_acknowledgement_waits_for_no_queue(machine, publisher, kind):
    machine.declare(kind=kind)
    client = machine.publisher(publisher)
    client.publish(b"x")
    machine.pass_turns()
    assert not machine.queue_log().is_awaited
    assert client.heard() == []


@pytest.mark.parametrize("publisher", ["mqtt-qos1", "mqtt-qos2", "redis", "kafka-all"])
def test_a_burst_is_one_batch_in_the_log_of_the_queue(machine, publisher):
    machine.declare()
    client = machine.publisher(publisher)
    client.publish(*[b"x"] * 100)
    machine.log.sync()
    assert all(client.heard())
    assert [info.record_count for info in scan(machine.queue_log().read(0, EVERYTHING))] == [100]


@pytest.mark.parametrize("kind", KINDS)
@every_publisher
def test_who_published_hears_that_the_sync_of_a_queue_failed(machine, publisher, kind):
    machine.declare(kind=kind)
    client = machine.publisher(publisher)
    client.publish(b"x")
    machine.sync_all_but(machine.queue_log())
    machine.queue_log().fail(StorageError("no"))
    assert client.heard() == [False]


@pytest.mark.parametrize("kind", KINDS)
@every_publisher
def test_a_full_disk_is_heard_of_until_there_is_room_again(machine, publisher, kind, monkeypatch):
    machine.declare(kind=kind)
    client = machine.publisher(publisher)
    with monkeypatch.context() as patch:
        patch.setattr(machine.queue_log(), "append", no_room)
        client.publish(b"lost")
        machine.sync_all_but()
        assert client.heard() == [False]
    machine.pass_turns()
    client = machine.publisher(publisher) if publisher.startswith("mqtt") else client
    client.publish(b"taken")
    machine.log.sync()
    assert client.heard() == [True]


@every_publisher
def test_what_a_full_queue_refuses_is_the_queues_own_affair(machine, publisher):
    machine.declare(**{"x-max-length": 1, "x-overflow": "reject-publish"})
    client = machine.publisher(publisher)
    for value in (b"taken", b"refused"):
        client.publish(value)
        machine.log.sync()
        assert client.heard() == [True]
    assert machine.messages() == 1
