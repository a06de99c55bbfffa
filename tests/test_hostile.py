"""Bad input on real sockets: the protocol's own error or a closed connection, and nobody else notices."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import uuid

import pytest
import redis

import hubbub
import websocket_wire
from clients import ConfluentKafka, NatsPy, event
from nats_double import QUIET, frames, messages_of, pub
from serving import free_port

pytestmark = pytest.mark.server

MEBIBYTE = 1024 * 1024
OPENING = websocket_wire.request({"Sec-WebSocket-Protocol": "mqtt"})


@pytest.fixture
def connect(shared_server):
    with contextlib.ExitStack() as stack:

        def make(listener: str) -> socket.socket:
            peer = socket.create_connection(("127.0.0.1", shared_server.ports[listener]), 10)
            return stack.enter_context(peer)

        yield make


def read_to_end(peer: socket.socket) -> bytes:
    """Everything until the server closes; a time-out means that it did not."""
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := peer.recv(65536):
            got += chunk
    return got


def still_works(server) -> bool:
    name = f"alive.{uuid.uuid4().hex}"
    with hubbub.Broker.connect(server.url) as broker:
        broker.create_topic(name)
    with ConfluentKafka(server).subscribed(name) as inbox:
        client = redis.Redis(port=server.ports["redis"])
        client.publish(name, event(1))
        client.close()
        return inbox.take(1) == [event(1)]


LISTENERS = ("kafka", "redis", "nats", "bus")


@pytest.mark.parametrize("listener", [*LISTENERS, "mqtt-ws"])
@pytest.mark.parametrize("verb", [b"GET", b"POST", b"PUT", b"OPTIONS", b"HEAD"])
def test_a_browser_that_is_sent_to_a_text_port_gets_hung_up_on(connect, listener, verb):
    peer = connect(listener)
    peer.sendall(verb + b" / HTTP/1.1\r\nHost: localhost\r\n\r\nPING\r\n")
    assert b"PONG" not in read_to_end(peer)


@pytest.mark.parametrize("listener", [*LISTENERS, "mqtt-ws"])
def test_garbage_ends_one_connection_and_nothing_else(shared_server, connect, listener):
    rng = random.Random(listener)
    for size in (1, 7, 100, 5000, 70_000):
        peer = connect(listener)
        with contextlib.suppress(OSError):
            peer.sendall(rng.randbytes(size) + b"\r\n")
            peer.shutdown(socket.SHUT_WR)
            read_to_end(peer)
    assert still_works(shared_server)


@pytest.mark.parametrize(
    ("listener", "start"),
    [
        ("kafka", struct.pack(">i", 2**31 - 1)),
        ("kafka", struct.pack(">i", 90 * MEBIBYTE) + b"\x00\x12\x00\x00"),
        ("redis", b"*1048576\r\n$536870912\r\n"),
        ("redis", b"*1000000\r\n"),
        ("nats", b"PUB a 1048576\r\n"),
        ("nats", b"PUB a 999999999\r\n"),
        ("bus", struct.pack(">I", 2**32 - 1)),
        ("mqtt-ws", OPENING + websocket_wire.frame(websocket_wire.BINARY, length=2**62)),
        ("mqtt-ws", OPENING + websocket_wire.frame(websocket_wire.BINARY, length=16 * MEBIBYTE)),
    ],
)
def test_a_length_is_no_reason_to_reserve_memory(shared_server, connect, listener, start):
    before = shared_server.memory_kib()
    peers = [connect(listener) for _ in range(50)]
    for peer in peers:
        with contextlib.suppress(OSError):
            peer.sendall(start)
    assert still_works(shared_server)
    assert shared_server.memory_kib() - before < 64 * 1024


@pytest.mark.parametrize("listener", LISTENERS)
def test_a_request_sent_one_byte_at_a_time_disturbs_nobody(shared_server, connect, listener):
    slow = connect(listener)
    slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if listener == "nats":
        assert slow.recv(1000).startswith(b"INFO ")
    frame = {
        "redis": b"*1\r\n$4\r\nPING\r\n",
        "kafka": API_VERSIONS,
        "nats": b"PING\r\n",
        "bus": b"\x00\x00\x00\x10",
    }[listener]
    for byte in frame[:-1]:
        slow.sendall(bytes([byte]))
    assert still_works(shared_server)
    if listener != "bus":
        slow.sendall(frame[-1:])
        assert slow.recv(100)


API_VERSIONS = struct.pack(">ihhih", 13, 18, 0, 7, 3) + b"abc"


def test_an_api_version_that_is_too_new_is_answered_with_the_versions_there_are(connect):
    """KIP-511: error 35 in the oldest form, and the range of ApiVersions itself."""
    peer = connect("kafka")
    peer.sendall(struct.pack(">ihhih", 14, 18, 99, 7, 3) + b"abc\x00")
    _, correlation, error, count, key, _, newest = struct.unpack(">iihihhh", peer.recv(100)[:20])
    assert (correlation, error, count, key) == (7, 35, 1, 18)
    assert newest >= 4


def test_an_unknown_api_key_closes_the_connection(connect):
    peer = connect("kafka")
    peer.sendall(struct.pack(">ihhih", 13, 999, 0, 7, 3) + b"abc")
    assert read_to_end(peer) == b""


def test_an_unknown_command_is_answered_in_redis_own_words(connect):
    peer = connect("redis")
    peer.sendall(b"*3\r\n$6\r\nFOOBAR\r\n$1\r\na\r\n$1\r\nb\r\n")
    expected = b"-ERR unknown command 'FOOBAR', with args beginning with: 'a' 'b' \r\n"
    assert peer.recv(1000) == expected


def test_a_subscriber_that_never_reads_costs_only_itself(shared_server, connect):
    name = f"slow.{uuid.uuid4().hex}".encode()
    stuck = connect("redis")
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.sendall(b"*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%s\r\n" % (len(name), name))
    assert stuck.recv(1)
    before = shared_server.memory_kib()
    client = redis.Redis(port=shared_server.ports["redis"])
    payload = os.urandom(256 * 1024)
    receivers = [client.publish(name, payload) for _ in range(400)]
    client.close()
    assert receivers[0] == 1
    assert receivers[-1] == 0  # 100 MiB later it is gone
    assert shared_server.memory_kib() - before < 96 * 1024


# NATS


def nats_works(server) -> bool:
    name = f"alive.{uuid.uuid4().hex}"
    with NatsPy(server).subscribed(name) as inbox:
        NatsPy(server).publish(name, [event(1)])
        return inbox.take(1) == [event(1)]


@pytest.fixture
def nats(connect):
    """Raw connections that have got INFO, and whatever they were told to send at first."""

    def make(first: bytes = QUIET) -> socket.socket:
        peer = connect("nats")
        peer.sendall(first + b"PING\r\n")
        assert read_until(peer, b"PONG\r\n").startswith(b"INFO ")
        return peer

    return make


def read_until(peer: socket.socket, end: bytes) -> bytes:
    """All up to ``end``, without the PING that the server sends when it finds the time."""
    got = bytearray()
    while not got.removesuffix(SERVER_PING).endswith(end):
        chunk = peer.recv(1024 * 1024)
        assert chunk, bytes(got[-200:])
        got += chunk
    return bytes(got).replace(SERVER_PING, b"", 1)


SERVER_PING = b"PING\r\n"


UNKNOWN = b"-ERR 'Unknown Protocol Operation'\r\n"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"SUB " + b"a" * 5000 + b" 1\r\n", b"-ERR 'maximum control line exceeded'\r\n"),
        (b"PUB " + b"a" * 70_000, b"-ERR 'maximum control line exceeded'\r\n"),
        (b'CONNECT {"x":' + b"[" * 4000 + b"}\r\n", b""),
        (b"PUB {} 1048577\r\n", b"-ERR 'Maximum Payload Violation'\r\n"),
        (b"PUB {} 99999999999999999999\r\n", b""),
        (b"PUB {} -1\r\n", b""),
        (b"PUB {} 2\r\nhello\r\n", UNKNOWN),
        (b"PUB {} 5\r\nhi\r\nPING\r\n", UNKNOWN),
        (b"HPUB {} 9 2\r\nhi\r\n", b""),
        (b"MSG {} 1 2\r\nhi\r\n", UNKNOWN),
    ],
    ids=lambda value: value[:20].decode(),
)
def test_a_line_that_breaks_the_protocol_is_answered_as_nats_does_and_ends_it(
    shared_server, nats, sent, answer
):
    name = uuid.uuid4().hex.encode()
    watcher = nats(QUIET + b"SUB %b 1\r\n" % name)
    peer = nats()
    with contextlib.suppress(OSError):
        peer.sendall(sent.replace(b"{}", name))
    assert read_to_end(peer) in {answer, b""}  # what was left unread may turn the end into a reset
    watcher.sendall(b"PING\r\n")
    assert read_until(watcher, b"PONG\r\n") == b"PONG\r\n"
    assert nats_works(shared_server)


def test_no_subject_smuggles_a_frame_into_another_connection(shared_server, nats):
    watcher = nats(QUIET + b"SUB > 1\r\n")
    tricks = [
        b"PUB a\rMSG 0\r\n\r\n",
        b"PUB a\x00MSG 0\r\n\r\n",
        b"PUB a%0D%0AMSG 0\r\n\r\n",
        b"PUB a%0AMSG.\xff 0\r\n\r\n",
        pub(b"a", b"\r\nMSG a 1 0\r\n\r\n"),
        pub(b"a", b"x", b"r", b"NATS/1.0\r\n\r\n\r\nMSG a 1 0\r\n\r\n"),
        pub(b"a", b"x", b"MSG"),
    ]
    peer = nats()
    peer.sendall(b"PUB a r\x0b5 0\r\n\r\n" + b"".join(tricks))
    client = redis.Redis(port=shared_server.ports["redis"])
    client.publish(b"a\r\nMSG a 1 0\r\n\r\n", b"last")
    client.close()
    got = messages_of(read_until(watcher, b"last\r\n"))
    assert {message.sid for message in got} == {b"1"}
    assert len(got) == len(tricks) + 1


def test_a_million_subscriptions_are_too_many_for_one_client_and_nothing_to_the_others(
    shared_server, nats
):
    count, most = 1_000_000, 100_000
    greedy = nats()
    complaint = b"-ERR 'maximum subscriptions exceeded'\r\n"
    heard = []
    reader = threading.Thread(target=lambda: heard.append(read_until(greedy, b"PONG\r\n")))
    reader.start()
    for first in range(0, count, most):
        greedy.sendall(b"".join(b"SUB s.%d %d\r\n" % (n, n) for n in range(first, first + most)))
        assert nats_works(shared_server)
    greedy.sendall(b"PING\r\n")
    reader.join()
    assert heard == [complaint * (count - most) + b"PONG\r\n"]
    greedy.sendall(pub(b"s.99999", b"x") + pub(b"s.100000", b"y") + b"PING\r\n")
    assert [message.sid for message in frames(read_until(greedy, b"PONG\r\n"))[:-1]] == [b"99999"]


def test_a_nats_subscriber_that_never_reads_costs_only_itself(shared_server, nats):
    name = uuid.uuid4().hex.encode()
    stuck = nats(QUIET + b"SUB %b 1\r\n" % name)
    reading = nats(QUIET + b"SUB %b 1\r\n" % name)
    publisher = nats()
    before = shared_server.memory_kib()
    payload = os.urandom(256 * 1024)
    for _ in range(400):
        publisher.sendall(pub(name, payload))
        read_until(reading, payload + b"\r\n")
    assert shared_server.memory_kib() - before < 96 * 1024
    assert len(read_to_end(stuck)) < 64 * MEBIBYTE  # of 100: it is cut off
    assert nats_works(shared_server)


def test_a_client_that_asks_and_never_reads_is_not_read_either(shared_server, nats):
    peer = nats()
    peer.settimeout(1)
    before = shared_server.memory_kib()
    with pytest.raises(TimeoutError):
        peer.sendall(b"PING\r\n" * 10_000_000)
    assert shared_server.memory_kib() - before < 32 * 1024
    assert nats_works(shared_server)


def test_a_server_refuses_to_be_seen_from_outside_without_authentication(tmp_path):
    command = [sys.executable, "-m", "hubbub", "serve", "--memory", "--only", "redis"]
    refused = subprocess.run(
        [*command, "--listen", f"redis=0.0.0.0:{free_port()}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode == 78
    assert "--insecure" in refused.stderr


def test_a_taken_port_names_the_listener_and_the_flag(shared_server, tmp_path):
    port = shared_server.ports["redis"]
    refused = subprocess.run(
        [
            sys.executable,
            "-m",
            "hubbub",
            "serve",
            "--memory",
            "--listen",
            f"redis=127.0.0.1:{port},kafka=:0,nats=:0,bus=:0",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode == 78
    assert "redis" in refused.stderr
    assert "--listen" in refused.stderr


def test_a_data_directory_serves_one_process(shared_server):
    data = shared_server.directory / "data"
    refused = subprocess.run(
        [
            sys.executable,
            "-m",
            "hubbub",
            "serve",
            "--data",
            str(data),
            "--listen",
            "redis=:0,kafka=:0,nats=:0,bus=:0",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode == 78
    assert str(data) in refused.stderr
