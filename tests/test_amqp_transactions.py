"""Transactions: carried out whole, or refused before anything is done; answers as RabbitMQ's."""

from __future__ import annotations

import pytest

from amqp_session_double import Connection, amqp_listener
from held_log import HeldLog
from hubbub.model.address import Address
from hubbub.model.errors import StorageFullError
from hubbub.model.settings import TopicSettings


@pytest.fixture
def listener():
    return amqp_listener()


@pytest.fixture
def channel(listener):
    """With three messages fetched from q, unacknowledged, in a transaction."""
    channel = Connection(listener).channel()
    channel.queue()
    for number in range(3):
        channel.publish(body=b"%d" % number)
        channel.get()
    channel.ask("tx.select")
    return channel


def ready(listener, name="q"):
    return listener.vhosts["/"].queues[name].ready


def closed_with(channel):
    closed = channel.read()[-1]
    return closed.name, closed.args.reply_code, closed.args.reply_text


UNKNOWN = "PRECONDITION_FAILED - unknown delivery tag {}"


# --- acknowledgements ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "unknown"),
    [
        (("basic.ack", 1, False), ("basic.ack", 1, False), 1),
        (("basic.ack", 2, True), ("basic.ack", 1, False), 1),
        (("basic.ack", 0, True), ("basic.nack", 3, False), 3),
        (("basic.nack", 2, False), ("basic.ack", 2, True), 2),
    ],
)
def test_what_a_transaction_settles_is_settled_once(channel, first, second, unknown):
    for name, tag, multiple in (first, second):
        channel.send(name, delivery_tag=tag, multiple=multiple)
    assert closed_with(channel) == ("channel.close", 406, UNKNOWN.format(unknown))


def test_all_there_is_may_be_settled_twice(channel, listener):
    for _ in range(2):
        channel.send("basic.ack", delivery_tag=0, multiple=True)
    assert channel.ask("tx.commit").name == "tx.commit-ok"
    channel.connection.drop()
    assert ready(listener) == 0


def test_after_a_rollback_it_may_be_settled_again(channel, listener):
    channel.send("basic.ack", delivery_tag=2, multiple=True)
    channel.ask("tx.rollback")
    channel.send("basic.nack", delivery_tag=1, requeue=True)
    channel.send("basic.ack", delivery_tag=3, multiple=True)
    assert channel.ask("tx.commit").name == "tx.commit-ok"
    assert ready(listener) == 1


def test_recover_leaves_what_the_transaction_settles(channel, listener):
    channel.send("basic.ack", delivery_tag=1)
    channel.ask("basic.recover", requeue=True)
    assert ready(listener) == 2
    channel.ask("tx.commit")
    channel.connection.drop()
    assert ready(listener) == 2


def test_what_is_not_committed_goes_back_with_its_channel(channel, listener):
    channel.send("basic.ack", delivery_tag=1)
    channel.send("basic.nack", delivery_tag=2, requeue=False)
    channel.connection.drop()
    assert ready(listener) == 3


def test_a_prefetch_window_has_room_only_after_the_commit(listener):
    channel = Connection(listener).channel()
    channel.queue()
    channel.ask("tx.select")
    channel.ask("basic.qos", prefetch_count=1)
    channel.consume()
    sender = Connection(listener).channel()
    for body in (b"1", b"2"):
        sender.publish(body=body)
    assert [each.body for each in channel.read()[1:]] == [b"1"]
    channel.send("basic.ack", delivery_tag=1)
    assert channel.read() == []
    channel.send("tx.commit")
    assert channel.names() == ["tx.commit-ok", "basic.deliver"]


# --- refused before anything is done ------------------------------------------------------------


def full_queue(channel, **limits):
    channel.queue("small", x_overflow="reject-publish", **limits)


@pytest.mark.parametrize("limits", [{"x_max_length": 2}, {"x_max_length_bytes": 10}])
def test_a_commit_that_a_queue_has_no_room_for_does_nothing(channel, listener, limits):
    full_queue(channel, **limits)
    channel.publish()
    channel.send("basic.ack", delivery_tag=1)
    for _ in range(3):
        channel.publish("small")
    channel.send("tx.commit")
    text = "PRECONDITION_FAILED - tx refused: queue 'small' in vhost '/' has no room for it"
    assert closed_with(channel) == ("channel.close", 406, text)
    assert (ready(listener), ready(listener, "small")) == (3, 0)
    assert listener.publisher.unfinished == 0


def test_what_just_fits_is_committed(channel, listener):
    full_queue(channel, x_max_length=2)
    for _ in range(2):
        channel.publish("small")
    assert channel.ask("tx.commit").name == "tx.commit-ok"
    assert ready(listener, "small") == 2


def test_a_queue_that_is_gone_counts_as_no_queue(channel, listener):
    channel.queue("gone")
    channel.publish("gone", mandatory=True)
    channel.publish("gone")
    channel.ask("queue.delete", queue="gone")
    channel.send("tx.commit")
    assert channel.names() == ["basic.return", "tx.commit-ok"]


# --- what a disk or a topic refuses -------------------------------------------------------------

PARTIAL = ("channel.close", 406, "PRECONDITION_FAILED - partial tx completion")


def full_disk(monkeypatch, partition):
    def append(*_args, **_options):
        raise StorageFullError("full")

    monkeypatch.setattr(partition, "append", append, raising=False)


@pytest.mark.parametrize("kind", ["classic", "stream"])
def test_nothing_is_settled_if_the_disk_takes_no_message(channel, listener, monkeypatch, kind):
    channel.queue("kept", durable=True, x_queue_type=kind)
    queue = listener.vhosts["/"].queues["kept"]
    log = queue.stream.partition.log if queue.work is None else queue.work.log.partition
    channel.publish("kept", delivery_mode=2)
    channel.send("basic.ack", delivery_tag=3, multiple=True)
    full_disk(monkeypatch, log)
    channel.send("tx.commit")
    assert closed_with(channel) == PARTIAL
    assert ready(listener) == 3


def test_nothing_is_settled_if_the_topic_of_an_address_refuses(channel, listener):
    settings = TopicSettings(max_message_bytes=100)
    listener.broker.create_topic(Address("small"), 1, settings)
    channel.publish("small", bytes(1000), "amq.topic")
    channel.send("basic.ack", delivery_tag=3, multiple=True)
    channel.send("tx.commit")
    assert closed_with(channel) == PARTIAL
    assert ready(listener) == 3


# --- the order of both --------------------------------------------------------------------------


def moving():
    """A transaction that takes a message from one durable queue and puts it into another."""
    log = HeldLog()
    listener = amqp_listener(log)
    channel = Connection(listener).channel()
    for name in ("from", "to"):
        channel.send("queue.declare", queue=name, durable=True)
        log.sync()
        channel.read()
    channel.publish("from", delivery_mode=2)
    log.sync()
    channel.get("from")
    channel.ask("tx.select")
    channel.publish("to", delivery_mode=2)
    channel.send("basic.ack", delivery_tag=1)
    channel.send("tx.commit")
    assert channel.names() == []
    return log, listener, channel


def counts(listener):
    return [ready(listener, name) for name in ("from", "to")]


def synced(log, listener, *names):
    for name in names:
        listener.vhosts["/"].queues[name].work.log.partition.sync()


def test_commit_ok_waits_for_what_was_settled_too():
    log, listener, channel = moving()
    synced(log, listener, "to")
    assert channel.names() == []
    synced(log, listener, "from")
    assert channel.names() == ["tx.commit-ok"]
    log.sync()
    after = amqp_listener(log.survivor(power_cut=True))
    assert counts(after) == [0, 1]


@pytest.mark.parametrize("steps", [(), ("from",), ("to",), ("to", "from")])
@pytest.mark.parametrize("power_cut", [False, True])
def test_no_crash_loses_what_a_transaction_moves(steps, power_cut):
    log, listener, channel = moving()
    for name in steps:
        synced(log, listener, name)
        channel.read()
    after = amqp_listener(log.survivor(power_cut=power_cut))
    assert sum(counts(after)) >= 1


def test_a_connection_that_is_lost_before_the_messages_are_safe_settles_nothing():
    log, listener, channel = moving()
    channel.connection.drop()
    synced(log, listener, "to")
    assert counts(listener) == [1, 1]
