"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources and their tables."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from hubbub.model.errors import InvalidSettingsError
from hubbub.model.settings import TopicSettings
from hubbub.protocols.kafka.topic_configs import (
    DEFAULTS,
    TOPIC_CONFIGS,
    UNSUPPORTED,
    Setting,
    Truth,
    changed,
)
from kafka_admin import NODE, Admin, part, versions

DESCRIBE, ALTER, ALTER_SOME, LIST = 32, 33, 44, 74
TOPIC, BROKER, GROUP = 2, 4, 32
SET, REMOVE, APPEND, SUBTRACT = range(4)


@pytest.fixture
def admin():
    admin = Admin()
    admin.new_topic("orders")
    return admin


def describe(admin, name="orders", kind=TOPIC, names=None, version=4, synonyms=True, docs=True):
    wanted = part(
        "DescribeConfigsResource",
        resource_type=kind,
        resource_name=name,
        configuration_keys=names,
    )
    response = admin.ask(
        DESCRIBE,
        version,
        resources=[wanted],
        include_synonyms=synonyms,
        include_documentation=docs,
    )
    return response.results[0]


def described(admin, *args, **options):
    return {config.name: config for config in describe(admin, *args, **options).configs}


def value_of(admin, name):
    return described(admin, names=(name,))[name].value


def alter(admin, configs, name="orders", kind=TOPIC, version=2, validate_only=False):
    wanted = part(
        "AlterConfigsResource",
        resource_type=kind,
        resource_name=name,
        configs=[part("AlterableConfig", name=key, value=text) for key, text in configs.items()],
    )
    response = admin.ask(ALTER, version, resources=[wanted], validate_only=validate_only)
    return response.responses[0]


def alter_some(admin, *changes, name="orders", kind=TOPIC, version=1, validate_only=False):
    wanted = part(
        "AlterConfigsResource",
        resource_type=kind,
        resource_name=name,
        configs=[
            part("AlterableConfig", name=key, config_operation=operation, value=text)
            for operation, key, text in changes
        ],
    )
    response = admin.ask(ALTER_SOME, version, resources=[wanted], validate_only=validate_only)
    return response.responses[0]


# The table


LONGS = st.integers(-1, 2**63 - 1)
SETTINGS = st.builds(
    TopicSettings,
    captures=st.lists(st.text("ab.,%25C>*#", min_size=1), max_size=4).map(tuple),
    retention_ms=LONGS,
    retention_bytes=LONGS,
    delete_old=st.booleans(),
    compact=st.booleans(),
    delete_retention_ms=st.integers(0, 2**63 - 1),
    max_message_bytes=st.integers(0, 2**31 - 1),
    segment_bytes=st.integers(1024 * 1024, 2**31 - 1),
    segment_ms=st.integers(1, 2**63 - 1),
    timestamp_kind=st.sampled_from(["create", "append"]),
    fsync=st.sampled_from(["group", "interval", "never"]),
)


@given(SETTINGS)
def test_settings_written_as_configs_read_back_the_same(settings):
    copy = DEFAULTS
    for config in TOPIC_CONFIGS.values():
        if isinstance(config, Setting):
            copy = config.write(copy, config.read(settings))
    assert copy == settings


@given(SETTINGS)
def test_the_truths_of_a_topic_may_be_set_to_what_they_are(settings):
    for config in TOPIC_CONFIGS.values():
        if isinstance(config, Truth):
            assert config.write(settings, config.read(settings)) == settings


def test_every_setting_of_a_topic_has_a_config():
    fields = {
        field
        for config in TOPIC_CONFIGS.values()
        if isinstance(config, Setting)
        for field in config.fields
    }
    assert fields == {field.name for field in msgspec.structs.fields(TopicSettings)}


def settings_with(name, text):
    """The settings with this config, None where the value is refused."""
    try:
        return changed(DEFAULTS, {name: text})
    except InvalidSettingsError:
        return None


@given(st.sampled_from(sorted(TOPIC_CONFIGS)), st.text(max_size=40))
def test_any_text_is_refused_or_shown_again_with_the_same_meaning(name, text):
    settings = settings_with(name, text)
    assert settings is None or settings_with(name, TOPIC_CONFIGS[name].read(settings)) == settings


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("retention.ms", "soon", "Not a number of type LONG"),
        ("retention.ms", "1_000", "Not a number of type LONG"),
        ("retention.ms", "٣", "Not a number of type LONG"),
        ("retention.ms", str(2**63), "Not a number of type LONG"),
        ("retention.ms", "9" * 5000, "Not a number of type LONG"),
        ("retention.ms", "-2", "Value must be at least -1"),
        ("max.message.bytes", str(2**31), "Not a number of type INT"),
        ("segment.bytes", "14", "Value must be at least 1048576"),
        ("cleanup.policy", "archive", "String must be one of: compact, delete"),
        ("message.timestamp.type", "Now", "String must be one of: CreateTime, LogAppendTime"),
        ("compression.type", "gzip", "so it is always producer"),
        ("min.insync.replicas", "2", "so it is always 1"),
        ("hubbub.captures", "a.>.b", "only at the end"),
        ("hubbub.captures", "__hubbub_state", "reserved"),
    ],
)
def test_a_value_that_a_config_cannot_have_is_refused_with_the_reason(name, value, says):
    with pytest.raises(InvalidSettingsError, match=says):
        changed(DEFAULTS, {name: value})


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_a_config_without_effect_here_is_refused_not_faked(name):
    with pytest.raises(InvalidSettingsError, match=f"{name} is not supported"):
        changed(DEFAULTS, {name: "1"})


def test_an_unknown_config_is_refused_in_kafkas_words():
    with pytest.raises(InvalidSettingsError, match="Unknown topic config name: retention"):
        changed(DEFAULTS, {"retention": "1"})


def test_the_truth_about_syncing_follows_from_the_setting():
    unsynced = changed(DEFAULTS, {"flush.messages": str(2**63 - 1), "hubbub.fsync": "never"})
    assert unsynced.fsync == "never"
    with pytest.raises(InvalidSettingsError, match=r"hubbub\.fsync decides"):
        changed(unsynced, {"flush.messages": "1"})
    assert changed(unsynced, {"flush.messages": None}) == unsynced


# Describing


@pytest.mark.parametrize("version", versions(DESCRIBE))
def test_a_topics_configs_are_described_in_every_version(admin, version):
    alter_some(admin, (SET, "retention.ms", "1000"))
    configs = described(admin, version=version)
    assert set(configs) == set(TOPIC_CONFIGS)
    retention, size = configs["retention.ms"], configs["segment.bytes"]
    assert (retention.value, retention.config_source, retention.read_only) == ("1000", 1, False)
    assert [(s.name, s.value, s.source) for s in retention.synonyms] == [
        ("retention.ms", "1000", 1),
        ("log.retention.ms", "604800000", 5),
    ]
    assert (size.value, size.config_source) == ("67108864", 5)
    assert configs["compression.type"].read_only
    assert not any(config.is_sensitive for config in configs.values())
    if version >= 3:
        assert (retention.config_type, configs["cleanup.policy"].config_type) == (5, 7)
        assert all(config.documentation for config in configs.values())


def test_synonyms_and_documentation_come_only_when_asked_for(admin):
    configs = described(admin, synonyms=False, docs=False)
    assert {config.synonyms for config in configs.values()} == {()}
    assert {config.documentation for config in configs.values()} == {None}


@pytest.mark.parametrize("names", [None, ()])
def test_no_names_ask_for_all_configs(admin, names):
    assert set(described(admin, names=names)) == set(TOPIC_CONFIGS)


def test_configs_are_described_by_name(admin):
    assert set(described(admin, names=("segment.ms", "no.such"))) == {"segment.ms"}


@pytest.mark.parametrize("version", versions(DESCRIBE))
def test_the_brokers_configs_are_described_in_every_version(version):
    admin = Admin(default_partitions=7, initial_rebalance_delay=0.0)
    configs = described(admin, str(NODE.node_id), BROKER, version=version)
    assert {
        "num.partitions": ("7", 4),
        "group.initial.rebalance.delay.ms": ("0", 4),
        "auto.create.topics.enable": ("true", 5),
        "log.retention.ms": ("604800000", 5),
        "log.retention.hours": ("168", 5),
        "message.max.bytes": ("1048588", 5),
        "default.replication.factor": ("1", 5),
        "offsets.retention.minutes": ("10080", 5),
    }.items() <= {
        name: (config.value, config.config_source) for name, config in configs.items()
    }.items()
    assert all(config.read_only for config in configs.values())
    assert [s.value for s in configs["num.partitions"].synonyms] == ["7", "1"]


def test_the_broker_says_where_this_client_is_told_to_connect(admin):
    shown = described(admin, str(NODE.node_id), BROKER)["advertised.listeners"]
    assert shown.value == f"PLAINTEXT://{NODE.host}:{NODE.port}"
    assert shown.read_only


def test_there_are_no_dynamic_defaults_for_all_brokers(admin):
    result = describe(admin, "", BROKER)
    assert (result.error_code, result.configs) == (ErrorCode.none, ())


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("absent", TOPIC, ErrorCode.unknown_topic_or_partition),
        ("a/b", TOPIC, ErrorCode.unknown_topic_or_partition),
        ("99", BROKER, ErrorCode.invalid_request),
        ("one", BROKER, ErrorCode.invalid_request),
        ("workers", GROUP, ErrorCode.invalid_request),
        ("x", 77, ErrorCode.invalid_request),
    ],
)
@pytest.mark.parametrize("version", versions(DESCRIBE))
def test_what_cannot_be_described_is_refused(admin, name, kind, code, version):
    result = describe(admin, name, kind, version=version)
    assert (result.error_code, result.resource_type, result.resource_name) == (code, kind, name)
    assert result.error_message
    assert result.configs == ()


def test_a_resource_is_described_once_per_request(admin):
    wanted = part(
        "DescribeConfigsResource",
        resource_type=TOPIC,
        resource_name="orders",
        configuration_keys=(),
    )
    response = admin.ask(
        DESCRIBE,
        4,
        resources=[wanted] * 1000,
        include_synonyms=True,
        include_documentation=True,
    )
    assert [(r.error_code, r.configs) for r in response.results] == [
        (ErrorCode.invalid_request, ())
    ]


# Altering


@pytest.mark.parametrize("version", versions(ALTER))
def test_altering_replaces_all_configs_in_every_version(admin, version):
    assert alter(admin, {"retention.ms": "1", "segment.ms": "2"}).error_code == ErrorCode.none
    assert alter(admin, {"segment.ms": "3"}, version=version).error_code == ErrorCode.none
    assert admin.topic("orders").settings == TopicSettings(segment_ms=3)


@pytest.mark.parametrize("version", versions(ALTER_SOME))
def test_single_configs_are_set_and_deleted_in_every_version(admin, version):
    alter(admin, {"retention.ms": "1", "segment.ms": "2"})
    result = alter_some(
        admin,
        (REMOVE, "retention.ms", None),
        (SET, "cleanup.policy", "compact"),
        version=version,
    )
    assert (result.error_code, result.error_message) == (ErrorCode.none, None)
    assert admin.topic("orders").settings == TopicSettings(
        segment_ms=2, compact=True, delete_old=False
    )


def test_a_changed_config_is_in_effect_and_shown(admin):
    alter_some(admin, (SET, "message.timestamp.type", "LogAppendTime"))
    topic = admin.topic("orders")
    assert topic.partitions[0].log.settings.timestamp_kind == "append"
    assert value_of(admin, "message.timestamp.type") == "LogAppendTime"


def test_lists_are_appended_to_and_subtracted_from(admin):
    alter_some(admin, (APPEND, "cleanup.policy", "compact"))
    assert value_of(admin, "cleanup.policy") == "compact,delete"
    alter_some(admin, (APPEND, "cleanup.policy", "compact"))
    assert value_of(admin, "cleanup.policy") == "compact,delete"
    alter_some(admin, (SUBTRACT, "cleanup.policy", "delete"))
    assert value_of(admin, "cleanup.policy") == "compact"
    alter_some(admin, (SUBTRACT, "cleanup.policy", "compact"))
    assert value_of(admin, "cleanup.policy") == ""
    alter_some(admin, (APPEND, "hubbub.captures", "sensors.>"), (SET, "retention.ms", "-1"))
    alter_some(admin, (APPEND, "hubbub.captures", "alarms.*,sensors.>"))
    assert admin.topic("orders").settings.captures == ("sensors.>", "alarms.*")


def test_a_captured_address_is_stored_from_then_on(admin):
    alter_some(admin, (SET, "hubbub.captures", "sensors.>"))
    assert list(admin.broker.topics.capturing.route("sensors.kitchen")) == [admin.topic("orders")]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((SET, "no.such", "1"), ErrorCode.invalid_config),
        ((REMOVE, "no.such", None), ErrorCode.invalid_config),
        ((APPEND, "no.such", "1"), ErrorCode.invalid_config),
        ((SET, "retention.ms", "x"), ErrorCode.invalid_config),
        ((APPEND, "retention.ms", "1"), ErrorCode.invalid_config),
        ((SUBTRACT, "retention.ms", "1"), ErrorCode.invalid_config),
        ((APPEND, "hubbub.captures", "b" * 32_700), ErrorCode.invalid_config),
        ((SET, "compression.type", "zstd"), ErrorCode.invalid_config),
        ((SET, "index.interval.bytes", "4096"), ErrorCode.invalid_config),
        ((SET, "retention.ms", None), ErrorCode.invalid_request),
        ((9, "retention.ms", "1"), ErrorCode.invalid_request),
    ],
)
def test_a_change_that_cannot_be_made_changes_nothing(admin, change, code):
    alter_some(admin, (SET, "hubbub.captures", "c" * 200))
    before = admin.topic("orders").settings
    result = alter_some(admin, (SET, "segment.ms", "5"), change)
    assert result.error_code == code
    assert result.error_message
    assert admin.topic("orders").settings == before


@pytest.mark.parametrize("ask", [alter, alter_some])
@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("absent", TOPIC, ErrorCode.unknown_topic_or_partition),
        ("__consumer_offsets", TOPIC, ErrorCode.invalid_topic_exception),
        (str(NODE.node_id), BROKER, ErrorCode.invalid_request),
        ("", BROKER, ErrorCode.invalid_request),
        ("99", BROKER, ErrorCode.invalid_request),
        ("workers", GROUP, ErrorCode.invalid_request),
        ("x", 77, ErrorCode.invalid_request),
    ],
)
def test_what_cannot_be_altered_is_refused(admin, ask, name, kind, code):
    change = {"retention.ms": "1"} if ask is alter else (SET, "retention.ms", "1")
    result = ask(admin, change, name=name, kind=kind)
    assert (result.error_code, result.resource_type, result.resource_name) == (code, kind, name)
    assert result.error_message


@pytest.mark.parametrize("ask", [alter, alter_some])
def test_validating_alters_nothing(admin, ask):
    change = {"retention.ms": "1"} if ask is alter else (SET, "retention.ms", "1")
    assert ask(admin, change, validate_only=True).error_code == ErrorCode.none
    assert admin.topic("orders").settings == TopicSettings()


def test_a_config_named_twice_is_refused(admin):
    result = alter_some(admin, (SET, "retention.ms", "1"), (SET, "retention.ms", "2"))
    assert result.error_code == ErrorCode.invalid_request
    assert admin.topic("orders").settings == TopicSettings()


def test_a_resource_named_twice_is_refused(admin):
    wanted = [
        part(
            "AlterConfigsResource",
            resource_type=TOPIC,
            resource_name="orders",
            configs=[part("AlterableConfig", name="retention.ms", value=value)],
        )
        for value in "12"
    ]
    (result,) = admin.ask(ALTER, 2, resources=wanted, validate_only=False).responses
    assert result.error_code == ErrorCode.invalid_request
    assert admin.topic("orders").settings == TopicSettings()


def test_the_answer_waits_until_the_change_survives_power_loss(admin, monkeypatch):
    waiting = []
    monkeypatch.setattr(admin.broker.topics, "when_durable", waiting.append)
    config = part("AlterableConfig", name="retention.ms", value="1")
    wanted = part(
        "AlterConfigsResource", resource_type=TOPIC, resource_name="orders", configs=[config]
    )
    answers = admin.send(ALTER, 2, {"resources": [wanted], "validate_only": False})
    assert answers == []
    waiting.pop()(None)
    assert answers[0].responses[0].error_code == ErrorCode.none


# Listing


def test_version_0_lists_client_metrics_of_which_there_are_none(admin):
    assert admin.ask(LIST, 0).config_resources == ()


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ((TOPIC,), {(TOPIC, "orders")}),
        ((BROKER,), {(BROKER, str(NODE.node_id))}),
        ((), {(TOPIC, "orders"), (BROKER, str(NODE.node_id))}),
        ((16, GROUP), set()),
    ],
)
def test_config_resources_are_listed_by_type(admin, kinds, found):
    response = admin.ask(LIST, 1, resource_types=kinds)
    listed = {(each.resource_type, each.resource_name) for each in response.config_resources}
    assert {each for each in listed if not each[1].startswith("__")} == found


def test_an_unknown_type_of_resource_is_not_listed(admin):
    response = admin.ask(LIST, 1, resource_types=(TOPIC, 77))
    assert response.error_code == ErrorCode.unsupported_version
    assert response.config_resources == ()
