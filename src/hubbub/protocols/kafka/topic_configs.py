"""A topic's configs: Kafka's names and words for our settings, and what else is true of a topic.

Each config that a client may set is enforced. One that has a single true value here is shown and
may be set to just that. Kafka's others are refused, because nothing would come of setting them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from hubbub.broker.topics import check_captures
from hubbub.model.errors import InvalidSettingsError
from hubbub.model.settings import FOREVER, TopicSettings
from hubbub.protocols.kafka.config_values import (
    MAX_LONG,
    PATTERNS,
    ConfigType,
    Form,
    choice,
    flags,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULTS = TopicSettings()

# The longest string of the older protocol versions, in which the value must be shown again.
MAX_VALUE_BYTES = 32_767
_SHOWN_CHARACTERS = 200  # of a refused value, in the text that refuses it
# Kafka's own least (KIP-1030): each segment costs a file and an index.
MIN_SEGMENT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicConfig(ABC):
    """One config: ``broker_name`` is what Kafka calls its default for all topics, if it has one."""

    name: str
    broker_name: str | None = None
    doc: str

    @property
    @abstractmethod
    def type(self) -> ConfigType:
        """The type that tools are told."""

    @abstractmethod
    def read(self, settings: TopicSettings) -> str:
        """The value, as Kafka writes it."""

    @abstractmethod
    def write(self, settings: TopicSettings, text: str) -> TopicSettings:
        """The settings with this value. Raises InvalidSettingsError."""

    def _invalid(self, text: str, reason: object) -> InvalidSettingsError:
        shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
        return InvalidSettingsError(
            f"Invalid value {shown} for configuration {self.name}: {reason}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(TopicConfig):
    """A config that is one of our settings, or several at once."""

    fields: tuple[str, ...]
    form: Form[Any]

    @property
    def type(self) -> ConfigType:
        """The form's."""
        return self.form.type

    def read(self, settings: TopicSettings) -> str:
        """The value, as Kafka writes it."""
        return self.form.format(attrgetter(*self.fields)(settings))

    def write(self, settings: TopicSettings, text: str) -> TopicSettings:
        """The settings with this value. Raises InvalidSettingsError."""
        try:
            value = self.form.parse(text)
        except ValueError as error:
            raise self._invalid(text, error) from error
        values = value if len(self.fields) > 1 else (value,)
        return msgspec.structs.replace(settings, **dict(zip(self.fields, values, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth(TopicConfig):
    """A config that has one true value on this broker, whatever is asked; ``why`` says why."""

    truth_type: ConfigType
    value: Callable[[TopicSettings], str]
    why: str

    @property
    def type(self) -> ConfigType:
        """As Kafka types it."""
        return self.truth_type

    def read(self, settings: TopicSettings) -> str:
        """The true value."""
        return self.value(settings)

    def write(self, settings: TopicSettings, text: str) -> TopicSettings:
        """The settings as they are, if ``text`` is the truth. Raises InvalidSettingsError."""
        if text.strip().lower() != self.value(settings):
            raise self._invalid(text, f"{self.why}, so it is always {self.value(settings)}")
        return settings


def _always(value: str) -> Callable[[TopicSettings], str]:
    return lambda _: value


def _synced_each(settings: TopicSettings) -> str:
    return "1" if settings.fsync == "group" else str(MAX_LONG)


def _synced_at_once(settings: TopicSettings) -> str:
    return "0" if settings.fsync == "group" else str(MAX_LONG)


_ONE_BROKER = "one broker holds the only replica"
_FSYNC = "hubbub.fsync decides when messages are synced"

_SETTINGS: tuple[Setting, ...] = (
    Setting(
        name="cleanup.policy",
        broker_name="log.cleanup.policy",
        fields=("compact", "delete_old"),
        form=flags("compact", "delete"),  # Kafka 4.2 allows neither, which keeps everything
        doc="Whether old messages are deleted by age and size, compacted to the last one of each"
        " key, both, or (when empty) kept for good.",
    ),
    Setting(
        name="delete.retention.ms",
        broker_name="log.cleaner.delete.retention.ms",
        fields=("delete_retention_ms",),
        form=whole(ConfigType.LONG, 0),
        doc="How long compaction keeps the tombstone of a deleted key, in milliseconds.",
    ),
    Setting(
        name="max.message.bytes",
        broker_name="message.max.bytes",
        fields=("max_message_bytes",),
        form=whole(ConfigType.INT, 0),
        doc="The largest record batch, as sent, that the topic takes, in bytes.",
    ),
    Setting(
        name="message.timestamp.type",
        broker_name="log.message.timestamp.type",
        fields=("timestamp_kind",),
        form=choice({"CreateTime": "create", "LogAppendTime": "append"}),
        doc="Whether a message keeps its producer's time or gets the time of its append.",
    ),
    Setting(
        name="retention.bytes",
        broker_name="log.retention.bytes",
        fields=("retention_bytes",),
        form=whole(ConfigType.LONG, FOREVER),
        doc="How many bytes a partition keeps before its oldest segments are deleted; -1 for no"
        " limit.",
    ),
    Setting(
        name="retention.ms",
        broker_name="log.retention.ms",
        fields=("retention_ms",),
        form=whole(ConfigType.LONG, FOREVER),
        doc="How long messages are kept before their segments are deleted, in milliseconds; -1 for"
        " ever.",
    ),
    Setting(
        name="segment.bytes",
        broker_name="log.segment.bytes",
        fields=("segment_bytes",),
        form=whole(ConfigType.INT, MIN_SEGMENT_BYTES),
        doc="The size at which a new segment file is begun; old segments go as a whole.",
    ),
    Setting(
        name="segment.ms",
        broker_name="log.roll.ms",
        fields=("segment_ms",),
        form=whole(ConfigType.LONG, 1),
        doc="The age at which a new segment file is begun although the last one is not full, in"
        " milliseconds.",
    ),
    Setting(
        name="hubbub.captures",
        fields=("captures",),
        form=PATTERNS,
        doc="Patterns of further addresses whose messages the topic stores, next to those sent to"
        " its own name; a comma inside a pattern is written %2C.",
    ),
    Setting(
        name="hubbub.fsync",
        fields=("fsync",),
        form=choice({"group": "group", "interval": "interval", "never": "never"}),
        doc="When a message counts as stored: after the disk has it (group), or before, with a sync"
        " now and then (interval) or left to the system (never).",
    ),
)

_TRUTHS: tuple[Truth, ...] = (
    Truth(
        name="compression.type",
        broker_name="compression.type",
        truth_type=ConfigType.STRING,
        value=_always("producer"),
        why="batches are kept as their producer compressed them",
        doc="Batches keep the compression that their producer chose.",
    ),
    Truth(
        name="flush.messages",
        truth_type=ConfigType.LONG,
        value=_synced_each,
        why=_FSYNC,
        doc="After how many messages the log is synced; hubbub.fsync sets it.",
    ),
    Truth(
        name="flush.ms",
        truth_type=ConfigType.LONG,
        value=_synced_at_once,
        why=_FSYNC,
        doc="How long a message may wait for a sync, in milliseconds; hubbub.fsync sets it.",
    ),
    Truth(
        name="max.compaction.lag.ms",
        broker_name="log.cleaner.max.compaction.lag.ms",
        truth_type=ConfigType.LONG,
        value=_always(str(MAX_LONG)),
        why="compaction promises no latest time",
        doc="The latest time at which a message must have been considered for compaction.",
    ),
    Truth(
        name="message.timestamp.after.max.ms",
        broker_name="log.message.timestamp.after.max.ms",
        truth_type=ConfigType.LONG,
        value=_always(str(MAX_LONG)),
        why="a producer's timestamps are taken as they are",
        doc="How far ahead of the broker's clock a message's timestamp may be.",
    ),
    Truth(
        name="message.timestamp.before.max.ms",
        broker_name="log.message.timestamp.before.max.ms",
        truth_type=ConfigType.LONG,
        value=_always(str(MAX_LONG)),
        why="a producer's timestamps are taken as they are",
        doc="How far behind the broker's clock a message's timestamp may be.",
    ),
    Truth(
        name="min.compaction.lag.ms",
        broker_name="log.cleaner.min.compaction.lag.ms",
        truth_type=ConfigType.LONG,
        value=_always("0"),
        why="every closed segment may be compacted",
        doc="How long a message is safe from compaction, in milliseconds.",
    ),
    Truth(
        name="min.insync.replicas",
        broker_name="min.insync.replicas",
        truth_type=ConfigType.INT,
        value=_always("1"),
        why=_ONE_BROKER,
        doc="How many replicas must have a message before acks=all is answered.",
    ),
    Truth(
        name="preallocate",
        broker_name="log.preallocate",
        truth_type=ConfigType.BOOLEAN,
        value=_always("false"),
        why="segment files grow as they are written",
        doc="Whether a new segment file is given its full size at once.",
    ),
    Truth(
        name="remote.storage.enable",
        truth_type=ConfigType.BOOLEAN,
        value=_always("false"),
        why="there is no tiered storage",
        doc="Whether older segments are moved to remote storage.",
    ),
    Truth(
        name="segment.jitter.ms",
        broker_name="log.roll.jitter.ms",
        truth_type=ConfigType.LONG,
        value=_always("0"),
        why="segments are begun when segment.ms says",
        doc="The random part of the time at which segments are begun, in milliseconds.",
    ),
    Truth(
        name="unclean.leader.election.enable",
        broker_name="unclean.leader.election.enable",
        truth_type=ConfigType.BOOLEAN,
        value=_always("false"),
        why=_ONE_BROKER,
        doc="Whether a replica that lags behind may become leader.",
    ),
)

TOPIC_CONFIGS: dict[str, TopicConfig] = {
    config.name: config for config in sorted((*_SETTINGS, *_TRUTHS), key=lambda config: config.name)
}

# What Kafka has besides: nothing here would act on them.
UNSUPPORTED = frozenset(
    {
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.zstd.level",
        "file.delete.delay.ms",
        "follower.replication.throttled.replicas",
        "index.interval.bytes",
        "leader.replication.throttled.replicas",
        "local.retention.bytes",
        "local.retention.ms",
        "message.downconversion.enable",
        "message.format.version",
        "message.timestamp.difference.max.ms",
        "min.cleanable.dirty.ratio",
        "remote.log.copy.disable",
        "remote.log.delete.on.disable",
        "segment.index.bytes",
    }
)


def topic_config(name: str) -> TopicConfig:
    """The config of that name. Raises InvalidSettingsError."""
    config = TOPIC_CONFIGS.get(name)
    if config is not None:
        return config
    if name in UNSUPPORTED:
        raise InvalidSettingsError(f"Topic config {name} is not supported by this broker")
    raise InvalidSettingsError(f"Unknown topic config name: {name}")


def changed(settings: TopicSettings, values: Mapping[str, str | None]) -> TopicSettings:
    """The settings with these configs changed, None meaning back to the default.

    Raises:
        InvalidSettingsError: an unknown config, or a value that it cannot have.
    """
    texts = [(topic_config(name), text) for name, text in values.items()]
    # What is true of a topic may follow from its settings, so the settings come first.
    for config, text in sorted(texts, key=lambda item: isinstance(item[0], Truth)):
        if text is not None:
            _check_length(config, text)
            settings = config.write(settings, text)
        elif not isinstance(config, Truth):
            settings = config.write(settings, config.read(DEFAULTS))
    check_captures(settings)
    return settings


def is_default(config: TopicConfig, settings: TopicSettings) -> bool:
    """Whether the topic has the value that every new topic gets."""
    return isinstance(config, Truth) or config.read(settings) == config.read(DEFAULTS)


def _check_length(config: TopicConfig, text: str) -> None:
    if len(text.encode()) > MAX_VALUE_BYTES:
        raise InvalidSettingsError(
            f"Invalid value for configuration {config.name}: longer than {MAX_VALUE_BYTES} bytes"
        )
