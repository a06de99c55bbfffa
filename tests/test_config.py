from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hubbub.broker.broker import Broker
from hubbub.broker.timers import Timers
from hubbub.log.memory import MemoryLog
from hubbub.server import config
from hubbub.server.config import Config
from hubbub.server.layers import ConfigError, Layers
from hubbub.server.listeners import LISTENERS
from hubbub.server.server import endpoints


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "hubbub.toml"
        path.write_text(text)
        return path

    return write


def test_nothing_said_means_the_defaults():
    assert config.load(None, {}) == Config()


def test_a_file_sets_every_section(write):
    path = write("""
        [server]
        data = "somewhere"
        max_connections = 5
        [broker]
        default_partitions = 3
        [listeners.kafka]
        address = "127.0.0.1:19092"
        [[topics]]
        name = "orders"
        partitions = 6
        settings = { captures = ["orders.>"], retention_ms = -1 }
        [[subscriptions]]
        name = "billing"
        topic = "orders"
        settings = { max_deliveries = 5, dead_letter = "orders.dead" }
    """)
    loaded = config.load(path, {})
    assert loaded.server.data == "somewhere"
    assert loaded.server.max_connections == 5
    assert loaded.broker.default_partitions == 3
    assert loaded.listeners["kafka"]["address"] == "127.0.0.1:19092"
    assert loaded.topics[0].partitions == 6
    assert loaded.topics[0].settings.captures == ("orders.>",)
    assert loaded.subscriptions[0].settings.dead_letter == "orders.dead"


def test_the_environment_overrules_the_file_and_a_flag_overrules_both(write):
    path = write('server = { data = "file", max_connections = 1 }\nbroker.default_partitions = 2')
    layers = config.read(
        path, {"HUBBUB_SERVER_DATA": "environment", "HUBBUB_BROKER_AUTO_CREATE": "0"}
    )
    layers.set("server.data", "flag", "--data")
    loaded = config.convert(layers)
    assert loaded.server.data == "flag"
    assert loaded.server.max_connections == 1
    assert loaded.broker.default_partitions == 2
    assert loaded.broker.auto_create is False
    assert layers.origins == {
        "server.data": "--data",
        "server.max_connections": str(path),
        "broker.default_partitions": str(path),
        "broker.auto_create": "HUBBUB_BROKER_AUTO_CREATE",
    }


def test_the_environment_reaches_listeners_and_has_a_short_name_for_the_data():
    loaded = config.load(
        None,
        {"HUBBUB_DATA_DIR": "here", "HUBBUB_LISTENERS_KAFKA_ADVERTISED": "broker.example:9092"},
    )
    assert loaded.server.data == "here"
    assert loaded.listeners["kafka"]["advertised"] == "broker.example:9092"


def test_the_environment_has_underscores_where_a_listener_has_a_hyphen():
    loaded = config.load(
        None,
        {"HUBBUB_LISTENERS_MQTT_WS_ADDRESS": ":1", "HUBBUB_LISTENERS_MQTT_ADDRESS": ":2"},
    )
    assert loaded.listeners == {"mqtt-ws": {"address": ":1"}, "mqtt": {"address": ":2"}}


def test_origins_are_a_list_in_the_file_and_text_in_the_environment(write):
    path = write('listeners.mqtt-ws.origins = ["https://a.example", "https://b.example"]')
    origins = config.load(path, {}).listeners["mqtt-ws"]["origins"]
    assert origins == ["https://a.example", "https://b.example"]
    loaded = config.load(path, {"HUBBUB_LISTENERS_MQTT_WS_ORIGINS": "https://c.example"})
    assert loaded.listeners["mqtt-ws"]["origins"] == "https://c.example"


@pytest.mark.parametrize("text", ["/,staging", " / , staging,"])
def test_virtual_hosts_are_a_list_in_the_file_and_text_in_the_environment(write, text):
    for chosen in (
        config.load(write('listeners.amqp.vhosts = ["/", "staging"]'), {}),
        config.load(None, {"HUBBUB_LISTENERS_AMQP_VHOSTS": text}),
    ):
        made = LISTENERS["amqp"].make(Broker(MemoryLog(), Timers()), chosen.listeners["amqp"])
        assert list(made.vhosts) == ["/", "staging"]


def test_variables_that_are_no_settings_are_left_alone():
    environment = {"HUBBUB_URL": "hubbub://x", "HUBBUB_CONFIG": "y", "PATH": "/bin", "HUBBUBX": "1"}
    assert config.load(None, environment) == Config()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("server.dta = 1", r"server\.dta: unknown setting \(did you mean data\?\)"),
        ("servers = 1", r"servers: unknown setting \(did you mean server\?\)"),
        ("server = 1", "server is a table"),
        ("server.max_connections = 'many'", r"`int`.*server\.max_connections"),
        (
            "listeners.kafak.address = ':1'",
            r"listeners\.kafak: unknown listener \(did you mean kafka\?\)",
        ),
        ("listeners = 3", "listeners"),
        ("listeners.kafka = 3", r"listeners.*kafka|Expected `object`"),
        ("listeners.kafka.adress = ':1'", r"listeners\.kafka\.adress: .*address"),
        (
            "[[topics]]\nname = 'a'\nsettings = { retention = 1 }",
            r"topics\[0\]\.settings\.retention: .*ret",
        ),
        ("[[topics]]\npartitions = 1", "name"),
        (
            "[[subscriptions]]\nname = 'a'\ntopic = 'b'\nsettings = { ack_dedline = 1 }",
            "ack_deadline",
        ),
        ("topics = [3]", r"topics\[0\] is a table"),
        ("qqq = 1", r"unknown setting \(there are: server"),
        ("= 1", "hubbub.toml"),
    ],
)
def test_what_means_nothing_is_refused_with_what_was_meant(write, text, complaint):
    with pytest.raises(ConfigError, match=complaint):
        config.load(write(text), {})


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"HUBBUB_SERVER_MEMROY": "1"}, "did you mean memory"),
        ({"HUBBUB_SERVER_MEMORY": "perhaps"}, "bool"),
        ({"HUBBUB_LISTENERS_KAFKA": ":1"}, None),
    ],
)
def test_a_variable_of_a_section_is_held_to_the_same_rules(environment, complaint):
    if complaint is None:
        assert config.load(None, environment) == Config()
        return
    with pytest.raises(ConfigError, match=complaint):
        config.load(None, environment)


def test_a_variable_cannot_turn_a_value_of_the_file_into_a_table(write):
    with pytest.raises(ConfigError, match=r"listeners\.kafka is a table"):
        config.load(write("listeners.kafka = 1"), {"HUBBUB_LISTENERS_KAFKA_ADDRESS": ":1"})


def test_a_missing_or_binary_file_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        config.load(tmp_path / "nowhere.toml", {})
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml"):
        config.load(binary, {})


def test_the_data_directory_is_the_chosen_one_then_the_services_then_the_users(
    monkeypatch, tmp_path
):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert config.load(None, {}).data_directory().name == "hubbub"
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "service"))
    assert config.load(None, {}).data_directory() == tmp_path / "service"
    assert config.load(None, {"HUBBUB_DATA_DIR": "chosen"}).data_directory() == Path("chosen")


def test_endpoints_follow_the_configuration():
    loaded = config.load(None, {"HUBBUB_LISTENERS_REDIS_ADDRESS": ":0"})
    found = {endpoint.listener: str(endpoint) for endpoint in endpoints(loaded)}
    assert found.keys() == LISTENERS.keys()
    assert found["redis"] == "127.0.0.1:0"
    assert found["kafka"] == "127.0.0.1:9092"
    assert [endpoint.listener for endpoint in endpoints(loaded, {"redis"})] == ["redis"]


def test_every_setting_that_convert_takes_can_be_said_by_its_dotted_key():
    """What `config show` prints, key by key, is what the layers take."""
    layers = Layers()
    for section in ("server", "broker"):
        for field in msgspec.structs.fields(getattr(Config(), section)):
            layers.set(f"{section}.{field.name}", field.default, "test")
    assert config.convert(layers) == Config()
