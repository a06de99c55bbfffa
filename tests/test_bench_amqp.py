from __future__ import annotations

import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from hubbub.bench.amqp import PREFETCH_MIN, Amqp
from hubbub.bench.shape import Shape

HEADER = b"AMQP\x00\x00\x09\x01"
SUBJECT = "bench.00000"
NAME = b"\x0bbench.00000"
QUEUE = b"\x11queue.bench.00000"
OPENED = [(10, 11), (10, 31), (10, 40), (20, 10)]
# What each method is answered: class, number and arguments of methods.
ANSWERS = {
    (10, 11): (10, 30, b"\x07\xff\x00\x02\x00\x00\x00\x3c"),
    (10, 40): (10, 41, b"\x00"),
    (20, 10): (20, 11, bytes(4)),
    (40, 10): (40, 11, b""),
    (50, 10): (50, 11, b"\x04made" + bytes(8)),
    (50, 20): (50, 21, b""),
    (50, 40): (50, 41, bytes(4)),
    (60, 10): (60, 11, b""),
    (60, 20): (60, 21, b"\x01c"),
    (85, 10): (85, 11, b""),
}


def amqp(**shape):
    return Amqp(Shape(protocol="amqp", **shape))


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def method(class_id, number, arguments, channel=1):
    return frame(1, channel, struct.pack(">HH", class_id, number) + arguments)


def answer_all(broker, answers):
    """Answer methods until the other side hangs up; those that came, with their arguments."""
    came = []
    with broker, broker.makefile("rb") as stream:
        assert stream.read(8) == HEADER
        broker.sendall(method(10, 10, b"\x00\x09" + bytes(12), channel=0))
        while head := stream.read(7):
            _, channel, size = struct.unpack(">BHI", head)
            payload = stream.read(size)
            assert stream.read(1) == b"\xce"
            name = struct.unpack(">HH", payload[:4])
            came.append((name, payload[4:]))
            if name in answers:
                broker.sendall(method(*answers[name], channel=channel))
    return came


def said(prepare, answers=ANSWERS):
    """The methods that ``prepare`` sends to a broker that takes everything."""
    ours, theirs = socket.socketpair()
    with ThreadPoolExecutor() as pool:
        playing = pool.submit(answer_all, theirs, answers)
        with ours:
            prepare(ours)
        return playing.result()


def test_a_publisher_opens_a_channel_without_heartbeats():
    came = said(lambda ours: amqp().prepare_publisher(ours, 0, SUBJECT))
    assert [name for name, _ in came] == OPENED
    assert dict(came)[10, 11] == (
        bytes(4) + b"\x05PLAIN" + b"\x00\x00\x00\x0c\x00guest\x00guest" + b"\x05en_US"
    )
    assert dict(came)[10, 31] == b"\x07\xff\x00\x02\x00\x00" + b"\x00\x00"


def test_a_publisher_without_subscribers_makes_an_empty_durable_queue_and_asks_for_confirms():
    came = said(lambda ours: amqp(subscribers=0, qos=1).prepare_publisher(ours, 0, SUBJECT))
    assert came[4:] == [
        ((50, 40), b"\x00\x00" + QUEUE + b"\x00"),
        ((50, 10), b"\x00\x00" + QUEUE + b"\x02" + bytes(4)),
        ((85, 10), b"\x00"),
    ]


@pytest.mark.parametrize(
    ("acks", "prefetch"), [(1, PREFETCH_MIN), (10, PREFETCH_MIN), (5_000, 10_000)]
)
def test_one_subscriber_consumes_from_an_empty_queue_with_a_prefetch(acks, prefetch):
    came = said(lambda ours: amqp(acks=acks).prepare_subscriber(ours, 0, SUBJECT))
    assert came[4:] == [
        ((50, 40), b"\x00\x00" + QUEUE + b"\x00"),
        ((50, 10), b"\x00\x00" + QUEUE + b"\x00" + bytes(4)),
        ((60, 10), bytes(4) + prefetch.to_bytes(2, "big") + b"\x00"),
        ((60, 20), b"\x00\x00" + QUEUE + b"\x01c" + b"\x00" + bytes(4)),
    ]


def test_a_subscriber_that_does_not_acknowledge_says_so():
    came = said(lambda ours: amqp(acks=0).prepare_subscriber(ours, 0, SUBJECT))
    assert came[6:] == [((60, 20), b"\x00\x00" + QUEUE + b"\x01c" + b"\x02" + bytes(4))]


def test_several_subscribers_bind_queues_of_their_own_to_a_fanout_exchange():
    came = said(lambda ours: amqp(subscribers=2).prepare_subscriber(ours, 0, SUBJECT))
    assert came[4:7] == [
        ((40, 10), b"\x00\x00" + NAME + b"\x06fanout" + b"\x00" + bytes(4)),
        ((50, 10), b"\x00\x00" + b"\x00" + b"\x04" + bytes(4)),
        ((50, 20), b"\x00\x00" + b"\x04made" + NAME + b"\x00" + b"\x00" + bytes(4)),
    ]
    assert came[-1][1].startswith(b"\x00\x00\x04made")


def test_a_subscriber_to_topics_binds_a_pattern():
    came = said(lambda ours: amqp(topics=2).prepare_subscriber(ours, 0, "bench.*"))
    bind = b"\x00\x00" + b"\x04made" + b"\x09amq.topic" + b"\x07bench.*" + b"\x00" + bytes(4)
    assert came[5] == ((50, 20), bind)


def test_a_publish_and_its_delivery_are_the_frames_of_the_specification():
    content = frame(2, 1, b"\x00\x3c\x00\x00" + b"\x00" * 7 + b"\x05" + bytes(2))
    content += frame(3, 1, b"hello")
    assert amqp().published(SUBJECT, b"hello") == (
        method(60, 40, b"\x00\x00" + b"\x00" + QUEUE + b"\x00") + content
    )
    assert amqp().delivered(SUBJECT, SUBJECT, b"hello") == (
        method(60, 60, b"\x01c" + bytes(8) + b"\x00" + b"\x00" + QUEUE) + content
    )


def test_a_persistent_publish_says_so():
    header = b"\x00\x3c\x00\x00" + b"\x00" * 7 + b"\x05" + b"\x10\x00\x02"
    assert frame(2, 1, header) in amqp(qos=1).published(SUBJECT, b"hello")


@pytest.mark.parametrize(
    ("shape", "exchange", "key"),
    [
        ({"subscribers": 0}, b"\x00", QUEUE),
        ({"subscribers": 2}, NAME, b"\x00"),
        ({"topics": 2, "subscribers": 2}, b"\x09amq.topic", NAME),
    ],
)
def test_what_is_published_to_depends_on_who_gets_it(shape, exchange, key):
    dialect = amqp(**shape)
    assert exchange + key + b"\x00" in dialect.published(SUBJECT, b"hello")
    assert b"\x00" + exchange + key + b"\xce" in dialect.delivered(SUBJECT, SUBJECT, b"hello")


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({(10, 11): (10, 50, b"\x01\x93\x0eACCESS_REFUSED" + bytes(4))}, "ACCESS_REFUSED"),
        ({(50, 10): (20, 40, b"\x01\x94\x09NOT_FOUND" + bytes(4))}, "NOT_FOUND"),
    ],
)
def test_a_broker_that_refuses_is_quoted(answers, reason):
    with pytest.raises(ConnectionError, match=reason):
        said(
            lambda ours: amqp().prepare_subscriber(ours, 0, SUBJECT), answers={**ANSWERS, **answers}
        )


def test_a_broker_that_hangs_up_is_not_waited_for():
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"\x01\x00")
        theirs.shutdown(socket.SHUT_WR)
        with theirs, pytest.raises(ConnectionError, match="not the method"):
            amqp().prepare_publisher(ours, 0, SUBJECT)
