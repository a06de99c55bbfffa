"""The tests' own reader and writer of MQTT packets: right as paho is right, and strict."""

from __future__ import annotations

import socket

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

import mqtt_wire as wire
from mqtt_wire import V5, V31, V311, Will, WireError, read_packets

CONNACK = {V31: b"\x20\x02\0\0", V311: b"\x20\x02\0\0", V5: b"\x20\x03\0\0\0"}


class Paho:
    """paho's client, whose server writes down what it hears."""

    def __init__(self, version, client_id="me", **options):
        self.version = version
        self.ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, protocol=version, **options
        )
        self.client._create_socket = lambda: theirs

    def connect(self, **said):
        self.client.connect("nowhere", keepalive=30, **said)
        connect = self.heard()
        self.ours.sendall(CONNACK[self.version])
        self.client.loop_read()
        return connect

    def heard(self):
        while self.client.want_write():
            self.client.loop_write()
        return self.ours.recv(1 << 20)


@pytest.fixture
def make_paho():
    made = []

    def make(*said, **options):
        made.append(Paho(*said, **options))
        return made[-1]

    yield make
    for each in made:
        each.client._sock_close()
        each.ours.close()


def props(kind, **values):
    found = Properties(kind)
    for name, value in values.items():
        setattr(found, name, value)
    return found


every_version = pytest.mark.parametrize("version", [V31, V311, V5])


@every_version
def test_connect_is_as_paho_sends_it(make_paho, version):
    clean = {} if version == V5 else {"clean_session": True}
    client = make_paho(version, **clean)
    client.client.username_pw_set("user", "secret")
    client.client.will_set("gone/me", b"bye", 2, retain=True)
    will = Will("gone/me", b"bye", 2, retain=True)
    said = {"username": "user", "password": b"secret", "will": will, "keep_alive": 30}
    assert client.connect() == wire.connect("me", version, **said)


def test_properties_of_connect_are_as_paho_sends_them(make_paho):
    client = make_paho(V5)
    will_props = props(PacketTypes.WILLMESSAGE, WillDelayInterval=7, ContentType="t")
    client.client.will_set("w", b"x", properties=will_props)
    ours = {"session_expiry_interval": 9, "receive_maximum": 3, "user_property": [("a", "b")]}
    theirs = props(
        PacketTypes.CONNECT, SessionExpiryInterval=9, ReceiveMaximum=3, UserProperty=("a", "b")
    )
    heard = client.connect(clean_start=False, properties=theirs)
    will = Will("w", b"x", props={"content_type": "t", "will_delay_interval": 7})
    expected = wire.connect("me", clean=False, keep_alive=30, props=ours, will=will)
    assert sorted(heard) == sorted(expected)  # in an order of their own
    assert heard[:20] == expected[:20]


@every_version
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_publish_is_as_paho_sends_it(make_paho, qos, version):
    client = make_paho(version)
    client.connect()
    client.client.publish("a/\u2603", b"x" * 200, qos, retain=True)
    packet_id = 1 if qos else None
    expected = wire.publish(
        "a/\u2603", b"x" * 200, qos, retain=True, packet_id=packet_id, version=version
    )
    assert client.heard() == expected


def test_properties_of_publish_are_as_paho_sends_them(make_paho):
    client = make_paho(V5)
    client.connect()
    theirs = props(PacketTypes.PUBLISH, MessageExpiryInterval=5, CorrelationData=b"\0\xff")
    client.client.publish("a", b"x", properties=theirs)
    ours = {"message_expiry_interval": 5, "correlation_data": b"\0\xff"}
    assert client.heard() == wire.publish("a", b"x", props=ours)


@every_version
def test_subscribe_and_unsubscribe_are_as_paho_sends_them(make_paho, version):
    client = make_paho(version)
    client.connect()
    if version == V5:
        options = SubscribeOptions(1, noLocal=True, retainAsPublished=True, retainHandling=2)
        client.client.subscribe([("a/#", options)])
        assert client.heard() == wire.subscribe(1, ("a/#", 0x2D))
    else:
        client.client.subscribe([("a/#", 1), ("b", 2)])
        assert client.heard() == wire.subscribe(1, ("a/#", 1), ("b", 2), version=version)
    client.client.unsubscribe(["a/#", "b"])
    assert client.heard() == wire.unsubscribe(2, "a/#", "b", version=version)


@every_version
def test_disconnect_is_as_paho_sends_it(make_paho, version):
    client = make_paho(version)
    client.connect()
    client.client.disconnect()
    assert client.heard() == wire.disconnect(version=version)


@every_version
@pytest.mark.parametrize("qos", [1, 2])
def test_acknowledgements_are_as_paho_sends_them(make_paho, qos, version):
    client = make_paho(version)
    client.connect()
    client.ours.sendall(wire.publish("a", b"x", qos, packet_id=300, version=version))
    client.client.loop_read()
    kind = wire.PUBACK if qos == 1 else wire.PUBREC
    assert client.heard() == wire.acknowledgement(kind, 300, version=version)
    if qos == 2:
        client.ours.sendall(wire.acknowledgement(wire.PUBREL, 300, version=version))
        client.client.loop_read()
        assert client.heard() == wire.acknowledgement(wire.PUBCOMP, 300, version=version)


# Numbers


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (16_383, b"\xff\x7f"),
        (16_384, b"\x80\x80\x01"), (2_097_151, b"\xff\xff\x7f"), (2_097_152, b"\x80\x80\x80\x01"),
        (wire.LONGEST_REMAINING, b"\xff\xff\xff\x7f"),
    ],
)  # fmt: skip
def test_variable_byte_integers_are_those_of_the_specification(number, expected):
    assert wire.varint(number) == expected
    assert wire.read_varint(expected) == (number, len(expected))
    for end in range(len(expected)):
        assert wire.read_varint(expected[:end]) == (0, 0)


def test_a_longer_number_can_be_had_and_is_not_read():
    assert wire.varint(5, 3) == b"\x85\x80\0"
    for size in (2, 3, 4, 5):
        with pytest.raises(WireError):
            wire.read_varint(wire.varint(5, size))


# What is read


RIGHT = {
    "CONNACK": (b"\x20\x06\x01\x00\x03\x21\x00\x14", wire.Connack(0, True, {"receive_maximum": 20})),
    "PUBLISH": (
        b"\x3d\x0a\0\x01a\0\x07\x02\x01\x01hi",
        wire.Publish("a", b"hi", 2, True, True, 7, {"payload_format_indicator": 1}),
    ),
    "PUBACK": (b"\x40\x02\0\x07", wire.Puback(7)),
    "PUBREC": (b"\x50\x03\0\x07\x10", wire.Pubrec(7, 0x10)),
    "PUBREL": (b"\x62\x04\0\x07\x92\0", wire.Pubrel(7, 0x92)),
    "PUBCOMP": (b"\x70\x02\0\x07", wire.Pubcomp(7)),
    "SUBACK": (b"\x90\x05\0\x07\0\x02\x8f", wire.Suback(7, (2, 0x8F))),
    "UNSUBACK": (b"\xb0\x05\0\x07\0\0\x11", wire.Unsuback(7, (0, 0x11))),
    "PINGRESP": (b"\xd0\0", wire.Pingresp()),
    "DISCONNECT": (b"\xe0\x01\x8e", wire.Disconnect(0x8E)),
    "AUTH": (b"\xf0\0", wire.Auth(0)),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_read(name):
    data, expected = RIGHT[name]
    assert read_packets(data) == [expected]


def test_older_packets_are_read():
    data = b"\x20\x02\0\x05\x90\x04\0\x01\x02\x80\xb0\x02\0\x02\x40\x02\0\x03"
    assert read_packets(data, V311) == [
        wire.Connack(5, False, {}), wire.Suback(1, (2, 0x80)), wire.Unsuback(2, ()), wire.Puback(3),
    ]  # fmt: skip


WRONG = {
    "half a packet": b"\x40\x02\0",
    "loose bytes": b"\xd0\0\xd0",
    "a client's packet": b"\xc0\0",
    "reserved flags": b"\xd1\0",
    "PUBREL without its flag": b"\x60\x02\0\x07",
    "a longer length than need be": b"\xd0\x80\0",
    "bytes left over": b"\xd0\x01\0",
    "packet id 0": b"\x40\x02\0\0",
    "cut short": b"\x40\x01\0",
    "an undefined reason": b"\x40\x03\0\x07\x92",
    "a session where it is refused": b"\x20\x03\x01\x87\0",
    "reserved acknowledge flags": b"\x20\x03\x02\0\0",
    "a property out of place": b"\x20\x06\0\0\x03\x23\0\x01",
    "a property twice": b"\x20\x09\0\0\x06\x21\0\x01\x21\0\x01",
    "an unknown property": b"\x20\x05\0\0\x02\x7f\0",
    "a flag of 2": b"\x20\x05\0\0\x02\x25\x02",
    "receive maximum 0": b"\x20\x06\0\0\x03\x21\0\0",
    "properties beyond the packet": b"\x20\x03\0\0\x03",
    "a property beyond the properties": b"\x20\x05\0\0\x02\x21\0",
    "session expiry in DISCONNECT": b"\xe0\x07\0\x05\x11\0\0\0\x01",
    "a client's reason in DISCONNECT": b"\xe0\x01\x04",
    "QoS 3": b"\x36\x06\0\x01a\0\x07\0",
    "DUP with QoS 0": b"\x38\x04\0\x01a\0",
    "a wildcard": b"\x30\x04\0\x01+\0",
    "no topic": b"\x30\x03\0\0\0",
    "ill-formed text": b"\x30\x04\0\x01\xff\0",
    "NUL": b"\x30\x04\0\x01\0\0",
    "alias 0": b"\x30\x07\0\x01a\x03\x23\0\0",
    "no reasons": b"\x90\x03\0\x07\0",
    "more after DISCONNECT": b"\xe0\0\xd0\0",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_an_error(name):
    with pytest.raises(WireError):
        read_packets(WRONG[name])


@pytest.mark.parametrize(
    "data",
    [
        b"\xe0\0", b"\xf0\0", b"\x20\x03\0\0\0", b"\x20\x02\0\x06", b"\x90\x03\0\x01\x87",
        b"\xb0\x03\0\x01\0", b"\x40\x03\0\x01\0",
    ],
)  # fmt: skip
def test_what_only_5_has_is_an_error_before(data):
    with pytest.raises(WireError):
        read_packets(data, V311)


def test_3_1_knows_neither_session_present_nor_a_refused_filter():
    for data in (b"\x20\x02\x01\0", b"\x90\x03\0\x01\x80"):
        assert len(read_packets(data, V311)) == 1
        with pytest.raises(WireError):
            read_packets(data, V31)
