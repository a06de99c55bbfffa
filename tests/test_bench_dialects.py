from __future__ import annotations

import socket

import pytest

from hubbub.bench.amqp import Amqp
from hubbub.bench.dialects import Mqtt, Nats, Redis, Relayed, dialect_of
from hubbub.bench.shape import Shape

CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00"
CONNACK = b"\x20\x02\x00\x00"
TOPIC = b"\x00\x0bbench/00000"


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    "dialect",
    [
        *(Redis(), Nats(), Mqtt(0), Mqtt(1), Relayed(Mqtt(1))),
        *(Amqp(Shape(protocol="amqp", subscribers=number, qos=1)) for number in (0, 1, 2)),
    ],
)
def test_frames_have_one_size_whatever_they_hold(dialect):
    subjects = ("bench.00000.001", "bench.00099.100")
    published = {
        len(dialect.published(subject, payload, number))
        for subject in subjects
        for payload in (b"\0" * 16, b"\xff" * 16)
        for number in (0, 65534)
    }
    delivered = {
        len(dialect.delivered(subject, "bench.00000.*", b"12345678")) for subject in subjects
    }
    assert len(published) == len(delivered) == 1


def test_an_mqtt_publish_is_the_packet_of_the_specification():
    assert Mqtt(0).published("bench.00000", b"hello") == b"\x30\x12" + TOPIC + b"hello"
    assert Mqtt(1).published("bench.00000", b"hello", 0) == b"\x32\x14" + TOPIC + b"\0\1hello"
    assert (
        Mqtt(1).published("bench.00000", b"hello", 65534) == b"\x32\x14" + TOPIC + b"\xff\xffhello"
    )


@pytest.mark.parametrize(
    ("remaining", "length"),
    [(127, "7f"), (128, "8001"), (16383, "ff7f"), (16384, "808001"), (2097152, "80808001")],
)
def test_the_remaining_length_of_an_mqtt_packet_has_as_many_bytes_as_it_needs(remaining, length):
    packet = Mqtt(0).published("bench.00000", bytes(remaining - len(TOPIC)))
    assert packet.startswith(b"\x30" + bytes.fromhex(length) + TOPIC)
    assert len(packet) == 1 + len(bytes.fromhex(length)) + remaining


def test_an_mqtt_publisher_connects(ends):
    ours, theirs = ends
    theirs.sendall(CONNACK)
    Mqtt(0).prepare_publisher(ours, 0, "bench.00000")
    assert theirs.recv(100) == CONNECT


@pytest.mark.parametrize("qos", [0, 1])
def test_an_mqtt_subscriber_asks_for_the_quality_of_service(ends, qos):
    ours, theirs = ends
    theirs.sendall(CONNACK + b"\x90\x03\x00\x01" + bytes([qos]))
    Mqtt(qos).prepare_subscriber(ours, 0, "bench.00000.*")
    wanted = b"\x82\x12\x00\x01\x00\x0dbench/00000/+" + bytes([qos])
    assert theirs.recv(100) == CONNECT + wanted


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (b"\x20\x02\x00\x05", "20020005"),  # not authorised
        (CONNACK + b"\x90\x03\x00\x01\x80", "9003000180"),  # no such subscription
        (CONNACK + b"\x90\x03\x00\x01\x00", "9003000100"),  # granted less
        (b"\x20\x02", "2002"),
    ],
)
def test_an_mqtt_broker_that_refuses_is_quoted(ends, answers, said):
    ours, theirs = ends
    theirs.sendall(answers)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError, match=f"the broker answered {said}, not"):
        Mqtt(1).prepare_subscriber(ours, 0, "bench.00000")


@pytest.mark.parametrize(("protocol", "qos"), [("redis", 1), ("nats", 1), ("mqtt", 2), ("amqp", 2)])
def test_a_quality_of_service_that_is_not_measured_is_refused(protocol, qos):
    with pytest.raises(ValueError, match=f"no {protocol} load has quality of service {qos}"):
        dialect_of(Shape(protocol=protocol, qos=qos))
