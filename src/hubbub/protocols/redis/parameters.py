"""``CONFIG GET`` and ``SET``: the parameters that mean something here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hubbub.broker.outbox import OUTBOX_LIMIT_BYTES
from hubbub.model.errors import InvalidSettingsError
from hubbub.model.pattern import Glob
from hubbub.protocols.redis.command import INT64_MAX, CommandError, text_of
from hubbub.protocols.redis.connection import DATABASES
from hubbub.protocols.redis.parser import MAX_BULK_BYTES, MAX_REQUEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

# Redis's default.
MAX_CLIENTS = 10_000

_MEMORY_UNITS = {
    "": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3,
}  # fmt: skip
# Redis's classes of keyspace events, in the order in which CONFIG GET shows them.
_EVENT_CLASSES = "g$lshzxetd"
_OTHER_EVENTS = "KEmn"


@dataclass(slots=True)
class Parameter:
    """A value as ``CONFIG GET`` shows it; ``parse`` turns what ``SET`` was given into one.

    ``parse`` raises ValueError. Without it the value is a fact that cannot be changed.
    """

    value: str
    parse: Callable[[str], str] | None = None

    def parsed(self, text: str) -> str:
        """The value that ``text`` means. Raises ValueError."""
        if self.parse is not None:
            return self.parse(text)
        if text != self.value:
            raise ValueError("can't set immutable config")
        return text


class Parameters:
    """The parameters of one listener."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._parameters = {
            "appendonly": Parameter("no"),
            "client-output-buffer-limit": Parameter(
                _output_limits(OUTBOX_LIMIT_BYTES), _parse_output_limits
            ),
            "client-query-buffer-limit": Parameter(
                str(MAX_REQUEST_BYTES), _integer(1024**2, INT64_MAX, _bytes)
            ),
            "cluster-enabled": Parameter("no"),
            "databases": Parameter(str(DATABASES)),
            "enable-debug-command": Parameter("no"),
            "maxclients": Parameter(str(MAX_CLIENTS), _integer(1, 2**32 - 1, int)),
            "maxmemory": Parameter("0"),
            "maxmemory-policy": Parameter("noeviction"),
            "notify-keyspace-events": Parameter("", _parse_events),
            "proto-max-bulk-len": Parameter(
                str(MAX_BULK_BYTES), _integer(1024**2, INT64_MAX, _bytes)
            ),
            "save": Parameter(""),
            "timeout": Parameter("0"),
        }
        for name, value in settings.items():
            self._start_with(name, str(value))
        self._apply()

    def _start_with(self, name: str, text: str) -> None:
        parameter = self._parameters.get(name)
        if parameter is None:
            raise InvalidSettingsError(f"the redis listener has no setting {name!r}")
        try:
            parameter.value = parameter.parsed(text)
        except ValueError as error:
            raise InvalidSettingsError(f"redis setting {name!r}: {error}") from error

    def get(self, patterns: Iterable[bytes]) -> dict[str, str]:
        """The parameters that match one of the globs."""
        globs = [Glob(pattern.lower()) for pattern in dict.fromkeys(patterns)]
        return {
            name: parameter.value
            for name, parameter in self._parameters.items()
            if any(glob.matches_name(name.encode()) for glob in globs)
        }

    def set(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Change all of them or, raising CommandError, none."""
        changed: dict[str, str] = {}
        for raw, value in pairs:
            name = text_of(raw).lower()
            if name not in self._parameters:
                raise CommandError(
                    f"ERR Unknown option or number of arguments for CONFIG SET - '{text_of(raw)}'"
                )
            if name in changed:
                raise _refused(name, "duplicate parameter")
            try:
                changed[name] = self._parameters[name].parsed(text_of(value))
            except ValueError as error:
                raise _refused(name, str(error)) from error
        for name, text in changed.items():
            self._parameters[name].value = text
        self._apply()

    def _apply(self) -> None:
        self.max_clients = self._number("maxclients")
        self.max_bulk_bytes = self._number("proto-max-bulk-len")
        self.max_request_bytes = self._number("client-query-buffer-limit")
        self.outbox_limit = int(self._parameters["client-output-buffer-limit"].value.split()[-3])

    def _number(self, name: str) -> int:
        return int(self._parameters[name].value)


def _refused(name: str, why: str) -> CommandError:
    return CommandError(f"ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")


def _bytes(text: str) -> int:
    """A size such as ``32mb``. Raises ValueError."""
    digits = text.rstrip("bBkKmMgG")
    return int(digits) * _MEMORY_UNITS[text[len(digits) :].lower()]


def _integer(low: int, high: int, read: Callable[[str], int]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            value = read(text)
        except (ValueError, KeyError) as error:
            raise ValueError("argument couldn't be parsed into an integer") from error
        if not low <= value <= high:
            raise ValueError(f"argument must be between {low} and {high} inclusive")
        return str(value)

    return parse


def _output_limits(pubsub: int) -> str:
    """Hard limit, soft limit and its seconds for each of Redis's classes of clients.

    Replies have no limit: a client that does not take its answers has no more requests read.
    """
    return f"normal 0 0 0 slave 0 0 0 pubsub {pubsub} 0 0"


def _parse_output_limits(text: str) -> str:
    words = text.lower().split()
    if len(words) % 4:
        raise ValueError("Wrong number of arguments in buffer limit configuration.")
    limit = None
    for at in range(0, len(words), 4):
        client_class, hard, soft, seconds = words[at : at + 4]
        if client_class != "pubsub" or (soft, seconds) != ("0", "0"):
            raise ValueError("only the hard limit of class pubsub can be changed here")
        limit = int(_integer(1024**2, INT64_MAX, _bytes)(hard))
    if limit is None:
        raise ValueError("Wrong number of arguments in buffer limit configuration.")
    return _output_limits(limit)


def _parse_events(text: str) -> str:
    """Classes of keyspace events in Redis's order, ``A`` for all of those that it stands for."""
    chosen = set(text.replace("A", _EVENT_CLASSES))
    if not chosen.issubset(_EVENT_CLASSES + _OTHER_EVENTS):
        raise ValueError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
    if chosen.issuperset(_EVENT_CLASSES):
        shown = "A"
    else:
        shown = "".join(letter for letter in _EVENT_CLASSES if letter in chosen)
    return shown + "".join(letter for letter in _OTHER_EVENTS if letter in chosen)
