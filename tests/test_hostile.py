"""Bad input on real sockets: the protocol's own error or a closed connection, and nobody else notices."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import subprocess
import sys
import uuid

import pytest
import redis

import hubbub
from clients import ConfluentKafka, event
from serving import free_port

pytestmark = pytest.mark.server

MEBIBYTE = 1024 * 1024


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


LISTENERS = ("kafka", "redis", "bus")


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("verb", [b"GET", b"POST", b"PUT", b"OPTIONS", b"HEAD"])
def test_a_browser_that_is_sent_to_a_text_port_gets_hung_up_on(connect, listener, verb):
    peer = connect(listener)
    peer.sendall(verb + b" / HTTP/1.1\r\nHost: localhost\r\n\r\nPING\r\n")
    assert b"PONG" not in read_to_end(peer)


@pytest.mark.parametrize("listener", LISTENERS)
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
        ("bus", struct.pack(">I", 2**32 - 1)),
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
    frame = {"redis": b"*1\r\n$4\r\nPING\r\n", "kafka": API_VERSIONS, "bus": b"\x00\x00\x00\x10"}[
        listener
    ]
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
