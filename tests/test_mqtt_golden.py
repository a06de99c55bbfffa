"""What real clients send, and what they need to hear; what a real mosquitto answers."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from mqtt_double import Connection, mqtt_listener

GOLDEN = Path(__file__).parent / "golden" / "mqtt"
CLOSED = " (closed)"
NEXT = "--"  # the client goes, and comes again
SETTINGS = {"": {}, "_userpass": {"user": "user", "password": "secret"}}
# Where we differ on purpose (docs/protocols/mqtt.md).
OURS: dict[str, str] = {}


def lines_of(path):
    """(direction, text) of each line."""
    found = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return [(line[0], line[2:]) for line in found]


# mosquitto


def pairs(suffix):
    lines = lines_of(GOLDEN / f"mosquitto_2.0.11{suffix}.hex")
    return [(ask, answer) for (_, ask), (_, answer) in zip(lines[::2], lines[1::2], strict=True)]


def answer_of(connection, pieces):
    heard = b"".join(connection.ask(piece) for piece in pieces)
    text = heard.hex() + (CLOSED if connection.closed else "")
    connection.close()
    return text


@pytest.mark.parametrize("suffix", SETTINGS)
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "by bytes"])
def test_the_answers_are_those_of_mosquitto(suffix, at_once):
    """One listener for all, as it was one mosquitto: what is retained stays."""
    listener = mqtt_listener(**SETTINGS[suffix])
    different = {}
    for ask, answer in pairs(suffix):
        stream = bytes.fromhex(ask)
        pieces = [stream] if at_once else [bytes([byte]) for byte in stream]
        heard = answer_of(Connection(listener), pieces)
        expected = answer.removesuffix(CLOSED).replace(" ", "") + answer[-len(CLOSED) :] * (
            answer.endswith(CLOSED)
        )
        if heard != OURS.get(ask, expected):
            different[ask] = (expected, heard)
    assert different == {}


# Clients


def conversations(path):
    """For each connection, the packets sent and all that was answered to them."""
    runs = groupby(path.read_text().splitlines()[1:], lambda line: line == NEXT)
    for _, lines in ((is_next, list(run)) for is_next, run in runs if not is_next):
        yield (
            [bytes.fromhex(line[2:]) for line in lines if line[0] == ">"],
            b"".join(bytes.fromhex(line[2:]) for line in lines if line[0] == "<"),
        )


CLIENTS = [
    path
    for path in sorted(GOLDEN.glob("*.hex"))
    if not path.stem.startswith("mosquitto_2") and not path.stem.endswith("websocket")
]
NAMED = [path for path in CLIENTS if path.stem != "paho-mqtt_v5_no_id"]


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.stem)
def test_a_client_is_answered_as_it_was_when_recorded(path):
    listener = mqtt_listener()
    for packets, expected in conversations(path):
        connection = Connection(listener)
        assert b"".join(connection.ask(packet) for packet in packets).hex() == expected.hex()
        connection.close()


@pytest.mark.parametrize("path", NAMED, ids=lambda path: path.stem)
def test_a_client_is_answered_alike_wherever_its_stream_is_cut(path):
    everything = [(b"".join(packets), answer) for packets, answer in conversations(path)]
    for cut in range(max(len(stream) for stream, _ in everything)):
        listener = mqtt_listener()
        for stream, expected in everything:
            connection = Connection(listener)
            heard = connection.ask(stream[:cut])
            assert expected.startswith(heard), cut
            assert (heard + connection.ask(stream[cut:])).hex() == expected.hex(), cut
            connection.close()


def test_a_client_without_a_name_is_given_one():
    [(packets, expected)] = conversations(GOLDEN / "paho-mqtt_v5_no_id.hex")
    before, _, after = expected.partition(b"auto-")
    heard = Connection(mqtt_listener()).ask(packets[0])
    limits, assigned = before[5:8], heard[8:11]
    assert heard[5:8] == limits
    assert heard.endswith(after[-3:])
    assert assigned[0] == 0x12  # Assigned Client Identifier
    assert heard[11:-3].isascii()
    assert len(heard[11:-3]) == int.from_bytes(assigned[1:3]) > 0
