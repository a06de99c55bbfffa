"""The broker's own configs, as far as they are true here: clients read them, none can be set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hubbub.broker.config import BrokerConfig
from hubbub.broker.groups import OFFSETS_RETENTION_MS
from hubbub.protocols.kafka.config_values import ConfigType
from hubbub.protocols.kafka.replicas import REPLICATION_FACTOR
from hubbub.protocols.kafka.topic_configs import DEFAULTS, TOPIC_CONFIGS

if TYPE_CHECKING:
    from collections.abc import Callable

_MS_PER_MINUTE = 60_000
_MS_PER_HOUR = 60 * _MS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class BrokerConfigEntry:
    """One config: ``value`` says it for a broker's configuration."""

    name: str
    type: ConfigType
    doc: str
    value: Callable[[BrokerConfig], str]

    @property
    def default(self) -> str:
        """The value where the operator says nothing."""
        return self.value(BrokerConfig())


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def _flag(on: bool) -> str:
    return "true" if on else "false"


_OWN = (
    BrokerConfigEntry(
        "auto.create.topics.enable",
        ConfigType.BOOLEAN,
        "Whether a topic is made when a client asks for one that is not there.",
        lambda config: _flag(config.auto_create),
    ),
    BrokerConfigEntry(
        "default.replication.factor",
        ConfigType.INT,
        "How many replicas a topic has: there is one broker.",
        lambda _: str(REPLICATION_FACTOR),
    ),
    BrokerConfigEntry(
        "delete.topic.enable",
        ConfigType.BOOLEAN,
        "Whether topics may be deleted.",
        lambda _: _flag(True),
    ),
    BrokerConfigEntry(
        "group.initial.rebalance.delay.ms",
        ConfigType.INT,
        "How long the first member of an empty group waits for others, in milliseconds.",
        lambda config: _milliseconds(config.initial_rebalance_delay),
    ),
    BrokerConfigEntry(
        "log.retention.check.interval.ms",
        ConfigType.LONG,
        "How often retention and compaction are applied, in milliseconds.",
        lambda config: _milliseconds(config.cleaning_interval),
    ),
    BrokerConfigEntry(
        "log.retention.hours",
        ConfigType.INT,
        "How long messages are kept where the topic does not say, in whole hours.",
        lambda _: str(DEFAULTS.retention_ms // _MS_PER_HOUR),
    ),
    BrokerConfigEntry(
        "group.max.session.timeout.ms",
        ConfigType.INT,
        "The longest session timeout that a group member may choose.",
        lambda config: _milliseconds(config.max_session_timeout),
    ),
    BrokerConfigEntry(
        "group.min.session.timeout.ms",
        ConfigType.INT,
        "The shortest session timeout that a group member may choose.",
        lambda config: _milliseconds(config.min_session_timeout),
    ),
    BrokerConfigEntry(
        "num.partitions",
        ConfigType.INT,
        "How many partitions a topic gets whose creator does not say.",
        lambda config: str(config.default_partitions),
    ),
    BrokerConfigEntry(
        "offsets.retention.minutes",
        ConfigType.INT,
        "How long committed offsets outlive their group's last member, in minutes.",
        lambda _: str(OFFSETS_RETENTION_MS // _MS_PER_MINUTE),
    ),
)


def _topic_default(name: str) -> BrokerConfigEntry:
    config = TOPIC_CONFIGS[name]
    return BrokerConfigEntry(
        config.broker_name or name, config.type, config.doc, lambda _: config.read(DEFAULTS)
    )


BROKER_CONFIGS: dict[str, BrokerConfigEntry] = {
    entry.name: entry
    for entry in sorted(
        (*_OWN, *(_topic_default(c.name) for c in TOPIC_CONFIGS.values() if c.broker_name)),
        key=lambda entry: entry.name,
    )
}
