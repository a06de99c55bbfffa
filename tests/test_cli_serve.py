"""`hubbub serve` and `hubbub up`, as processes."""

from __future__ import annotations

import contextlib
import json
import signal
import socket

import pytest
import redis

from command import SECONDS, hubbub, start

pytestmark = pytest.mark.server

ANY_PORTS = ("--listen", "kafka=:0,redis=:0")


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture
def running(home):
    """Starts a server; its first lines, one per listener, as a dictionary."""
    with contextlib.ExitStack() as stack:

        def run(*arguments: str, listeners: int = 2, **variables: str):
            process = stack.enter_context(start(*arguments, home=home, **variables))
            stack.callback(process.kill)
            lines = [process.stdout.readline() for _ in range(listeners)]
            assert all(lines), process.stderr.read()
            return process, dict(line.split() for line in lines)

        yield run


@pytest.fixture
def taken():
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        yield occupant.getsockname()[1]


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    return process.wait(SECONDS)


def test_it_prints_what_each_listener_is_bound_to_and_serves_there(running):
    process, bound = running("serve", "--memory", *ANY_PORTS)
    assert bound.keys() == {"kafka", "redis"}
    host, _, port = bound["redis"].rpartition(":")
    with redis.Redis(host=host, port=int(port)) as client:
        assert client.ping()
    assert end(process) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order_with_clients_connected(running, number):
    process, bound = running("serve", "--memory", *ANY_PORTS)
    host, _, port = bound["redis"].rpartition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
        assert end(process, number) == 0
        assert client.recv(100) == b""
    assert "Traceback" not in process.stderr.read()


def test_the_ready_file_holds_the_addresses_while_it_serves(running, home):
    ready = home / "ready.json"
    ready.write_text('{"kafka": "of a run before"}')
    process, bound = running("serve", "--memory", *ANY_PORTS, "--ready-file", str(ready))
    assert json.loads(ready.read_text()) == bound
    assert [path.name for path in home.iterdir() if path.name.startswith(".ready")] == []
    assert end(process) == 0
    assert not ready.exists()


def test_only_opens_those_and_listen_moves_them(running):
    _, bound = running("serve", "--memory", *ANY_PORTS, "--only", "redis", listeners=1)
    assert bound.keys() == {"redis"}


def test_every_taken_port_is_named_and_the_exit_code_is_ex_config(home, taken):
    listen = f"kafka=127.0.0.1:{taken},redis=127.0.0.1:{taken}"
    ended = hubbub("serve", "--memory", "--listen", listen, home=home)
    assert ended.returncode == 78
    assert ended.stdout == ""
    for name in ("kafka", "redis"):
        assert f"{name}: 127.0.0.1:{taken}: the port is taken" in ended.stderr
        assert f"--listen {name}=" in ended.stderr


def test_a_data_directory_in_use_is_refused(running, home):
    data = ("--data", str(home / "data"))
    running("serve", *data, *ANY_PORTS)
    second = hubbub("serve", *data, *ANY_PORTS, home=home)
    assert second.returncode == 78
    assert str(home / "data") in second.stderr
    assert "Traceback" not in second.stderr


def test_nobody_else_is_let_in_without_users(home):
    exposed = ("serve", "--memory", "--listen", "redis=0.0.0.0:0")
    ended = hubbub(*exposed, home=home)
    assert ended.returncode == 78
    assert "--insecure" in ended.stderr


def test_insecure_says_that_this_is_meant(running):
    process, bound = running(
        "serve", "--memory", "--listen", "redis=0.0.0.0:0", "--insecure", listeners=1
    )
    assert bound["redis"].startswith("0.0.0.0:")
    assert end(process) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("--only", "kafak"), 78, "no listener 'kafak'"),
        (("--listen", "kafka=9092"), 78, "host:port"),
        (("--config", "nowhere.toml"), 78, "nowhere.toml"),
        (("--memory", "--data", "here"), 2, "exclude each other"),
        (("--nonsense",), 2, "--nonsense"),
    ],
)
def test_what_it_is_told_wrongly_is_said(home, arguments, code, complaint):
    ended = hubbub("serve", *arguments, home=home)
    assert ended.returncode == code
    assert complaint in ended.stderr


def test_flags_overrule_the_environment_that_overrules_the_file(running, home):
    file = home / "hubbub.toml"
    file.write_text(f'server.data = "{home}/file"\nlisteners.redis.address = "nonsense"')
    running(
        "serve",
        *ANY_PORTS,
        "--data",
        str(home / "flag"),
        HUBBUB_CONFIG=str(file),
        HUBBUB_DATA_DIR=str(home / "environment"),
    )
    assert [name for name in ("file", "environment", "flag") if (home / name).exists()] == ["flag"]


def test_configured_topics_are_there_before_any_client(running, home):
    from confluent_kafka.admin import AdminClient

    file = home / "hubbub.toml"
    file.write_text('[[topics]]\nname = "orders"\npartitions = 6')
    _, bound = running("serve", "--memory", "--config", str(file), *ANY_PORTS)
    topics = AdminClient({"bootstrap.servers": bound["kafka"]}).list_topics(timeout=10).topics
    assert len(topics["orders"].partitions) == 6


def test_a_configured_topic_that_cannot_be_is_a_configuration_error(home):
    file = home / "hubbub.toml"
    file.write_text('[[topics]]\nname = "orders"\npartitions = 0')
    ended = hubbub("serve", "--memory", "--config", str(file), *ANY_PORTS, home=home)
    assert ended.returncode == 78
    assert "partition" in ended.stderr


def test_up_moves_out_of_the_way_and_says_so(home, taken):
    with start("up", "--memory", "--listen", f"redis=127.0.0.1:{taken},kafka=:0", home=home) as up:
        try:
            banner = "".join(up.stdout.readline() for _ in range(5))
        finally:
            up.send_signal(signal.SIGTERM)
            assert up.wait(SECONDS) == 0
    assert "ready in" in banner
    assert "nothing on disk" in banner
    assert f"! redis: 127.0.0.1:{taken} is taken, moved to 127.0.0.1:" in banner
    assert "! kafka" not in banner
    assert 'eval "$(hubbub env)"' in banner


def test_up_lists_the_listeners_by_their_titles(home):
    listen = ("--listen", "redis=:0,mqtt-ws=:0")
    with start("up", "--memory", *listen, home=home) as up:
        try:
            lines = [up.stdout.readline() for _ in range(3)][1:]
        finally:
            up.send_signal(signal.SIGTERM)
            assert up.wait(SECONDS) == 0
    assert [line[:22].strip() for line in lines] == ["Redis", "MQTT over WebSocket"]
    assert [line[22:32] for line in lines] == ["127.0.0.1:", "127.0.0.1:"]


@pytest.mark.parametrize("only", ["mqtt-ws", "mqtt-ws,mqtt"])
def test_websocket_may_be_the_only_way_in(running, only):
    process, bound = running(
        "serve", "--memory", "--listen", "mqtt=:0,mqtt-ws=:0", "--only", only,
        listeners=only.count(",") + 1,
    )  # fmt: skip
    assert bound.keys() == set(only.split(","))
    host, _, port = bound["mqtt-ws"].rpartition(":")
    with socket.create_connection((host, int(port))) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert browser.recv(100).startswith(b"HTTP/1.1 426 ")
    assert end(process) == 0


def test_env_finds_the_server_that_runs_and_forgets_it_when_it_ends(running, home):
    process, bound = running("serve", "--memory", *ANY_PORTS)
    found = json.loads(hubbub("env", "--json", home=home).stdout)
    assert found["KAFKA_BOOTSTRAP_SERVERS"] == bound["kafka"]
    assert found["REDIS_URL"] == f"redis://{bound['redis']}"
    end(process)
    found = json.loads(hubbub("env", "--json", home=home).stdout)
    assert found["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:9092"


def test_a_second_server_does_not_take_the_first_ones_place(running, home):
    _, first = running("serve", "--memory", *ANY_PORTS)
    second, _ = running("serve", "--memory", *ANY_PORTS)
    end(second)
    assert json.loads(hubbub("env", "--json", home=home).stdout)["KAFKA_BROKERS"] == first["kafka"]


def test_a_server_that_was_killed_is_not_taken_for_running(running, home):
    process, _ = running("serve", "--memory", *ANY_PORTS)
    end(process, signal.SIGKILL)
    found = json.loads(hubbub("env", "--json", home=home).stdout)
    assert found["KAFKA_BROKERS"] == "127.0.0.1:9092"
