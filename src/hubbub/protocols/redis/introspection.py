"""COMMAND: the commands about the commands, and HELP."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from hubbub.model.pattern import Glob
from hubbub.protocols.redis.codec import Constant, Set, Simple
from hubbub.protocols.redis.command import (
    SYNTAX_ERROR,
    CommandError,
    wrong_number_of_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.protocols.redis.command import Command, CommandTable
    from hubbub.protocols.redis.session import RedisSession


def command(session: RedisSession, _request: list[bytes]) -> Constant:
    """COMMAND: everything about every command."""
    return _every_description(session.commands)


def command_count(session: RedisSession, _request: list[bytes]) -> int:
    """COMMAND COUNT."""
    return len(session.commands)


def command_info(session: RedisSession, request: list[bytes]) -> Constant | list[Any]:
    """COMMAND INFO [command-name ...]."""
    if len(request) == 2:
        return command(session, request)
    found = (session.commands.named(name) for name in request[2:])
    return [each and _description(each) for each in found]


def command_docs(session: RedisSession, request: list[bytes]) -> Constant | dict[str, Any]:
    """COMMAND DOCS [command-name ...]."""
    if len(request) == 2:
        return _every_documentation(session.commands)
    found = (session.commands.named(name) for name in dict.fromkeys(request[2:]))
    return {each.name: _documentation(each) for each in found if each is not None}


def command_list(session: RedisSession, request: list[bytes]) -> Set:
    """COMMAND LIST [FILTERBY <MODULE name | ACLCAT category | PATTERN pattern>]."""
    if len(request) == 2:
        return Set(each.name for each in session.commands)
    if len(request) != 5 or request[2].lower() != b"filterby":
        raise CommandError(SYNTAX_ERROR)
    kind, wanted = request[3].lower(), request[4]
    if kind == b"module":
        return Set()
    every = _with_subcommands(session.commands)
    if kind == b"aclcat":
        category = f"@{wanted.decode('latin-1').lower()}"
        return Set(each.name for each in every if category in each.categories.split())
    if kind == b"pattern":
        glob = Glob(wanted.lower())
        return Set(each.name for each in every if glob.matches_name(each.name.encode()))
    raise CommandError(SYNTAX_ERROR)


def command_getkeys(session: RedisSession, request: list[bytes]) -> Any:
    """COMMAND GETKEYS and GETKEYSANDFLAGS: always an error, as no command here has keys."""
    meant = session.commands.named(request[2])
    if meant is None:
        raise CommandError("ERR Invalid command specified")
    try:
        session.commands.find(request[2:])
    except CommandError as error:
        raise CommandError("ERR Invalid number of arguments specified for command") from error
    raise CommandError("ERR The command has no key arguments")


def help_(session: RedisSession, request: list[bytes]) -> list[Simple]:
    """HELP of a command that has subcommands."""
    container = session.commands.named(request[0])
    if container is None:
        raise wrong_number_of_arguments("help")
    title = f"{container.name.upper()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    lines = [title]
    for subcommand in container.subcommands.values():
        usage = f"{subcommand.own_name.upper()} {subcommand.usage}".rstrip()
        lines += [usage, f"    {subcommand.summary}"]
    return [Simple(line) for line in lines]


def _with_subcommands(commands: CommandTable) -> Iterator[Command]:
    for each in commands:
        yield each
        yield from each.subcommands.values()


@cache
def _every_description(commands: CommandTable) -> Constant:
    return Constant([_description(each) for each in commands])


@cache
def _every_documentation(commands: CommandTable) -> Constant:
    return Constant({each.name: _documentation(each) for each in commands})


def _description(meant: Command) -> list[Any]:
    return [
        meant.name,
        meant.arity,
        Set(Simple(flag) for flag in meant.flags.split()),
        *meant.channels,
        Set(Simple(category) for category in meant.categories.split()),
        Set(),  # tips for clients of a cluster
        _channel_specification(meant),
        [_description(each) for each in meant.subcommands.values()],
    ]


def _channel_specification(meant: Command) -> list[Any]:
    """Where a cluster client finds the sharded channels, in the form of Redis's key specifications."""
    first, last, step = meant.channels
    if not first:
        return []
    begin = {"type": "index", "spec": {"index": first}}
    # In the specification the last one counts from the first, negative numbers from the end.
    relative = last if last < 0 else last - first
    found = {"type": "range", "spec": {"lastkey": relative, "keystep": step, "limit": 0}}
    flags = Set([Simple("not_key")])
    return [{"flags": flags, "begin_search": begin, "find_keys": found}]


def _documentation(meant: Command) -> dict[str, Any]:
    documentation: dict[str, Any] = {
        "summary": meant.summary,
        "since": meant.since,
        "group": meant.group,
    }
    if meant.subcommands:
        documentation["subcommands"] = {
            each.name: _documentation(each) for each in meant.subcommands.values()
        }
    return documentation
