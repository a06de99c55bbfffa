"""What an AMQP connection does, without a socket: state, order, ends."""

from __future__ import annotations

import pytest

from amqp_session_double import WALL_MS, Connection, amqp_listener, pass_time, published, restarted
from held_log import HeldLog
from hubbub.broker.observer import Subscriber
from hubbub.broker.outbox import Outbox
from hubbub.broker.session import Peer
from hubbub.broker.work_item import Item
from hubbub.model.address import Address
from hubbub.model.errors import StorageFullError
from hubbub.model.pattern import Exact
from hubbub.protocols.amqp import codec, consuming, contents
from hubbub.protocols.amqp.tables import table_of
from hubbub.protocols.redis.listener import RedisListener


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


def test_headers_that_are_none_end_the_connection_and_go_nowhere():
    listener = amqp_listener()
    channel = Connection(listener).channel()
    channel.queue()
    channel.publish(raw=NO_HEADERS)
    closed = channel.read()[-1]
    assert (closed.name, closed.args.reply_code) == ("connection.close", 502)
    assert closed.args.reply_text == "SYNTAX_ERROR - a table ends before its fields do"
    assert listener.vhosts["/"].queues["q"].ready == 0


# A log may have what is refused today.
NO_HEADERS = b"\x20\x00" + b"\0\0\0\x02\x05a"


def put_bad(listener):
    listener.vhosts["/"].queues["q"].put(Item(b"bad", b"\0\1q" + NO_HEADERS))
    listener.broker.work_queues.flush()


def test_headers_that_are_none_stall_no_queue():
    listener = amqp_listener()
    channel = Connection(listener).channel()
    channel.queue(durable=True, x_queue_type="quorum")
    put_bad(listener)
    channel.publish(body=b"good")
    channel.consume()
    assert [each.body for each in channel.read()[1:]] == [b"bad", b"good"]
    channel.send("basic.nack", delivery_tag=2, multiple=True, requeue=True)
    assert [each.body for each in channel.read()] == [b"bad", b"good"]


def test_headers_that_are_none_stall_no_stream():
    listener = amqp_listener()
    channel = Connection(listener).channel()
    channel.queue(durable=True, x_queue_type="stream")
    put_bad(listener)
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


def test_a_cancellation_comes_behind_the_answer_that_the_disk_delays():
    log = HeldLog()
    listener = amqp_listener(log)
    channel = Connection(listener).channel()
    channel.send("queue.declare", queue="q", durable=True)
    log.sync()
    channel.consume("q", "tag")
    assert channel.names() == ["queue.declare-ok", "basic.consume-ok"]
    channel.send("queue.delete", queue="q")
    channel.send("queue.declare", queue="next")
    assert channel.names() == []
    log.sync()
    assert channel.names() == ["queue.delete-ok", "basic.cancel", "queue.declare-ok"]


def test_what_is_purged_stays_gone_after_purge_ok():
    log, channel = held_channel()
    channel.send("queue.declare", queue="q", durable=True)
    log.sync()
    channel.publish("q", delivery_mode=2)
    log.sync()
    channel.read()
    channel.send("queue.purge", queue="q")
    assert channel.names() == []
    log.sync()
    [purged] = channel.read()
    assert (purged.name, purged.args.message_count) == ("queue.purge-ok", 1)
    after = amqp_listener(log.survivor(power_cut=True))
    assert after.vhosts["/"].queues["q"].ready == 0


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


def test_nothing_is_stored_of_what_goes_to_a_refused_address():
    listener = amqp_listener()
    channel = Connection(listener).channel()
    channel.queue("__hubbub_state", durable=True)
    channel.queue("copies")
    channel.publish("__hubbub_state", delivery_mode=2, headers={"CC": ["copies"]})
    assert closed_with(channel) == 403
    assert [queue.ready for queue in listener.vhosts["/"].queues.values()] == [0, 0]


def test_a_transaction_publishes_each_message_to_its_own_address():
    listener = amqp_listener()
    got = []

    class Observer:
        subscriber = Subscriber("test", "somebody")

        def observe(self, message):
            got.append((message.address, message.value))

    for address in ("a", "b"):
        listener.broker.subscribe(Exact(Address(address)), Observer())
    channel = Connection(listener).channel()
    channel.ask("tx.select")
    channel.publish("a", b"1", "amq.topic")
    channel.publish("b", b"2", "amq.topic")
    assert got == []
    channel.ask("tx.commit")
    assert got == [("a", b"1"), ("b", b"2")]


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


def test_a_large_transaction_reaches_others_in_portions():
    listener = amqp_listener()
    redis, outbox = RedisListener(listener.broker), Outbox()
    redis.session(Peer(("127.0.0.1", 1), ("127.0.0.1", 6379)), outbox).receive(
        b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n"
    )
    outbox.take()
    channel = Connection(listener).channel()
    channel.ask("tx.select")
    channel.connection.session.receive(published(1, "a", b"x" * 100, "amq.topic") * 5000)
    assert channel.ask("tx.commit").name == "tx.commit-ok"
    chunks = outbox.take()
    assert b"".join(chunks).count(b"x" * 100) == 5000
    assert max(chunk.count(b"x" * 100) for chunk in chunks) <= 1024


# --- many consumers --------------------------------------------------------------------------------


def test_consumers_are_woken_once_for_all_that_is_acknowledged(monkeypatch):
    listener = amqp_listener()
    connection = Connection(listener)
    channel = connection.channel()
    channel.queue()
    channel.ask("basic.qos", prefetch_count=20, global_=True)
    channel.consume()
    for number in range(25):
        channel.publish(body=b"%d" % number)
    assert len(channel.read()) == 21
    calls = []
    woken = consuming.Consumer.wake
    monkeypatch.setattr(
        consuming.Consumer, "wake", lambda consumer: (calls.append(consumer), woken(consumer))
    )
    settled = [codec.encode(1, "basic.ack", delivery_tag=tag) for tag in range(1, 4)]
    settled += [
        codec.encode(1, "basic.nack", delivery_tag=tag, requeue=False) for tag in range(4, 6)
    ]
    connection.session.receive(b"".join(settled))
    assert len(calls) == 1
    assert [each.body for each in channel.read()] == [b"%d" % number for number in range(20, 25)]


def test_consumers_of_a_channel_have_a_bound(monkeypatch):
    monkeypatch.setattr(consuming, "MAX_CONSUMERS", 2)
    channel = Connection(amqp_listener()).channel()
    channel.queue()
    for _ in range(3):
        channel.consume()
    closed = channel.read()[-1]
    assert (closed.name, closed.args.reply_code) == ("connection.close", 530)
    assert closed.args.reply_text == "NOT_ALLOWED - reached maximum (2) of consumers per channel"


# --- what crosses ----------------------------------------------------------------------------------

NOW_S = WALL_MS // 1000


@pytest.mark.parametrize(
    ("fields", "expected_ms"),
    [
        ({}, WALL_MS),
        ({"timestamp": 5}, 5000),
        ({"timestamp": 5, "headers": {"a": 1}, "message_id": "m", "priority": 1}, 5000),
        ({"timestamp": NOW_S}, NOW_S * 1000),
        ({"timestamp": NOW_S + 1}, WALL_MS),
        ({"timestamp": 2**64 - 1}, WALL_MS),
        ({"timestamp": 5, "expiration": "100"}, WALL_MS),
    ],
)
@pytest.mark.parametrize("commits", [False, True])
def test_others_see_the_time_that_a_publisher_says(fields, expected_ms, commits):
    listener = amqp_listener()
    topic = listener.broker.create_topic(Address("a"), 1)
    got = []

    class Observer:
        subscriber = Subscriber("test", "somebody")

        def observe(self, message):
            got.append(message.timestamp_ms)

    listener.broker.subscribe(Exact(Address("a")), Observer())
    channel = Connection(listener).channel()
    if commits:
        channel.ask("tx.select")
    channel.publish("a", b"1", "amq.topic", **fields)
    if commits:
        channel.ask("tx.commit")
    partition = topic.partitions[0]
    [record] = listener.broker.decode(partition.log.read(0, 10_000), partition)
    assert (got, record.message.timestamp_ms) == ([expected_ms], expected_ms)


# --- streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields", "methods"),
    [
        ("basic.reject", {"delivery_tag": 1, "requeue": True}, "basic.nack and basic.reject"),
        ("basic.nack", {"delivery_tag": 1, "requeue": False}, "basic.nack and basic.reject"),
        ("basic.nack", {"delivery_tag": 0, "multiple": True}, "basic.nack and basic.reject"),
        ("basic.recover", {"requeue": True}, "basic.recover"),
    ],
)
def test_a_stream_takes_nothing_back(name, fields, methods):
    listener = amqp_listener()
    channel = Connection(listener).channel()
    channel.queue("kept")
    channel.publish("kept")
    channel.queue(durable=True, x_queue_type="stream")
    for _ in range(2):
        channel.publish()
    channel.ask("basic.qos", prefetch_count=2)
    channel.consume(x_stream_offset="first")
    channel.read()
    channel.consume("kept")
    channel.read()
    channel.send(name, **fields)
    closed = channel.read()[-1]
    assert (closed.name, closed.args.reply_code) == ("connection.close", 540)
    assert closed.args.reply_text == (
        f"NOT_IMPLEMENTED - {methods} not supported by stream queues queue 'q' in vhost '/'"
    )
    assert listener.vhosts["/"].queues["kept"].ready == 1


def test_a_stream_keeps_what_a_channel_had_that_is_closed():
    channel = Connection(amqp_listener()).channel()
    channel.queue(durable=True, x_queue_type="stream")
    channel.publish()
    channel.ask("basic.qos", prefetch_count=1)
    channel.consume(x_stream_offset="first")
    channel.read()
    closing = {"reply_code": 200, "reply_text": "", "class_id": 0, "method_id": 0}
    assert channel.ask("channel.close", **closing).name == "channel.close-ok"
