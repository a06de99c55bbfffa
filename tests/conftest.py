from __future__ import annotations

import pytest

import node_client
from node_client import MqttMessage, NatsMessage, NodeClient
from serving import ServerProcess


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
