"""What real clients send, and what they need to hear; what a real mosquitto answers."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

import mqtt_wire as wire
from mqtt_double import Connection, here_only, mqtt_listener

pytestmark = here_only

GOLDEN = Path(__file__).parent / "golden" / "mqtt"
CLOSED = " (closed)"
NEXT = "--"  # the client goes, and comes again
SETTINGS = {"": {}, "_userpass": {"user": "user", "password": "secret"}}


def heard_by(listener, pieces):
    """All that a new client is answered, and whether it was cut off."""
    connection = Connection(listener)
    heard = b""
    for piece in pieces:
        connection.send(piece)
        heard += connection.bytes()
    closed = connection.closed
    connection.drop()
    return heard, closed


def readable(data, version):
    """Messages and all else, each in order; what an alias stands for; properties in any order.

    Whether a message comes before or after an acknowledgement that is not its own is free.
    """
    aliases, messages, others = {}, [], []
    for packet in wire.read_packets(data, version):
        if not isinstance(packet, wire.Publish):
            others.append(packet)
            continue
        alias = packet.props.pop("topic_alias", None)
        topic = packet.topic or aliases[alias]
        aliases[alias] = topic
        messages.append(packet._replace(topic=topic))
    return messages, others


def version_of(stream):
    """The protocol level in the CONNECT that a stream begins with."""
    [(_, body), *_], _ = wire.split(stream)
    name_size = int.from_bytes(body[:2], "big")
    return body[2 + name_size]


# mosquitto


def pairs(name):
    """(sent, answered, closed) of a file."""
    lines = [line for line in (GOLDEN / name).read_text().splitlines() if line[0] in "<>"]
    for ask, answer in zip(lines[::2], lines[1::2], strict=True):
        yield (
            bytes.fromhex(ask[2:]),
            bytes.fromhex(answer[2:].removesuffix(CLOSED)),
            answer.endswith(CLOSED),
        )


def alike(heard, expected, ask):
    """Whether an answer says the same, if in another order."""
    if heard == expected or not heard or not expected:
        return heard == expected
    version = version_of(ask)
    return readable(heard, version) == readable(expected, version)


@pytest.mark.parametrize("suffix", SETTINGS)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "by bytes"])
def test_the_answers_are_those_of_mosquitto(suffix, at_once):
    """One listener for all, as it was one mosquitto: what is retained stays."""
    listener = mqtt_listener(**SETTINGS[suffix])
    ours = {  # where we answer otherwise; why is written there
        ask: (answer, closed) for ask, answer, closed in pairs(f"hubbub_differs{suffix}.hex")
    }
    different = {}
    for ask, answer, closed in pairs(f"mosquitto_2.0.11{suffix}.hex"):
        pieces = [ask] if at_once else [bytes([byte]) for byte in ask]
        heard, was_closed = heard_by(listener, pieces)
        expected, is_closed = ours.get(ask, (answer, closed))
        if was_closed != is_closed or not alike(heard, expected, ask):
            different[ask.hex()] = (expected.hex(), is_closed, heard.hex(), was_closed)
    assert different == {}


# Clients


def conversations(path):
    """For each connection, the packets sent and all that was answered to them."""
    runs = groupby(path.read_text().splitlines()[1:], lambda line: line == NEXT)
    for lines in [list(run) for is_next, run in runs if not is_next]:
        yield (
            [bytes.fromhex(line[2:]) for line in lines if line[0] == ">"],
            b"".join(bytes.fromhex(line[2:]) for line in lines if line[0] == "<"),
        )


CLIENTS = [
    path
    for path in sorted(GOLDEN.glob("*.hex"))
    if not path.stem.startswith(("mosquitto_2", "hubbub")) and not path.stem.endswith("websocket")
]
NAMED = [path for path in CLIENTS if path.stem != "paho-mqtt_v5_no_id"]


# A shared subscription is granted QoS 1 where mosquitto grants 2 (docs/protocols/mqtt.md).
GRANTED = bytes.fromhex("90050001000202"), bytes.fromhex("90050001000201")


def assert_answered(path, at=0):
    """Each connection is answered as it was, though every packet comes in two pieces."""
    listener = mqtt_listener()
    for packets, recorded in conversations(path):
        expected = (
            recorded.replace(*GRANTED) if path.stem == "mosquitto_sub_v5_options" else recorded
        )
        version = version_of(packets[0])
        pieces = [piece for packet in packets for piece in (packet[:at], packet[at:])]
        heard, _ = heard_by(listener, pieces)
        assert readable(heard, version) == readable(expected, version)


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.stem)
def test_a_client_is_answered_as_it_was_when_recorded(path):
    assert_answered(path)


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.stem)
def test_a_client_is_answered_alike_wherever_its_packets_are_cut(path):
    longest = max(len(packet) for packets, _ in conversations(path) for packet in packets)
    for at in range(1, longest):
        assert_answered(path, at)


def test_a_client_without_a_name_is_given_one():
    [(packets, expected)] = conversations(GOLDEN / "paho-mqtt_v5_no_id.hex")
    heard, _ = heard_by(mqtt_listener(), packets)
    [ours] = wire.read_packets(heard, wire.V5)
    [theirs] = wire.read_packets(expected, wire.V5)
    assert ours.props.pop("assigned_client_identifier")
    assert theirs.props.pop("assigned_client_identifier")
    assert ours == theirs
