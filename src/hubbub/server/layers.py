"""Where each setting comes from: flags over environment over file over defaults."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from hubbub.model.errors import HubbubError
from hubbub.server.listeners import LISTENERS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ENVIRONMENT_PREFIX = "HUBBUB_"
# Short names that the documentation gives to settings everybody needs.
_ALIASES = {"HUBBUB_DATA_DIR": "server.data"}


class ConfigError(HubbubError):
    """A setting that means nothing, with what was probably meant."""


class Layers:
    """Settings laid over one another, each with its origin.

    ``tables`` is nested as the file is; ``origins`` says of a dotted key (``server.data``) who had
    the last word. A key without an origin has its default value.
    """

    def __init__(self) -> None:
        self.tables: dict[str, Any] = {}
        self.origins: dict[str, str] = {}

    def add_file(self, path: Path) -> None:
        """Lay a TOML file on top. Raises ConfigError."""
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from error
        self._add_table("", tables, str(path))

    def add_environment(self, environment: Mapping[str, str]) -> None:
        """HUBBUB_<SECTION>_<KEY> sets a key, HUBBUB_LISTENERS_<NAME>_<KEY> one of a listener."""
        for variable in sorted(environment):
            key = _ALIASES.get(variable) or _key_of(variable)
            if key:
                self.set(key, environment[variable], variable)

    def set(self, key: str, value: object, origin: str) -> None:
        """Set one dotted key. Raises ConfigError where a table is not one."""
        *path, last = key.split(".")
        table = self.tables
        for depth, name in enumerate(path, 1):
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{'.'.join(path[:depth])} is a table")
        table[last] = value
        self.origins[key] = origin

    def _add_table(self, prefix: str, table: Mapping[str, Any], origin: str) -> None:
        for name, value in table.items():
            if isinstance(value, dict) and value:
                self._add_table(f"{prefix}{name}.", value, origin)
            else:
                self.set(f"{prefix}{name}", value, origin)


def _key_of(variable: str) -> str:
    """The dotted key that a variable sets, empty if it is none of a server's settings."""
    if not variable.startswith(ENVIRONMENT_PREFIX):
        return ""
    section, _, rest = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
    if section == "listeners":
        listener, rest = _split_listener(rest)
        section = f"listeners.{listener}"
    elif section not in {"server", "broker"}:
        return ""
    return f"{section}.{rest}" if rest else ""


def _split_listener(words: str) -> tuple[str, str]:
    """A listener's name and the rest; a variable has an underscore where the name has a hyphen."""
    for name in sorted(LISTENERS, key=len, reverse=True):
        spelled = name.replace("-", "_") + "_"
        if words.startswith(spelled):
            return name, words.removeprefix(spelled)
    listener, _, rest = words.partition("_")
    return listener, rest
