"""MQTT inside WebSocket frames: section 6 of both specifications, and one broker behind both ways in."""

from __future__ import annotations

import uuid

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import mqtt_wire as wire
from mqtt_statements import covers
from paho_client import PahoClient

pytestmark = pytest.mark.server

WAIT_SECONDS = 30
VERSIONS = [wire.V31, wire.V311, wire.V5]


@pytest.fixture
def name():
    """A topic that is the test's own."""
    return f"websocket/{uuid.uuid4().hex}"


def opened(server, subprotocol="mqtt"):
    return connect(server.mqtt_ws, subprotocols=[subprotocol], compression=None)


def packets(client, count, version):
    """So many packets, however they are cut into frames."""
    stream = b""
    while True:
        whole, rest = wire.split(stream)
        if len(whole) >= count:
            assert rest == b""
            return wire.read_packets(stream, version)
        stream += client.recv(WAIT_SECONDS, decode=False)


def said_in_a_session(name, version):
    """What a client says that publishes to itself and goes."""
    return [
        wire.connect(f"w{uuid.uuid4().hex[:16]}", version=version),
        wire.subscribe(1, (name, 0), version=version),
        wire.publish(name, b"x" * 300, version=version),
        wire.packet(wire.PINGREQ_TYPE << 4),
    ]


def in_one_frame(stream):
    return [stream]


def in_frames_of_a_byte(stream):
    return [stream[at : at + 1] for at in range(len(stream))]


def in_fragments(stream):
    return [in_frames_of_a_byte(stream)]


@covers("6.0.0-2", "6.0.0-2")
@pytest.mark.parametrize("cut", [in_one_frame, in_frames_of_a_byte, in_fragments])
@pytest.mark.parametrize("version", VERSIONS)
def test_packets_and_frames_need_not_begin_together(shared_server, name, version, cut):
    with opened(shared_server) as client:
        for message in cut(b"".join(said_in_a_session(name, version))):
            client.send(message)
        connack, suback, message, pingresp = packets(client, 4, version)
        assert isinstance(connack, wire.Connack)
        assert isinstance(suback, wire.Suback)
        assert (message.topic, message.payload) == (name, b"x" * 300)
        assert isinstance(pingresp, wire.Pingresp)


@covers("6.0.0-1", "6.0.0-1")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_packet_in_a_text_frame_ends_the_connection(shared_server, name, version):
    introduction, *_, ping = said_in_a_session(name, version)
    with opened(shared_server) as client:
        client.send(introduction)
        packets(client, 1, version)
        client.send(ping, text=True)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(WAIT_SECONDS)
        assert closed.value.rcvd.code == 1003


@covers("6.0.0-4", "6.0.0-4")
def test_the_subprotocol_is_mqtt(shared_server):
    with connect(shared_server.mqtt_ws, subprotocols=["other", "mqttv3.1", "mqtt"]) as client:
        assert client.response.headers.get_all("Sec-WebSocket-Protocol") == ["mqtt"]


def test_clients_of_3_1_offer_their_own(shared_server):
    with opened(shared_server, "mqttv3.1") as client:
        assert client.subprotocol == "mqttv3.1"


def test_a_client_that_disconnects_is_answered_with_a_close_frame(shared_server, name):
    with opened(shared_server) as client:
        client.send(said_in_a_session(name, wire.V5)[0] + wire.disconnect())
        packets(client, 1, wire.V5)
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(WAIT_SECONDS)
        assert closed.value.rcvd.code == 1000


def test_a_client_that_comes_by_the_other_way_is_the_same_client(shared_server, name):
    with PahoClient(shared_server, kept=True) as first:
        first.subscribe(name)
        with PahoClient(
            shared_server, client_id=first.client_id, kept=True, websocket=True
        ) as second:
            assert first.told("disconnected") == "Session taken over"
            assert second.session_present
            with PahoClient(shared_server) as publisher:
                publisher.publish(name, b"to the session", 1)
            assert second.payloads(1) == [b"to the session"]


def test_what_is_retained_by_one_way_is_found_by_the_other(shared_server, name):
    with PahoClient(shared_server, websocket=True) as publisher:
        publisher.publish(name, b"kept", 1, retain=True)
    with PahoClient(shared_server) as subscriber:
        subscriber.subscribe(name)
        assert subscriber.payloads(1) == [b"kept"]
