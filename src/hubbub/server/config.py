"""What `hubbub serve` is told."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from hubbub.broker.config import BrokerConfig
from hubbub.broker.shared import SharedSettings
from hubbub.model.settings import TopicSettings
from hubbub.server.layers import ConfigError, Layers
from hubbub.server.listeners import LISTENERS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


# Where a listener binds, host:port; without it 127.0.0.1 and the port its clients default to.
ADDRESS = "address"


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
    # By listener: where it binds, and what its protocol lets one choose.
    listeners: dict[str, dict[str, str | int | bool | list[str]]] = msgspec.field(
        default_factory=dict
    )
    topics: list[TopicConfig] = msgspec.field(default_factory=list)
    subscriptions: list[SubscriptionConfig] = msgspec.field(default_factory=list)

    def data_directory(self) -> Path:
        """Where messages are kept."""
        # systemd names the directory it made for the service in STATE_DIRECTORY.
        chosen = self.server.data or os.environ.get("STATE_DIRECTORY", "")
        if chosen:
            return Path(chosen).expanduser()
        import platformdirs

        return platformdirs.user_data_path("hubbub", appauthor=False)


def load(path: Path | None, environment: Mapping[str, str]) -> Config:
    """The configuration of a file, if any, and the environment.

    Raises:
        ConfigError: no such file, not TOML, or a name or value that means nothing.
    """
    return convert(read(path, environment))


def read(path: Path | None, environment: Mapping[str, str]) -> Layers:
    """The layers of ``load``, for more to be laid on top. Raises ConfigError."""
    layers = Layers()
    if path is not None:
        layers.add_file(path)
    layers.add_environment(environment)
    return layers


def convert(layers: Layers) -> Config:
    """The configuration that the layers come to. Raises ConfigError."""
    _check_struct("", layers.tables, Config)
    try:
        # Not strict: what comes from the environment is text.
        config = msgspec.convert(layers.tables, Config, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error).replace("`$.", "`")) from error
    for name, settings in config.listeners.items():
        _check_listener(name, settings)
    return config


def _check_listener(name: str, settings: Mapping[str, object]) -> None:
    if name not in LISTENERS:
        raise ConfigError(f"listeners.{name}: unknown listener{_hint(name, LISTENERS)}")
    known = (ADDRESS, *LISTENERS[name].settings)
    for key in settings:
        if key not in known:
            raise ConfigError(f"listeners.{name}.{key}: unknown setting{_hint(key, known)}")


def _check_struct(path: str, table: object, struct: type[msgspec.Struct]) -> None:
    """Refuse names that are no field, at any depth, with what was probably meant."""
    if not isinstance(table, dict):
        raise ConfigError(f"{path} is a table")
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for name, value in table.items():
        inner = f"{path}.{name}" if path else name
        if name not in fields:
            raise ConfigError(f"{inner}: unknown setting{_hint(name, fields)}")
        _check_value(inner, value, fields[name])


def _check_value(path: str, value: Any, kind: Any) -> None:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        _check_struct(path, value, kind)
        return
    *_, element = get_args(kind) or (None,)
    if not (isinstance(element, type) and issubclass(element, msgspec.Struct)):
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            _check_struct(f"{path}[{index}]", item, element)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_struct(f"{path}.{name}", item, element)


def _hint(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f" (did you mean {close[0]}?)" if close else f" (there are: {', '.join(known)})"
