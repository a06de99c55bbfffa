from __future__ import annotations

import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.server import binding
from hubbub.server.binding import BindingError, Endpoint
from hubbub.server.port_owner import port_owner


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        yield occupant.getsockname()[1]


def close(sockets):
    for each in sockets:
        each.close()


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("", "127.0.0.1", 9092),
        (":0", "127.0.0.1", 0),
        (":19092", "127.0.0.1", 19092),
        ("0.0.0.0:1", "0.0.0.0", 1),
        ("[::1]:9092", "::1", 9092),
        ("broker.example:65535", "broker.example", 65535),
    ],
)
def test_an_address_is_host_and_port_or_port_alone(text, host, port):
    assert binding.parse_endpoint("kafka", text) == Endpoint("kafka", host, port)


@pytest.mark.parametrize("text", ["9092", "host", ":65536", ":-1", ":x", "host:", ":٣"])
def test_anything_else_is_no_address(text):
    with pytest.raises(BindingError, match="host:port"):
        binding.parse_endpoint("kafka", text)


@given(st.text(max_size=20))
def test_no_text_makes_the_parser_raise_anything_else(text):
    try:
        endpoint = binding.parse_endpoint("redis", text)
    except BindingError:
        return
    assert 0 <= endpoint.port <= 65535


def test_listen_names_listeners():
    assert binding.parse_endpoints("kafka=127.0.0.1:19092, redis=:0") == [
        Endpoint("kafka", "127.0.0.1", 19092),
        Endpoint("redis", "127.0.0.1", 0),
    ]
    assert binding.parse_endpoints("") == []
    with pytest.raises(BindingError, match="no listener 'kafak': kafka, redis"):
        binding.parse_endpoints("kafak=:0")
    with pytest.raises(BindingError, match="one address"):
        binding.parse_endpoints("redis=:0,redis=:1")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_let_through(host):
    binding.refuse_exposure([Endpoint("kafka", host, 9092)])


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "broker.example", "127.0.0.1.example"]
)
def test_all_else_is_refused_by_name(host):
    with pytest.raises(BindingError, match=r"redis=.*:6379: refusing.*--insecure"):
        binding.refuse_exposure([Endpoint("kafka", "127.0.0.1", 1), Endpoint("redis", host, 6379)])


def test_every_taken_port_is_named_and_nothing_stays_bound(taken):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    wanted = [
        Endpoint("kafka", "127.0.0.1", taken),
        Endpoint("redis", "127.0.0.1", taken),
        Endpoint("bus", "127.0.0.1", free),
    ]
    with pytest.raises(BindingError) as refused:
        binding.bind_all(wanted)
    kafka, redis = str(refused.value).splitlines()
    assert kafka.startswith(f"kafka: 127.0.0.1:{taken}: the port is taken")
    assert "--listen kafka=" in kafka
    assert redis.startswith("redis: ")
    binding.bind(wanted[2]).close()


def test_a_host_that_is_not_ours_says_why():
    with pytest.raises(BindingError, match=r"kafka: 192\.0\.2\.1:9092: Cannot assign"):
        binding.bind_all([Endpoint("kafka", "192.0.2.1", 9092)])


def test_shifting_leaves_a_free_port_alone_and_moves_a_taken_one_by_ten_thousand(taken):
    moved, free = binding.bind_shifting(
        [Endpoint("kafka", "127.0.0.1", taken), Endpoint("redis", "127.0.0.1", 0)]
    )
    try:
        port = moved.getsockname()[1]
        assert port != taken
        # Beyond the last 10,000 there is only any free port.
        assert taken + 10_000 > 0xFFFF or (port - taken) % 10_000 == 0
    finally:
        close([moved, free])


def test_a_bound_socket_tells_its_address():
    bound = binding.bind(Endpoint("kafka", "127.0.0.1", 0))
    assert binding.bound_address(bound) == f"127.0.0.1:{bound.getsockname()[1]}"
    bound.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6_is_written_in_brackets():
    try:
        bound = binding.bind(Endpoint("kafka", "::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback")
    assert binding.bound_address(bound).startswith("[::1]:")
    assert str(Endpoint("kafka", "::1", 7)) == "[::1]:7"
    bound.close()


@pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
def test_the_owner_of_a_port_is_named(taken):
    assert port_owner(taken).endswith(f"(pid {os.getpid()})")


def test_nobody_owns_a_free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert port_owner(probe.getsockname()[1]) == ""
