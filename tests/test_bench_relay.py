from __future__ import annotations

import random
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from hubbub.bench.peers import PEERS, running

# More than the sockets' buffers hold, so that the relay has to wait for a subscriber.
PAYLOAD = random.Random(0).randbytes(20_000_000)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with running(PEERS["relay"], "redis", tmp_path_factory.mktemp("relay") / "relay") as started:
        yield started.ports["redis"]


@pytest.fixture
def join(port):
    with ExitStack() as stack:

        def connect(line):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            connection.sendall(line)
            assert connection.recv(1) == b"+"
            return connection

        yield connect


def read(connection, size):
    received = bytearray()
    while len(received) < size:
        received += connection.recv(1 << 20)
    return bytes(received)


@pytest.fixture
def pool():
    with ThreadPoolExecutor() as executor:
        yield executor


@pytest.mark.server
def test_all_of_a_group_get_every_byte_and_nobody_else_gets_any(join, pool):
    subscribers = [join(b"S 1\n") for _ in range(3)]
    stranger = join(b"S 2\n")
    publisher = join(b"P 1\n")
    received = [pool.submit(read, each, len(PAYLOAD)) for each in subscribers]
    publisher.sendall(PAYLOAD)
    assert [each.result() == PAYLOAD for each in received] == [True] * 3
    join(b"P 2\n").sendall(b"for the other group")
    assert read(stranger, 1) == b"for the other group"


@pytest.mark.server
def test_a_subscriber_that_reads_nothing_stops_the_group_until_it_leaves(join, pool):
    leaver, stayer = join(b"S 3\n"), join(b"S 3\n")
    publisher = join(b"P 3\n")
    sending = pool.submit(publisher.sendall, PAYLOAD)
    begun = read(stayer, 100_000)
    assert not sending.done()
    leaver.close()
    assert begun + read(stayer, len(PAYLOAD) - len(begun)) == PAYLOAD
    sending.result()


@pytest.mark.server
def test_a_first_line_that_means_nothing_is_hung_up_on(port):
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"X 1\n")
        assert connection.recv(1) == b""
