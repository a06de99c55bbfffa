"""One command as data, and the rules by which a request finds its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeAlias

    from hubbub.protocols.redis.session import RedisSession

    # Takes the whole request, its name included, and returns what the codec can encode.
    Handler: TypeAlias = Callable[[RedisSession, list[bytes]], Any]

# How much of a request an error quotes (Redis's own figure).
MAX_QUOTED_BYTES = 128

SYNTAX_ERROR = "ERR syntax error"
NOT_AN_INTEGER = "ERR value is not an integer or out of range"

INT64_MAX = 2**63 - 1
_INT64_DIGITS = 19


class CommandError(Exception):
    """What a command answers instead of a value: a code and a text."""


class NoReply:
    """What a handler returns when it has answered by itself, or nothing is to be said."""


NO_REPLY = NoReply()


@dataclass(frozen=True, slots=True)
class Command:
    """A command or, named ``container|name``, a subcommand.

    ``arity`` counts the name; a negative one is a minimum. ``flags``, ``categories`` and
    ``channels`` (first, last and step of the sharded channels among the arguments) are what
    ``COMMAND INFO`` shows, ``usage`` is how ``HELP`` spells a subcommand.
    """

    name: str
    arity: int
    flags: str
    categories: str
    since: str
    group: str
    summary: str
    run: Handler
    usage: str = ""
    channels: tuple[int, int, int] = (0, 0, 0)
    subcommands: Mapping[bytes, Command] = field(default_factory=dict)

    def has(self, flag: str) -> bool:
        """Whether the command has this flag."""
        return flag in self.flags.split()

    @property
    def own_name(self) -> str:
        """The name without its container's."""
        return self.name.rpartition("|")[2]

    def check_arity(self, request: list[bytes]) -> None:
        """Raises CommandError if there are too few or too many arguments."""
        if len(request) < -self.arity or (self.arity > 0 and len(request) != self.arity):
            raise wrong_number_of_arguments(self.name)


class CommandTable:
    """Commands by name, in any case of letters."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self._commands = {command.name.encode(): command for command in commands}
        # Clients send all capitals or none; a name in mixed case costs one more look-up.
        self._spellings = self._commands | {
            name.upper(): command for name, command in self._commands.items()
        }

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)

    def named(self, name: bytes) -> Command | None:
        """The command or subcommand of a full name such as ``client|id``."""
        container, _, subcommand = name.lower().partition(b"|")
        command = self._commands.get(container)
        if command is None or not subcommand:
            return command
        return command.subcommands.get(subcommand)

    def find(self, request: list[bytes]) -> Command:
        """The command that a request means. Raises CommandError: unknown, or wrong arity."""
        command = self._spellings.get(request[0]) or self._commands.get(request[0].lower())
        if command is None:
            raise unknown_command(request)
        if command.subcommands and len(request) > 1:
            found = command.subcommands.get(request[1].lower())
            if found is None:
                raise unknown_subcommand(request)
            command = found
        command.check_arity(request)
        return command


def unknown_command(request: list[bytes]) -> CommandError:
    """Redis's error, which quotes the beginning of the request."""
    quoted = b""
    for argument in request[1:]:
        if len(quoted) >= MAX_QUOTED_BYTES:
            break
        quoted += b"'%b' " % argument[: MAX_QUOTED_BYTES - len(quoted)]
    name = text_of(request[0][:MAX_QUOTED_BYTES])
    return CommandError(
        f"ERR unknown command '{name}', with args beginning with: {text_of(quoted)}"
    )


def unknown_subcommand(request: list[bytes]) -> CommandError:
    """Redis's error for a subcommand that its command does not have."""
    container = text_of(request[0].upper())
    quoted = text_of(request[1][:MAX_QUOTED_BYTES])
    return CommandError(f"ERR unknown subcommand '{quoted}'. Try {container} HELP.")


def bad_subcommand(request: list[bytes]) -> CommandError:
    """Redis's error where a subcommand's arity is right and its number of arguments still is not."""
    container = text_of(request[0].upper())
    quoted = text_of(request[1][:MAX_QUOTED_BYTES])
    return CommandError(
        f"ERR unknown subcommand or wrong number of arguments for '{quoted}'. Try {container} HELP."
    )


def wrong_number_of_arguments(name: str) -> CommandError:
    """Redis's arity error."""
    return CommandError(f"ERR wrong number of arguments for '{name}' command")


def text_of(raw: bytes) -> str:
    """A client's bytes inside an error text, unchanged when the text is encoded again."""
    return raw.decode("utf-8", "surrogateescape")


def integer(raw: bytes, error: str = NOT_AN_INTEGER) -> int:
    """A 64-bit integer as Redis reads one: no plus sign, no leading zero. Raises CommandError."""
    digits = raw.removeprefix(b"-")
    canonical = digits.isdigit() and (digits[:1] != b"0" or raw == b"0")
    if not canonical or len(digits) > _INT64_DIGITS:
        raise CommandError(error)
    value = int(raw)
    if not -INT64_MAX - 1 <= value <= INT64_MAX:
        raise CommandError(error)
    return value
