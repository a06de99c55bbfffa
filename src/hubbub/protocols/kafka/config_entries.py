"""Configs as responses list them: the value, where it comes from and what it falls back to."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from hubbub.protocols.kafka.broker_configs import BROKER_CONFIGS
from hubbub.protocols.kafka.config_values import ConfigType
from hubbub.protocols.kafka.topic_configs import DEFAULTS, TOPIC_CONFIGS, Truth, is_default

if TYPE_CHECKING:
    from hubbub.broker.config import BrokerConfig
    from hubbub.model.settings import TopicSettings
    from hubbub.protocols.kafka.context import Node


class ConfigSource(IntEnum):
    """Where a value was set, as DescribeConfigs counts the places."""

    DYNAMIC_TOPIC_CONFIG = 1
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5


class Synonym(NamedTuple):
    """A value that counts where none was set closer to the topic."""

    name: str
    value: str
    source: ConfigSource


class ConfigEntry(NamedTuple):
    """One config; ``synonyms`` begin with the value that counts, if it has a name of its own."""

    name: str
    value: str
    read_only: bool
    source: ConfigSource
    synonyms: tuple[Synonym, ...]
    type: ConfigType
    doc: str


def topic_entries(settings: TopicSettings) -> list[ConfigEntry]:
    """All configs of a topic.

    Settings do not say who set them: one that equals the default is taken to be it.
    """
    entries = []
    for config in TOPIC_CONFIGS.values():
        value = config.read(settings)
        synonyms = []
        if not is_default(config, settings):
            synonyms.append(Synonym(config.name, value, ConfigSource.DYNAMIC_TOPIC_CONFIG))
        if config.broker_name:
            default = config.read(DEFAULTS)
            synonyms.append(Synonym(config.broker_name, default, ConfigSource.DEFAULT_CONFIG))
        source = synonyms[0].source if synonyms else ConfigSource.DEFAULT_CONFIG
        read_only = isinstance(config, Truth)
        entries.append(
            ConfigEntry(
                config.name, value, read_only, source, tuple(synonyms), config.type, config.doc
            )
        )
    return entries


def broker_entries(config: BrokerConfig, node: Node) -> list[ConfigEntry]:
    """All configs of the broker, none of which a client can set."""
    entries = [_advertised_listeners(node)]
    for entry in BROKER_CONFIGS.values():
        value, default = entry.value(config), entry.default
        synonyms = [Synonym(entry.name, default, ConfigSource.DEFAULT_CONFIG)]
        if value != default:
            synonyms.insert(0, Synonym(entry.name, value, ConfigSource.STATIC_BROKER_CONFIG))
        entries.append(
            ConfigEntry(
                entry.name, value, True, synonyms[0].source, tuple(synonyms), entry.type, entry.doc
            )
        )
    return entries


def _advertised_listeners(node: Node) -> ConfigEntry:
    """Where clients are told to connect: for each of them, where it has connected."""
    name, value = "advertised.listeners", f"PLAINTEXT://{node.host}:{node.port}"
    source = ConfigSource.STATIC_BROKER_CONFIG
    doc = "The address that this client, and others that connect as it does, are told."
    return ConfigEntry(
        name, value, True, source, (Synonym(name, value, source),), ConfigType.STRING, doc
    )
