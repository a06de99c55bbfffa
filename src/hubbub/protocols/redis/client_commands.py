"""CLIENT: a client about itself, and about the others that are connected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.protocols.redis.authentication import DEFAULT_USER
from hubbub.protocols.redis.clients import CLIENT_TYPES, client_type, describe
from hubbub.protocols.redis.codec import OK, Set, Simple, Verbatim
from hubbub.protocols.redis.command import (
    NO_REPLY,
    SYNTAX_ERROR,
    CommandError,
    bad_subcommand,
    integer,
    text_of,
)
from hubbub.protocols.redis.connection import printable, rename
from hubbub.protocols.redis.replies import ReplyMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hubbub.protocols.redis.session import RedisSession

    Filter = Callable[[RedisSession], bool]

_NO_TRACKING = "ERR client tracking needs keys, which this server does not have"


def client_id(session: RedisSession, _request: list[bytes]) -> int:
    """CLIENT ID."""
    return session.client.id


def client_getname(session: RedisSession, _request: list[bytes]) -> str | None:
    """CLIENT GETNAME."""
    return session.client.name or None


def client_setname(session: RedisSession, request: list[bytes]) -> Simple:
    """CLIENT SETNAME connection-name."""
    rename(session, request[2])
    return OK


def client_setinfo(session: RedisSession, request: list[bytes]) -> Simple:
    """CLIENT SETINFO <LIB-NAME libname | LIB-VER libver>."""
    attribute = text_of(request[2])
    if attribute.lower() not in {"lib-name", "lib-ver"}:
        raise CommandError(f"ERR Unrecognized option '{attribute}'")
    value = printable(request[3], attribute)
    if attribute.lower() == "lib-name":
        session.client.library = value
    else:
        session.client.library_version = value
    return OK


def client_info(session: RedisSession, _request: list[bytes]) -> Verbatim:
    """CLIENT INFO."""
    return _listing([session], session)


def client_list(session: RedisSession, request: list[bytes]) -> Verbatim:
    """CLIENT LIST [TYPE normal|master|replica|pubsub] [ID client-id ...]."""
    clients = session.listener.clients
    if len(request) == 2:
        return _listing(clients, session)
    option = request[2].lower()
    if option == b"type" and len(request) == 4:
        wanted = _known_type(request[3])
        return _listing((each for each in clients if client_type(each) == wanted), session)
    if option == b"id" and len(request) > 3:
        ids = dict.fromkeys(integer(raw, "ERR Invalid client ID") for raw in request[3:])
        return _listing(filter(None, map(clients.get, ids)), session)
    raise CommandError(SYNTAX_ERROR)


def _listing(sessions: Iterable[RedisSession], asking: RedisSession) -> Verbatim:
    now = asking.broker.timers.now
    return Verbatim("".join(f"{describe(session, now)}\n" for session in sessions))


def _known_type(raw: bytes) -> str:
    name = text_of(raw).lower()
    if name not in CLIENT_TYPES:
        raise CommandError(f"ERR Unknown client type '{text_of(raw)}'")
    return name


def client_kill(session: RedisSession, request: list[bytes]) -> Any:
    """CLIENT KILL ip:port, or KILL followed by filters, all of which a victim has to match."""
    if len(request) == 3:
        address = text_of(request[2])
        killed = _kill(session, [lambda each: each.client.address == address])
        if not killed:
            raise CommandError("ERR No such client")
        return OK
    return _kill(session, _kill_filters(session, request[2:]))


def _kill_filters(session: RedisSession, options: list[bytes]) -> list[Filter]:
    if len(options) % 2:
        raise CommandError(SYNTAX_ERROR)
    # As in Redis, the last of several filters of one kind is the one that counts.
    filters: dict[bytes, Filter] = {b"SKIPME": lambda each: each is not session}
    for name, value in zip(options[::2], options[1::2], strict=True):
        option = name.upper()
        if option == b"SKIPME":
            filters[option] = _skip_filter(session, value)
        else:
            filters[option] = _kill_filter(session, option, value)
    return list(filters.values())


def _skip_filter(session: RedisSession, value: bytes) -> Filter:
    if value.lower() not in {b"yes", b"no"}:
        raise CommandError(SYNTAX_ERROR)
    skip = value.lower() == b"yes"
    return lambda each: not skip or each is not session


def _kill_filter(session: RedisSession, option: bytes, value: bytes) -> Filter:
    text = text_of(value)
    if option == b"ID":
        wanted = _positive(value, "client-id")
        return lambda each: each.client.id == wanted
    if option == b"ADDR":
        return lambda each: each.client.address == text
    if option == b"LADDR":
        return lambda each: each.client.local_address == text
    if option == b"TYPE":
        kind = _known_type(value)
        return lambda each: client_type(each) == kind
    if option == b"MAXAGE":
        oldest = session.broker.timers.now - _positive(value, "maxage")
        return lambda each: each.client.connected_at <= oldest
    if option == b"USER":
        if text != DEFAULT_USER:
            raise CommandError(f"ERR No such user '{text}'")
        return lambda _each: True
    raise CommandError(SYNTAX_ERROR)


def _positive(value: bytes, what: str) -> int:
    error = f"ERR {what} should be greater than 0"
    number = integer(value, error)
    if number < 1:
        raise CommandError(error)
    return number


def _kill(session: RedisSession, filters: list[Filter]) -> int:
    killed = [each for each in session.listener.clients if all(match(each) for match in filters)]
    for victim in killed:
        if victim is session:
            session.close_after_command()
        else:
            victim.abort()
    return len(killed)


def client_reply(session: RedisSession, request: list[bytes]) -> Any:
    """CLIENT REPLY ON|OFF|SKIP."""
    replies, choice = session.replies, request[2].lower()
    if choice == b"on":
        replies.mode = ReplyMode.ON
        return OK
    if choice == b"off":
        replies.mode = ReplyMode.OFF
    elif choice != b"skip":
        raise CommandError(SYNTAX_ERROR)
    elif replies.mode is not ReplyMode.OFF:
        replies.mode = ReplyMode.SKIP_NEXT
    return NO_REPLY


def client_no_evict(_session: RedisSession, request: list[bytes]) -> Simple:
    """CLIENT NO-EVICT ON|OFF: clients are never evicted here, so both are so already."""
    return _switch(request)


def client_no_touch(_session: RedisSession, request: list[bytes]) -> Simple:
    """CLIENT NO-TOUCH ON|OFF: there are no keys whose last use could be noted."""
    return _switch(request)


def _switch(request: list[bytes]) -> Simple:
    if request[2].lower() not in {b"on", b"off"}:
        raise CommandError(SYNTAX_ERROR)
    return OK


def client_tracking(_session: RedisSession, request: list[bytes]) -> Simple:
    """CLIENT TRACKING ON|OFF: there is nothing to track, so only OFF is true."""
    choice = request[2].lower()
    if choice == b"off":
        return OK
    raise CommandError(_NO_TRACKING if choice == b"on" else SYNTAX_ERROR)


def client_trackinginfo(_session: RedisSession, _request: list[bytes]) -> dict[str, Any]:
    """CLIENT TRACKINGINFO."""
    return {"flags": Set(["off"]), "redirect": -1, "prefixes": []}


def client_caching(_session: RedisSession, _request: list[bytes]) -> Any:
    """CLIENT CACHING YES|NO: a choice that only tracking gives."""
    raise CommandError(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or"
        " OPTOUT mode enabled"
    )


def client_getredir(_session: RedisSession, _request: list[bytes]) -> int:
    """CLIENT GETREDIR."""
    return -1


def client_unblock(_session: RedisSession, request: list[bytes]) -> int:
    """CLIENT UNBLOCK client-id [TIMEOUT|ERROR]: no command blocks, so nobody is unblocked."""
    if len(request) > 4:
        raise bad_subcommand(request)
    if len(request) == 4 and request[3].lower() not in {b"timeout", b"error"}:
        raise CommandError("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    integer(request[2])
    return 0
