"""What `hubbub serve` is told: flags over environment over file over defaults."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import platformdirs

from hubbub.broker.config import BrokerConfig
from hubbub.broker.shared import SharedSettings
from hubbub.model.errors import HubbubError
from hubbub.model.settings import TopicSettings
from hubbub.server.listeners import LISTENERS

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT_PREFIX = "HUBBUB_"
# Read by the command line and the Python API, not settings of a server.
_OTHER_VARIABLES = {"HUBBUB_URL", "HUBBUB_CONFIG", "HUBBUB_DATA_DIR"}


class ConfigError(HubbubError):
    """A setting that means nothing, with what was probably meant."""


class ListenerConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where a listener binds, and what its protocol lets one choose."""

    address: str = ""  # host:port; empty: 127.0.0.1 and the port its clients default to
    advertised: str = ""  # host:port that Kafka clients are told; empty: where they connected to


class ServerSection(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The process."""

    data: str = ""  # directory; empty: the XDG data directory
    memory: bool = False  # keep nothing on disk
    insecure: bool = False  # bind beyond loopback although no users are configured
    max_connections: int = 10_000  # what Redis allows by default


class TopicConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A topic that is there before any client."""

    name: str
    partitions: int | None = None
    settings: TopicSettings = msgspec.field(default_factory=TopicSettings)


class SubscriptionConfig(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A shared subscription that is there, and keeps messages, before any consumer."""

    name: str
    topic: str
    settings: SharedSettings = msgspec.field(default_factory=SharedSettings)


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Everything; each section is a table of the file."""

    server: ServerSection = msgspec.field(default_factory=ServerSection)
    broker: BrokerConfig = msgspec.field(default_factory=BrokerConfig)
    listeners: dict[str, ListenerConfig] = msgspec.field(default_factory=dict)
    topics: list[TopicConfig] = msgspec.field(default_factory=list)
    subscriptions: list[SubscriptionConfig] = msgspec.field(default_factory=list)

    def data_directory(self) -> Path:
        """Where messages are kept."""
        # systemd names the directory it made for the service in STATE_DIRECTORY.
        chosen = self.server.data or os.environ.get("STATE_DIRECTORY", "")
        return Path(chosen) if chosen else platformdirs.user_data_path("hubbub", appauthor=False)


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """The configuration of a file, if any, and the environment.

    Raises:
        ConfigError: no such file, not TOML, or a name or value that means nothing.
    """
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from error
    _overlay(raw, environment)
    _check_names(raw)
    try:
        config = msgspec.convert(raw, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error
    return config


def _overlay(raw: dict[str, Any], environment: Mapping[str, str]) -> None:
    """HUBBUB_<SECTION>_<KEY> sets a key; HUBBUB_LISTENERS_<NAME>_<KEY> one of a listener."""
    if "HUBBUB_DATA_DIR" in environment:
        raw.setdefault("server", {})["data"] = environment["HUBBUB_DATA_DIR"]
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in _OTHER_VARIABLES:
            continue
        section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
        if section in {"server", "broker"} and key:
            raw.setdefault(section, {})[key] = value
        elif section == "listeners":
            name, _, key = key.partition("_")
            raw.setdefault("listeners", {}).setdefault(name, {})[key] = value


def _check_names(raw: Mapping[str, Any]) -> None:
    _check_keys("", raw, Config)
    _check_keys("server.", raw.get("server", {}), ServerSection)
    _check_keys("broker.", raw.get("broker", {}), BrokerConfig)
    for name, listener in raw.get("listeners", {}).items():
        if name not in LISTENERS:
            raise ConfigError(
                f"listeners.{name}: there is no such listener{_hint(name, LISTENERS)}"
            )
        _check_keys(f"listeners.{name}.", listener, ListenerConfig)


def _check_keys(prefix: str, table: Any, struct: type[msgspec.Struct]) -> None:
    if not isinstance(table, dict):
        raise ConfigError(f"{prefix.rstrip('.')} is a table")
    for key in table:
        if key not in struct.__struct_fields__:
            hint = _hint(key, struct.__struct_fields__)
            raise ConfigError(f"{prefix}{key}: unknown setting{hint}")


def _hint(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""
