"""What an AMQP connection does, without a socket: state, order, ends."""

from __future__ import annotations

import pytest

from amqp_session_double import Connection, amqp_listener, pass_time, published, restarted
from held_log import HeldLog
from hubbub.model.errors import StorageFullError
from hubbub.protocols.amqp import codec, contents
from hubbub.protocols.amqp.tables import table_of


def test_persistent_to_a_stream_is_confirmed():
    channel = Connection(amqp_listener()).channel()
    channel.queue(durable=True, x_queue_type="stream")
    channel.ask("confirm.select")
    channel.publish(delivery_mode=2)
    assert channel.names() == ["basic.ack"]


def test_stream_takes_what_a_queue_takes():
    channel = Connection(amqp_listener()).channel()
    channel.queue(durable=True, x_queue_type="stream")
    channel.ask("confirm.select")
    channel.publish(body=bytes(8 << 20), delivery_mode=2)
    assert channel.names() == ["basic.ack"]


def test_cancelled_reply_consumer_may_consume_again():
    listener = amqp_listener()
    channel = Connection(listener).channel()
    name = "amq.rabbitmq.reply-to"
    channel.consume(name, "a", no_ack=True)
    channel.ask("basic.cancel", consumer_tag="a")
    assert not listener.reply_queues
    channel.consume(name, "b", no_ack=True)
    assert channel.names() == ["basic.consume-ok"]


def test_reply_consumer_cannot_take_a_tag_in_use():
    channel = Connection(amqp_listener()).channel()
    channel.queue()
    channel.consume("q", "a")
    channel.consume("amq.rabbitmq.reply-to", "a", no_ack=True)
    closed = channel.read()[-1]
    assert (closed.name, closed.args.reply_code) == ("connection.close", 530)


def test_get_says_redelivered_after_a_restart():
    listener = amqp_listener()
    channel = Connection(listener).channel()
    channel.queue(durable=True)
    channel.publish(delivery_mode=2)
    assert channel.get().args.redelivered is False
    channel = Connection(restarted(listener)).channel()
    assert channel.get().args.redelivered is True


def test_headers_that_are_none_stall_no_queue():
    channel = Connection(amqp_listener()).channel()
    channel.queue(durable=True, x_queue_type="quorum")
    channel.publish(body=b"bad", raw=b"\x20\x00" + b"\0\0\0\x02\x05a")
    channel.publish(body=b"good")
    channel.consume()
    assert [each.body for each in channel.read()[1:]] == [b"bad", b"good"]
    channel.send("basic.nack", delivery_tag=2, multiple=True, requeue=True)
    assert [each.body for each in channel.read()] == [b"bad", b"good"]


def test_headers_that_are_none_stall_no_stream():
    channel = Connection(amqp_listener()).channel()
    channel.queue(durable=True, x_queue_type="stream")
    channel.publish(body=b"bad", raw=b"\x20\x00" + b"\0\0\0\x02\x05a")
    channel.publish(body=b"good")
    channel.ask("basic.qos", prefetch_count=10)
    channel.consume(x_stream_offset="first")
    assert [each.body for each in channel.read()[1:]] == [b"bad", b"good"]


def test_blocked_publisher_is_not_taken_for_dead():
    listener = amqp_listener()
    connection = Connection(listener, heartbeat=10)
    channel = connection.channel()
    channel.queue()
    channel.publish()
    connection.session.memory_is_short(True)
    pass_time(listener, 100)
    assert not connection.outbox.aborted
    connection.session.memory_is_short(False)
    pass_time(listener, 100)
    assert connection.outbox.aborted


def test_exclusive_queues_are_gone_with_close_ok():
    listener = amqp_listener()
    connection = Connection(listener)
    connection.channel().queue("mine", exclusive=True)
    connection.send(0, "connection.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    assert connection.frames()[-1][1].name == "connection.close-ok"
    Connection(listener).channel().queue("mine")


def test_method_within_a_content_ends_the_connection():
    connection = Connection(amqp_listener())
    channel = connection.channel()
    channel.send("basic.publish", exchange="", routing_key="q")
    channel.send("queue.declare", queue="q")
    closed = channel.read()[-1]
    assert (closed.name, closed.args.reply_code) == ("connection.close", 505)


def test_any_priority_of_a_consumer_is_taken():
    channel = Connection(amqp_listener()).channel()
    channel.queue()
    channel.consume(x_priority=2**40)
    assert channel.names() == ["basic.consume-ok"]


def test_any_stream_offset_is_taken():
    channel = Connection(amqp_listener()).channel()
    channel.queue(durable=True, x_queue_type="stream")
    channel.ask("basic.qos", prefetch_count=10)
    channel.consume(x_stream_offset=2**63 - 1)
    assert channel.names() == ["basic.consume-ok"]


# --- what waits for the disk -----------------------------------------------------------------------


def held_channel():
    log = HeldLog()
    return log, Connection(amqp_listener(log)).channel()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("exchange.declare", {"exchange": "x", "type": "direct", "durable": True}),
        ("queue.declare", {"queue": "q2", "durable": True}),
        ("queue.bind", {"queue": "q", "exchange": "amq.direct", "routing_key": "k"}),
        ("queue.delete", {"queue": "q"}),
        ("exchange.bind", {"destination": "amq.fanout", "source": "amq.direct"}),
    ],
)
def test_durable_is_answered_when_it_is(name, fields):
    log, channel = held_channel()
    channel.send("queue.declare", queue="q", durable=True)
    log.sync()
    assert channel.names() == ["queue.declare-ok"]
    channel.send(name, **fields)
    assert channel.names() == []
    log.sync()
    assert channel.names() == [f"{name}-ok"]


def test_answers_keep_their_order():
    log, channel = held_channel()
    channel.connection.session.receive(
        codec.encode(1, "queue.declare", queue="q", durable=True)
        + codec.encode(1, "queue.declare", queue="", exclusive=True)
        + codec.encode(1, "queue.bind", queue="q", exchange="amq.topic", routing_key="k")
        + codec.encode(1, "basic.consume", queue="q", no_ack=True)
        + published(1, "q")
    )
    assert channel.names() == []
    log.sync()
    assert channel.names() == ["queue.declare-ok", "queue.declare-ok"]
    channel.publish("q")
    log.sync()
    assert channel.names() == [
        "queue.bind-ok", "basic.consume-ok", "basic.deliver", "basic.deliver"
    ]  # fmt: skip


def test_commit_waits_for_all_that_it_stored():
    log, channel = held_channel()
    for name, more in (("q", {}), ("s", {"x-queue-type": "stream"})):
        channel.send("queue.declare", queue=name, durable=True, arguments=table_of(more))
        log.sync()
    channel.ask("tx.select")
    channel.publish("q", delivery_mode=2)
    channel.publish("s", delivery_mode=2)
    channel.send("tx.commit")
    assert channel.names() == []
    log.sync()
    assert channel.names() == ["tx.commit-ok"]


def test_who_waits_for_the_disk_is_not_taken_for_dead():
    log = HeldLog()
    connection = Connection(amqp_listener(log), heartbeat=10)
    channel = connection.channel()
    channel.send("queue.declare", queue="q", durable=True)
    pass_time(connection.listener, 100)
    log.sync()
    assert channel.names() == ["queue.declare-ok"]


def test_what_the_disk_refuses_ends_the_connection():
    log, channel = held_channel()
    channel.send("queue.declare", queue="q", durable=True)
    for partition in list(log.partitions.values()):
        partition.fail(StorageFullError("full"))
    assert channel.names() == ["connection.close"]


def test_who_closes_meanwhile_is_answered_all_the_same():
    log, channel = held_channel()
    declare = codec.encode(1, "queue.declare", queue="q", durable=True)
    channel.connection.session.receive(declare + codec.encode(0, "connection.close"))
    for partition in list(log.partitions.values()):
        partition.fail(StorageFullError("full"))
    said = [method.name for _, method in channel.connection.frames()]
    assert said == ["connection.close", "connection.close-ok"]


# --- ends ------------------------------------------------------------------------------------------


def test_what_a_channel_had_goes_back_though_the_disk_is_full(monkeypatch):
    listener = amqp_listener()
    connection = Connection(listener)
    channel = connection.channel()
    channel.queue("kept")
    channel.publish("kept")
    channel.consume("kept")
    channel.queue("auto", durable=True, auto_delete=True)
    channel.consume("auto")
    channel.read()

    def full(_queue):
        raise StorageFullError("full")

    monkeypatch.setattr(listener.broker.work_queues, "delete", full)
    assert channel.ask("channel.close", reply_code=200, reply_text="", class_id=0,
                       method_id=0).name == "channel.close-ok"  # fmt: skip
    assert connection.channel(2).get("kept").args.redelivered


def test_reader_of_a_deleted_stream_gets_no_more():
    channel = Connection(amqp_listener()).channel()
    channel.queue("s", durable=True, x_queue_type="stream")
    channel.ask("basic.qos", prefetch_count=1)
    for _ in range(3):
        channel.publish("s")
    channel.consume("s", "c", x_stream_offset="first")
    assert channel.names() == ["basic.consume-ok", "basic.deliver"]
    channel.send("queue.delete", queue="s")
    assert channel.names() == ["queue.delete-ok", "basic.cancel"]
    channel.send("basic.ack", delivery_tag=1)
    assert channel.names() == []


def test_close_ok_that_nobody_asked_for_ends_the_channel():
    listener = amqp_listener()
    connection = Connection(listener)
    channel = connection.channel()
    channel.queue(auto_delete=True)
    channel.publish()
    channel.consume()
    channel.read()
    channel.send("channel.close-ok")
    assert not listener.vhosts["/"].queues


# --- bounds ----------------------------------------------------------------------------------------


@pytest.fixture
def few_unfinished(monkeypatch):
    monkeypatch.setattr(contents, "UNFINISHED_MOST", 300_000)


def part_of_a_body(channel):
    """All frames but the last: 131,064 bytes."""
    return published(channel, body=bytes(200_000))[: -(200_000 - 131_064 + codec.FRAME_BYTES)]


def test_bodies_that_are_not_whole_have_a_bound(few_unfinished):
    listener = amqp_listener()
    connection = Connection(listener)
    for number in (1, 2):
        connection.channel(number)
        connection.session.receive(part_of_a_body(number))
    assert listener.publisher.unfinished > 250_000
    third = connection.channel(3)
    connection.session.receive(part_of_a_body(3))
    closed = third.read()[-1]
    assert (closed.name, closed.args.reply_code) == ("connection.close", 506)
    assert listener.publisher.unfinished == 0


def test_what_is_finished_is_not_counted(few_unfinished):
    listener = amqp_listener()
    channel = Connection(listener).channel()
    channel.queue()
    for _ in range(5):
        channel.publish(body=bytes(200_000))
    assert listener.publisher.unfinished == 0
    assert channel.ask("queue.declare", queue="q", passive=True).args.message_count == 5


def test_transactions_have_a_bound(few_unfinished):
    listener = amqp_listener()
    channel = Connection(listener).channel()
    channel.queue()
    channel.ask("tx.select")
    for _ in range(3):
        channel.publish(body=bytes(100_000))
    closed = channel.read()[-1]
    assert (closed.name, closed.args.reply_code) == ("connection.close", 506)
    assert listener.publisher.unfinished == 0


# --- limits, promises, access ----------------------------------------------------------------------


def test_what_was_fetched_takes_no_room_of_a_channel_limit():
    channel = Connection(amqp_listener()).channel()
    channel.queue()
    channel.publish()
    channel.publish()
    channel.ask("basic.qos", prefetch_count=1, global_=True)
    channel.get()
    channel.consume()
    assert channel.names() == ["basic.consume-ok", "basic.deliver"]


def test_refused_address_is_not_acknowledged():
    channel = Connection(amqp_listener()).channel()
    channel.ask("confirm.select")
    channel.publish("__hubbub_state")
    assert channel.names() == ["basic.nack", "channel.close"]


class Only:
    """Lets a user do one thing at one address."""

    def __init__(self, *allowed):
        self.allowed = allowed

    def may(self, principal, action, target):
        name = getattr(target, "address", target)
        return principal == "guest" and (action, str(name)) in self.allowed


def closed_with(channel):
    last = channel.read()[-1]
    return last.args.reply_code if last.name == "channel.close" else None


def test_publish_needs_leave():
    listener = amqp_listener(access=Only(("publish", "q")))
    connection = Connection(listener)
    channel = connection.channel()
    channel.queue("q")
    channel.queue("other")
    channel.publish("q")
    channel.publish("other")
    assert closed_with(channel) == 403
    queues = listener.vhosts["/"].queues
    assert (queues["q"].ready, queues["other"].ready) == (1, 0)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("basic.consume", {"queue": "other"}),
        ("basic.get", {"queue": "other"}),
        ("queue.bind", {"queue": "q", "exchange": "amq.topic", "routing_key": "secret"}),
        ("queue.bind", {"queue": "q", "exchange": "amq.direct", "routing_key": "secret"}),
    ],
)
def test_reading_needs_leave(name, fields):
    connection = Connection(amqp_listener(access=Only(("subscribe", "q"))))
    channel = connection.channel()
    channel.queue("q")
    channel.queue("other")
    channel.send(name, **fields)
    assert closed_with(channel) == 403
    channel = connection.channel(2)
    channel.consume("q")
    assert channel.names() == ["basic.consume-ok"]


def test_quorum_queue_with_one_active_consumer_is_not_fetched_from():
    channel = Connection(amqp_listener()).channel()
    channel.queue(durable=True, x_queue_type="quorum", x_single_active_consumer=True)
    channel.send("basic.get", queue="q")
    assert closed_with(channel) == 405
