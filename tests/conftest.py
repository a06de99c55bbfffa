from __future__ import annotations

import uuid
from contextlib import ExitStack

import pytest
from hypothesis import settings

import amqp_clients
import node_client
from amqp_clients import AMQP_CLIENTS
from node_client import AmqpMessage, MqttMessage, NatsMessage, NodeClient
from serving import ServerProcess

# How long an example takes is this machine's affair.
settings.register_profile("hubbub", deadline=None)
settings.load_profile("hubbub")


@pytest.fixture
def server(tmp_path):
    """A server of the test's own, with an empty data directory."""
    with ServerProcess(tmp_path) as process:
        yield process


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    """One server for a whole module; its tests keep apart by the names they use."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as process:
        yield process


@pytest.fixture(scope="session")
def node_clients(pytestconfig):
    """The directory of Node's clients; skips where Node or its packages cannot be had."""
    return node_client.install(pytestconfig.cache.mkdir("clients_js"))


@pytest.fixture(scope="session")
def nats_js(node_clients):
    """nats.js, the NATS client of Node."""
    return NodeClient(node_clients / "nats_client.mjs", NatsMessage)


@pytest.fixture(scope="session")
def mqtt_js(node_clients):
    """MQTT.js, the MQTT client of Node."""
    return NodeClient(node_clients / "mqtt_client.mjs", MqttMessage)


@pytest.fixture(scope="session")
def amqplib(node_clients):
    """amqplib, the AMQP client of Node."""
    return NodeClient(node_clients / "amqp_client.mjs", AmqpMessage)


@pytest.fixture(scope="module")
def amqp_url(request):
    """Where AMQP is spoken: a server for the module, or the broker that AMQP_PEER names."""
    if amqp_clients.PEER:
        return f"amqp://guest:guest@{amqp_clients.PEER}/%2F"
    return request.getfixturevalue("shared_server").amqp


@pytest.fixture(params=AMQP_CLIENTS, ids=lambda client: client.name)
def amqp_connect(request, amqp_url):
    """Makes connected clients of AMQP, of each library in turn; they are closed with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(request.param(amqp_url, **options))


@pytest.fixture
def amqp_client(amqp_connect):
    return amqp_connect()


@pytest.fixture
def name():
    """A name that is the test's own."""
    return f"amqp{uuid.uuid4().hex}"
