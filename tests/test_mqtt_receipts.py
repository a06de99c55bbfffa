"""QoS 2 when the disk is slow, fails or loses power: what is not safe was not taken."""

from __future__ import annotations

import sys

import pytest

import mqtt_wire as wire
from amqp_machine import Machine, no_room
from durable_publishers import ADDRESS
from hubbub.log.batch import decode
from hubbub.model.address import Address
from hubbub.model.errors import StorageError
from hubbub.protocols.mqtt.listener import MqttListener
from mqtt_double import Client, here_only, kept
from mqtt_wire import V5, V311, Pubcomp, Pubrec

pytestmark = here_only
both_versions = pytest.mark.parametrize("version", [V311, V5])
both_places = pytest.mark.parametrize("place", ["topic", "queue"])
EVERYTHING = 1 << 30


class World(Machine):
    """Messages are stored in a topic, or by an observer: a durable queue of AMQP's."""

    def __init__(self, place, log=None):
        super().__init__(log)
        self.place = place
        self.mqtt = MqttListener(self.broker, {"sys_interval": 0})
        if log is None and place == "topic":
            self.broker.create_topic(Address(ADDRESS), 1)
        elif log is None:
            self.declare()
        self.log.sync()

    @property
    def store(self):
        if self.place == "queue":
            return self.queue_log()
        return self.broker.topics.get(Address(ADDRESS)).partitions[0].log

    def connect(self, version):
        client = Client(self.mqtt, version, "c", **kept(version))
        self.sync_all_but(self.store)
        return client

    def stored(self):
        if self.place == "queue":
            return self.messages()
        return len(decode(self.store.read(0, EVERYTHING)))

    def after(self, *, power_cut=True):
        return World(self.place, self.log.survivor(power_cut=power_cut))


def publish(client, packet_id=7, *, dup=False):
    client.send(
        wire.publish(ADDRESS, b"x", 2, packet_id=packet_id, dup=dup, version=client.version)
    )


def assert_taken_when_it_comes_again(world, version):
    """On a new connection, which is returned: once more it says that it was taken, and it is there once."""
    client = world.connect(version)
    publish(client, dup=True)
    world.log.sync()
    assert client.packets() == [Pubrec(7)]
    assert world.stored() == 1
    return client


@both_places
@both_versions
@pytest.mark.parametrize("reconnects", [False, True])
def test_what_is_published_again_is_acknowledged_when_it_is_safe(version, place, reconnects):
    world = World(place)
    client = world.connect(version)
    publish(client)
    if reconnects:
        client.drop()
        client = world.connect(version)
    publish(client, dup=True)
    world.sync_all_but(world.store)
    assert client.packets() == []
    world.store.sync()
    assert client.packets() == [Pubrec(7)] * (1 if reconnects else 2)
    assert world.stored() == 1


def test_a_client_that_repeats_each_message_with_the_next_makes_no_chain_of_them():
    world = World("topic")
    client = world.connect(V5)
    numbers = range(1, 2 * sys.getrecursionlimit())
    for number in numbers:
        again = {"packet_id": max(number - 1, 1), "dup": True}
        client.send(
            wire.publish(ADDRESS, b"x", 2, packet_id=number)
            + wire.publish(ADDRESS, b"x", 2, **again)
        )
    world.sync_all_but(world.store)
    assert client.packets() == []
    world.store.sync()
    assert {answer.packet_id for answer in client.packets()} == set(numbers)
    assert world.stored() == len(numbers)


@both_places
@both_versions
def test_what_a_full_disk_did_not_take_is_taken_when_it_comes_again(version, place, monkeypatch):
    world = World(place)
    client = world.connect(version)
    with monkeypatch.context() as patch:
        patch.setattr(world.store, "append", no_room)
        publish(client)
        world.log.sync()
        assert Pubrec(7) not in client.packets()
    client.drop()
    world.pass_turns()
    assert_taken_when_it_comes_again(world, version)


@both_places
@both_versions
def test_what_a_failed_sync_lost_is_not_called_taken_when_it_comes_again(version, place):
    world = World(place)
    client = world.connect(version)
    publish(client)
    world.sync_all_but(world.store)
    world.store.fail(StorageError("no"))
    assert Pubrec(7) not in client.packets()
    client.drop()
    client = world.connect(version)
    publish(client, dup=True)
    world.sync_all_but(world.store)
    assert client.packets() == []
    world.store.sync()
    assert client.packets() == [Pubrec(7)]


@both_places
@both_versions
def test_a_receipt_that_outlives_its_message_is_not_believed(version, place):
    world = World(place)
    publish(world.connect(version))
    world.sync_all_but(world.store)
    world = world.after()
    assert_taken_when_it_comes_again(world, version)


@both_places
@both_versions
@pytest.mark.parametrize("power_cut", [False, True])
def test_a_message_that_was_acknowledged_is_not_taken_twice(version, place, power_cut):
    world = World(place)
    client = world.connect(version)
    publish(client)
    world.log.sync()
    assert client.packets() == [Pubrec(7)]
    world.log.sync()
    world = world.after(power_cut=power_cut)
    client = assert_taken_when_it_comes_again(world, version)
    client.send(wire.acknowledgement(wire.PUBREL, 7, version=version))
    world.log.sync()
    world.pass_turns()
    world.log.sync()
    assert client.packets() == [Pubcomp(7)]


@both_places
def test_a_receipt_that_could_not_be_stored_stands_for_nothing(place, monkeypatch):
    world = World(place)
    client = world.connect(V5)
    state = world.broker.topics.get(Address("__hubbub_state")).partitions[0].log
    with monkeypatch.context() as patch:
        patch.setattr(state, "append", no_room)
        publish(client)
        assert Pubrec(7) not in client.packets()
    client.drop()
    client = world.connect(V5)
    publish(client, packet_id=8)  # which has the place that the other one was to have
    world.log.sync()
    assert client.packets() == [Pubrec(8)]
    world = world.after()
    client = world.connect(V5)
    publish(client, dup=True)
    world.log.sync()
    assert client.packets() == [Pubrec(7)]
    assert world.stored() == 2
