"""The brokers that are compared, each started as a process on free ports of loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import platformdirs

from hubbub.bench.descriptors import raise_descriptor_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
# Apache Kafka on two busy cores takes some ten seconds; the others fractions of one.
START_SECONDS = 60.0
STOP_SECONDS = 20.0
# How often a starting server is tried: start-up times are measured to this.
_TRY_SECONDS = 0.002
# More idle connections than any row opens.
_CONNECTIONS = 20_000
# The settings of hubbub that would stop rows: with as many clients, or, as mosquitto's own below,
# with as many messages at QoS 1 that one subscriber has not acknowledged.
_LIMITS = {
    "HUBBUB_SERVER_MAX_CONNECTIONS": _CONNECTIONS,
    "HUBBUB_LISTENERS_REDIS_MAXCLIENTS": _CONNECTIONS,
    "HUBBUB_LISTENERS_MQTT_MAX_INFLIGHT_MESSAGES": 65535,
    "HUBBUB_LISTENERS_MQTT_MAX_QUEUED_MESSAGES": 65535,
}
# What a failed server said last is what helps.
_ERROR_CHARACTERS = 400
# Addresses that hubbub remembers, in the rows that are about that.
STORED_SUBJECT = "bench.00000"


class UnavailableError(Exception):
    """A broker is not on this machine, or does not speak what a row needs."""


class Broker(msgspec.Struct, kw_only=True):
    """A running broker."""

    name: str
    process_id: int
    ports: dict[str, int]
    directory: Path
    start_seconds: float
    relay: bool = False

    def resident_kib(self) -> int:
        """The memory that it has now, in KiB, where the system tells (Linux)."""
        status = Path(f"/proc/{self.process_id}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0])


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """How to start a broker: ``command`` gets a directory of its own and the ports to listen on.

    ``beside`` is what has to run beside it; entered, it gives variables for the environment.
    """

    name: str
    title: str
    protocols: tuple[str, ...]
    command: Callable[[Path, dict[str, int]], list[str]]
    find: Callable[[], str]  # its version; raises UnavailableError
    ready: Callable[[Path], dict[str, int]] | None = None
    beside: Callable[[Path], AbstractContextManager[dict[str, str]]] | None = None
    relay: bool = False


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(peer: Peer, protocol: str, directory: Path) -> Iterator[Broker]:
    """The broker, started for one protocol, and stopped in the end.

    Raises:
        UnavailableError: it is not here, it ended, or it does not get ready.
    """
    peer.find()
    if protocol not in peer.protocols:
        raise UnavailableError(f"{peer.title} does not speak {protocol}")
    raise_descriptor_limit()  # which the broker inherits
    directory.mkdir(parents=True)
    ports = {protocol: free_port()}
    log = directory / "log"
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        more = stack.enter_context(peer.beside(directory)) if peer.beside else {}
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 - the commands are below
            peer.command(directory, ports),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**os.environ, **{name: str(limit) for name, limit in _LIMITS.items()}, **more},
        )
        stack.callback(_stop, process)
        ports = _wait(peer, process, directory, ports)
        yield Broker(
            name=peer.name,
            process_id=process.pid,
            ports=ports,
            directory=directory,
            start_seconds=time.monotonic() - began,
            relay=peer.relay,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(
    peer: Peer, process: subprocess.Popen[bytes], directory: Path, ports: dict[str, int]
) -> dict[str, int]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        found = peer.ready(directory) if peer.ready else ports
        if found and all(map(_answers, found.values())):
            return found
        time.sleep(_TRY_SECONDS)
    said = (directory / "log").read_text(errors="replace").strip()[-_ERROR_CHARACTERS:]
    raise UnavailableError(f"{peer.title} did not start: {said or 'it said nothing'}")


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


# --- which there are -------------------------------------------------------------------------


def _program(name: str) -> str:
    # Debian puts servers where only root looks.
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not found:
        raise UnavailableError(f"{name} is not installed")
    return found


def _version(name: str, *flags: str) -> str:
    said = subprocess.run(  # noqa: S603
        [_program(name), *flags], capture_output=True, text=True, check=False
    )
    number = re.search(r"\d+\.\d+(\.\d+)?", said.stdout + said.stderr)
    return number[0] if number else "unknown"


def _hubbub_version() -> str:
    from importlib.metadata import version

    return version("hubbub")


def _client_version() -> str:
    try:
        import confluent_kafka
    except ImportError as error:
        raise UnavailableError("confluent-kafka is not installed") from error
    return str(confluent_kafka.libversion()[0])


def kafka_directory() -> Path:
    """Where `make bench` puts Apache Kafka's jars."""
    return platformdirs.user_cache_path("hubbub", appauthor=False) / "kafka"


def _kafka_version() -> str:
    _program("java")
    jars = sorted(kafka_directory().glob("kafka-server-common-*.jar"))
    if not jars:
        raise UnavailableError("Apache Kafka's jars are not here (tools/fetch_kafka.sh)")
    return jars[-1].stem.rpartition("-")[2]


def _rabbitmq_scripts() -> Path:
    """Where RabbitMQ's own scripts are: Debian's on the path become the user rabbitmq first."""
    scripts = Path("/usr/lib/rabbitmq/bin")
    return scripts if scripts.is_dir() else Path(_program("rabbitmq-server")).resolve().parent


def _rabbitmq_version() -> str:
    _program("epmd")
    # Asked of the node's own tools it would take seconds; releases carry it in their folder's name.
    found = re.search(r"\d+\.\d+\.\d+", str((_rabbitmq_scripts() / "rabbitmq-server").resolve()))
    if found is None:
        raise UnavailableError("rabbitmq-server is not installed")
    return found[0]


# --- how each is started ---------------------------------------------------------------------


def _hubbub(mode: str) -> Callable[[Path, dict[str, int]], list[str]]:
    def command(directory: Path, ports: dict[str, int]) -> list[str]:
        flags = ["--memory"]
        if mode != "memory":
            settings = directory / "hubbub.toml"
            settings.write_text(
                f'[[topics]]\nname = "{STORED_SUBJECT}"\nsettings = {{ fsync = "{mode}" }}\n',
                encoding="utf-8",
            )
            flags = ["--data", str(directory / "data"), "--config", str(settings)]
        listen = ",".join(f"{name}={HOST}:{port}" for name, port in ports.items())
        ready = str(directory / "ready.json")
        serve = [sys.executable, "-m", "hubbub", "serve", "--listen", listen]
        return [*serve, "--ready-file", ready, *flags]

    return command


def _hubbub_ready(directory: Path) -> dict[str, int]:
    try:
        bound = json.loads((directory / "ready.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {name: int(address.rpartition(":")[2]) for name, address in bound.items()}


def _redis(directory: Path, ports: dict[str, int]) -> list[str]:
    return [
        *(_program("redis-server"), "--port", str(ports["redis"]), "--bind", HOST),
        *("--save", "", "--appendonly", "no", "--dir", str(directory)),
        *("--maxclients", str(_CONNECTIONS), "--daemonize", "no"),
    ]


def _nats(directory: Path, ports: dict[str, int]) -> list[str]:  # noqa: ARG001 - keeps nothing
    return [_program("nats-server"), "-a", HOST, "-p", str(ports["nats"])]


def _mosquitto(directory: Path, ports: dict[str, int]) -> list[str]:
    """As Debian's, without the limits at which it drops messages.

    At QoS 1 it acknowledges what it holds in memory. Persistence, which is off by default, writes
    all of that to a file twice an hour and at the end; no acknowledgement ever waits for a sync.
    It leaves Nagle's algorithm on, which nearly doubles what it delivers, and at a low rate holds
    up only acknowledgements.
    """
    settings = directory / "mosquitto.conf"
    settings.write_text(
        f"""\
listener {ports["mqtt"]} {HOST}
allow_anonymous true
persistence false
# By default it drops what is more than 1,000 messages ahead of a subscriber, of any quality of
# service, and has at most 20 on their way at QoS 1.
max_queued_messages 0
max_inflight_messages 0
# No line in the log for each connection.
connection_messages false
""",
        encoding="utf-8",
    )
    return [_program("mosquitto"), "-c", str(settings)]


@contextmanager
def _epmd(directory: Path) -> Iterator[dict[str, str]]:
    """Erlang's mapper of names to ports, of this node alone; one that it started would stay.

    Also what keeps the node apart from others on the machine.
    """
    port = free_port()
    process = subprocess.Popen(  # noqa: S603
        [_program("epmd"), "-address", HOST, "-port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None and not _answers(port):
            time.sleep(_TRY_SECONDS)
        yield {
            "ERL_EPMD_PORT": str(port),
            "ERL_EPMD_ADDRESS": HOST,
            "HOME": str(directory),  # where the node's cookie is made
            "RABBITMQ_NODENAME": f"bench-{port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "logs"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none.conf"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            # The script becomes the server, so that a signal and the weighing reach it.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
    finally:
        _stop(process)


def _rabbitmq(directory: Path, ports: dict[str, int]) -> list[str]:
    """As it comes, without plugins: classic queues, which sync before they confirm."""
    (directory / "rabbitmq.conf").write_text(
        f"""\
listeners.tcp.1 = {HOST}:{ports["amqp"]}
distribution.listener.interface = {HOST}
# No line in the log for each connection.
log.connection.level = error
log.console.level = warning
""",
        encoding="utf-8",
    )
    (directory / "plugins").write_text("[].\n", encoding="ascii")
    return [str(_rabbitmq_scripts() / "rabbitmq-server")]


def _relay(directory: Path, ports: dict[str, int]) -> list[str]:  # noqa: ARG001 - keeps nothing
    return [sys.executable, "-m", "hubbub.bench.forwarder", str(*ports.values())]


def _mock(directory: Path, ports: dict[str, int]) -> list[str]:  # noqa: ARG001 - picks its own
    return [sys.executable, "-m", "hubbub.bench.kafka_mock", str(directory / "port")]


def _mock_ready(directory: Path) -> dict[str, int]:
    try:
        return {"kafka": int((directory / "port").read_text(encoding="ascii"))}
    except (FileNotFoundError, ValueError):
        return {}


def _kafka(directory: Path, ports: dict[str, int]) -> list[str]:
    """One node in KRaft mode; its storage is formatted first."""
    settings = directory / "server.properties"
    controller = free_port()
    settings.write_text(
        f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{controller}
listeners=PLAINTEXT://{HOST}:{ports["kafka"]},CONTROLLER://{HOST}:{controller}
advertised.listeners=PLAINTEXT://{HOST}:{ports["kafka"]}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory / "data"}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
""",
        encoding="utf-8",
    )
    java = [_program("java"), "-Xmx1g", "-cp", f"{kafka_directory()}/*"]
    subprocess.run(  # noqa: S603
        [
            *(*java, "kafka.tools.StorageTool", "format"),
            *("-t", "aHVidWItYmVuY2gtbm9kZQ", "-c", str(settings)),
        ],
        check=True,
        capture_output=True,
    )
    return [*java, "kafka.Kafka", str(settings)]


_HUBBUB_PROTOCOLS = ("redis", "nats", "mqtt", "amqp", "kafka")

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(
            name="hubbub",
            title="hubbub",
            protocols=_HUBBUB_PROTOCOLS,
            command=_hubbub("memory"),
            find=_hubbub_version,
            ready=_hubbub_ready,
        ),
        Peer(
            name="hubbub-disk",
            title="hubbub, fsync",
            protocols=_HUBBUB_PROTOCOLS,
            command=_hubbub("group"),
            find=_hubbub_version,
            ready=_hubbub_ready,
        ),
        Peer(
            name="hubbub-unsynced",
            title="hubbub, no fsync",
            protocols=_HUBBUB_PROTOCOLS,
            command=_hubbub("never"),
            find=_hubbub_version,
            ready=_hubbub_ready,
        ),
        Peer(
            name="redis",
            title="redis-server",
            protocols=("redis",),
            command=_redis,
            find=lambda: _version("redis-server", "--version"),
        ),
        Peer(
            name="nats",
            title="nats-server",
            protocols=("nats",),
            command=_nats,
            find=lambda: _version("nats-server", "--version"),
        ),
        Peer(
            name="mosquitto",
            title="mosquitto",
            protocols=("mqtt",),
            command=_mosquitto,
            find=lambda: _version("mosquitto", "-h"),
        ),
        Peer(
            name="rabbitmq",
            title="rabbitmq-server",
            protocols=("amqp",),
            command=_rabbitmq,
            find=_rabbitmq_version,
            beside=_epmd,
        ),
        Peer(
            name="relay",
            title="relay",
            protocols=("redis", "nats", "mqtt"),
            command=_relay,
            find=_hubbub_version,
            relay=True,
        ),
        Peer(
            name="mock",
            title="librdkafka's mock",
            protocols=("kafka",),
            command=_mock,
            find=_client_version,
            ready=_mock_ready,
        ),
        Peer(
            name="kafka",
            title="Apache Kafka",
            protocols=("kafka",),
            command=_kafka,
            find=_kafka_version,
        ),
    )
}


def versions() -> dict[str, str]:
    """What is on this machine: the title and the version, or why it is not."""
    found = {}
    for peer in PEERS.values():
        if peer.name.startswith(("hubbub-", "relay")):
            continue
        try:
            found[peer.title] = peer.find()
        except UnavailableError as error:
            found[peer.title] = str(error)
    return found
