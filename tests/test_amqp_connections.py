"""What a connection of AMQP agrees on, and what it bears: limits, heartbeats, pressure."""

from __future__ import annotations

import contextlib
import socket
import threading

import pamqp.commands as methods
import pamqp.frame
import pika
import pytest
from pamqp.body import ContentBody
from pamqp.header import ProtocolHeader
from pamqp.heartbeat import Heartbeat

from amqp_clients import Pika, here_only
from clients import WAIT_SECONDS

pytestmark = pytest.mark.server

CAPABILITIES = {
    "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
    "connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos",
    "direct_reply_to",
}  # fmt: skip


@pytest.fixture
def pika_client(amqp_url):
    with Pika(amqp_url) as client:
        yield client


class Wire:
    """One connection, frame by frame."""

    def __init__(self, url):
        parts = pika.URLParameters(url)
        self.socket = socket.create_connection((parts.host, parts.port), WAIT_SECONDS)
        self._received = b""

    def send(self, *frames, channel=0):
        self.socket.sendall(b"".join(pamqp.frame.marshal(frame, channel) for frame in frames))

    def read(self):
        """The next frame; None when the server has closed."""
        while True:
            if self._received:
                with contextlib.suppress(pamqp.exceptions.UnmarshalingException):
                    used, _channel, frame = pamqp.frame.unmarshal(self._received)
                    self._received = self._received[used:]
                    return frame
            with contextlib.suppress(ConnectionResetError):
                chunk = self.socket.recv(65536)
                if chunk:
                    self._received += chunk
                    continue
            return None

    def open(self, **tuned):
        """Up to connection.open-ok, with what is agreed on in tune-ok; the server's proposal."""
        self.send(ProtocolHeader(0, 9, 1))
        assert isinstance(self.read(), methods.Connection.Start)
        self.send(methods.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"))
        tune = self.read()
        assert isinstance(tune, methods.Connection.Tune)
        agreed = {"channel_max": tune.channel_max, "frame_max": tune.frame_max, "heartbeat": 0}
        self.send(methods.Connection.TuneOk(**agreed | tuned), methods.Connection.Open("/"))
        assert isinstance(self.read(), methods.Connection.OpenOk)
        return tune

    def close(self):
        self.socket.close()


@pytest.fixture
def wire(amqp_url):
    with contextlib.closing(Wire(amqp_url)) as connection:
        yield connection


def test_the_server_says_what_it_is_and_can(pika_client):
    server = pika_client.connection._impl.server_properties
    assert server["product"] == "RabbitMQ"
    assert int(server["version"].split(".")[0]) >= 3
    able = {name for name, value in server["capabilities"].items() if value}
    assert able >= CAPABILITIES


def test_another_protocol_is_answered_with_the_one_that_is_spoken(wire):
    wire.socket.sendall(b"AMQP\x03\x01\x00\x00")
    assert wire.socket.recv(100) == b"AMQP\x00\x00\x09\x01"
    assert wire.read() is None


def test_the_server_proposes_limits_and_keeps_to_what_is_agreed(wire, pika_client, name):
    tune = wire.open(frame_max=4096)
    assert (tune.channel_max, tune.frame_max, tune.heartbeat) == (2047, 131072, 60)
    pika_client.declare_queue(name)
    pika_client.publish("", name, b"x" * 10_000)
    wire.send(methods.Channel.Open(), methods.Basic.Get(queue=name, no_ack=True), channel=1)
    frames = [wire.read() for _ in range(6)]
    assert isinstance(frames[1], methods.Basic.GetOk)
    assert [len(frame.value) for frame in frames[3:]] == [4088, 4088, 1824]


def test_a_frame_larger_than_agreed_is_an_error(wire):
    wire.open(frame_max=4096)
    wire.send(methods.Channel.Open(), channel=1)
    assert isinstance(wire.read(), methods.Channel.OpenOk)
    wire.socket.sendall(b"\x03\x00\x01" + (100_000).to_bytes(4) + b"x" * 5000)
    closed = wire.read()
    assert isinstance(closed, methods.Connection.Close)
    assert closed.reply_code == 501
    assert closed.reply_text == (
        "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,100000,4088}"
    )


def test_a_channel_beyond_those_agreed_on_is_an_error(wire):
    wire.open(channel_max=4)
    for number in range(1, 5):
        wire.send(methods.Channel.Open(), channel=number)
        assert isinstance(wire.read(), methods.Channel.OpenOk)
    wire.send(methods.Channel.Open(), channel=5)
    closed = wire.read()
    assert isinstance(closed, methods.Connection.Close)
    assert (closed.reply_code, closed.reply_text) == (
        530, "NOT_ALLOWED - number of channels opened (4) has reached the negotiated channel_max (4)",
    )  # fmt: skip


def test_a_method_on_a_channel_that_is_not_open_is_an_error(wire):
    wire.open()
    wire.send(methods.Basic.Qos(prefetch_count=1), channel=3)
    closed = wire.read()
    assert isinstance(closed, methods.Connection.Close)
    assert (closed.reply_code, closed.reply_text) == (
        504, "CHANNEL_ERROR - expected 'channel.open'",
    )  # fmt: skip


def test_who_still_writes_when_it_is_closed_reads_why_and_answers(wire):
    """A socket that is closed with something unread is reset, and with it what the client says."""
    wire.open()
    wire.send(methods.Basic.Qos(prefetch_count=1), channel=3)
    for _ in range(50):
        wire.send(methods.Queue.Declare(queue="x" * 100, nowait=True), ContentBody(b"x" * 100_000))
    assert wire.read().reply_code == 504
    wire.send(methods.Connection.CloseOk())
    assert wire.read() is None


def test_heartbeats_are_sent_and_who_sends_none_is_given_up(wire):
    wire.open(heartbeat=1)
    frames = []
    while (frame := wire.read()) is not None:
        frames.append(frame)
    assert frames
    assert all(isinstance(frame, Heartbeat) for frame in frames)


def test_who_sends_heartbeats_stays(wire):
    wire.open(heartbeat=1)
    for _ in range(6):  # two a second, so three seconds: without them it were closed by then
        assert isinstance(wire.read(), Heartbeat)
        wire.send(Heartbeat())
    wire.send(methods.Channel.Open(), channel=1)
    while isinstance(frame := wire.read(), Heartbeat):
        pass
    assert isinstance(frame, methods.Channel.OpenOk)


def test_channels_are_many_and_of_their_own(amqp_url, name):
    with Pika(amqp_url) as client:
        channels = [client.connection.channel() for _ in range(200)]
        client.declare_queue(name)
        for number, channel in enumerate(channels):
            channel.basic_publish("", name, b"%d" % number)
        channels[0].close()
        client.await_count(name, 200)
        tags = {channel.basic_get(name)[0].delivery_tag for channel in channels[1:]}
        assert tags == {1}


def test_flow_is_answered_and_a_client_may_stop_deliveries_by_cancelling(wire):
    wire.open()
    wire.send(methods.Channel.Open(), methods.Channel.Flow(active=True), channel=1)
    assert isinstance(wire.read(), methods.Channel.OpenOk)
    flow = wire.read()
    assert isinstance(flow, methods.Channel.FlowOk)
    assert flow.active


class Flooding(threading.Thread):
    """Publishes transient messages until the server held it back and let it go on again."""

    def __init__(self, url, queue):
        super().__init__(daemon=True)
        self.url, self.queue = url, queue
        self.told = {"blocked": threading.Event(), "free": threading.Event()}
        self.start()

    def run(self):
        with Pika(self.url, confirms=False) as client:
            connection = client.connection
            inner = connection._impl  # it calls back also while a publish waits for the socket
            inner.add_on_connection_blocked_callback(lambda *_: self.told["blocked"].set())
            inner.add_on_connection_unblocked_callback(lambda *_: self.told["free"].set())
            while not self.told["free"].is_set():
                if self.told["blocked"].is_set():
                    connection.process_data_events(0.1)
                else:
                    client.publish("", self.queue, bytes(4 * 1024 * 1024))


@here_only
@pytest.mark.long  # a gibibyte of messages
@pytest.mark.timeout(200)
def test_publishers_are_held_back_when_memory_runs_short(server, name):
    """connection.blocked, to who said that it understands; consumers make room again."""
    with Pika(server.amqp) as worker:
        worker.declare_queue(name)
        flooding = Flooding(server.amqp, name)
        assert flooding.told["blocked"].wait(100)
        assert worker.get(name).body == bytes(4 * 1024 * 1024)  # consuming goes on
        assert not flooding.told["free"].is_set()
        worker.purge(name)
        assert flooding.told["free"].wait(WAIT_SECONDS)
        flooding.join()
