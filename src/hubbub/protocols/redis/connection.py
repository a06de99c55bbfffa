"""The commands about the connection itself: who is there, which protocol, is anybody listening."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.protocols.redis.authentication import DEFAULT_USER
from hubbub.protocols.redis.codec import OK, RESP2, RESP3, Simple
from hubbub.protocols.redis.command import (
    SYNTAX_ERROR,
    CommandError,
    integer,
    text_of,
    wrong_number_of_arguments,
)
from hubbub.protocols.redis.replies import ReplyMode

if TYPE_CHECKING:
    from hubbub.protocols.redis.session import RedisSession

# The Redis whose commands and texts this listener has; clients choose what they send by it.
REDIS_VERSION = "7.4.5"
DATABASES = 16

_PRINTABLE = frozenset(range(ord("!"), ord("~") + 1))
_NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user."  # noqa: S105 - an error text
    " Are you sure your configuration is correct?"
)
_HELLO_NOT_AUTHENTICATED = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO"
    " <proto> AUTH <user> <pass> option can be used to authenticate the client and select the"
    " RESP protocol version at the same time"
)


def ping(session: RedisSession, request: list[bytes]) -> Any:
    """PING [message]."""
    if len(request) > 2:
        raise wrong_number_of_arguments("ping")
    if session.subscriptions and session.replies.protocol == RESP2:
        # A RESP2 client in subscribed mode reads nothing but arrays like those of deliveries.
        return [b"pong", request[1] if len(request) == 2 else b""]
    return request[1] if len(request) == 2 else Simple("PONG")


def echo(_session: RedisSession, request: list[bytes]) -> bytes:
    """ECHO message."""
    return request[1]


def select(session: RedisSession, request: list[bytes]) -> Simple:
    """SELECT index. Channels belong to no database, so it changes what CLIENT LIST shows."""
    index = integer(request[1])
    if not 0 <= index < DATABASES:
        raise CommandError("ERR DB index is out of range")
    session.client.database = index
    return OK


def quit_(session: RedisSession, _request: list[bytes]) -> Simple:
    """QUIT."""
    session.close_after_command()
    return OK


def reset(session: RedisSession, _request: list[bytes]) -> Simple:
    """RESET: as if the client had just connected."""
    session.transaction.discard()
    session.subscriptions.clear()
    session.replies.protocol = RESP2
    session.replies.mode = ReplyMode.ON
    session.client.rename("")
    session.client.database = 0
    session.log_out()
    return Simple("RESET")


def auth(session: RedisSession, request: list[bytes]) -> Simple:
    """AUTH [username] password."""
    if len(request) > 3:
        raise CommandError(SYNTAX_ERROR)
    if len(request) == 2 and not session.listener.authentication.required:
        raise CommandError(_NO_PASSWORD)
    user = request[1] if len(request) == 3 else DEFAULT_USER.encode()
    session.log_in(user, request[-1])
    return OK


def hello(session: RedisSession, request: list[bytes]) -> dict[str, Any]:
    """HELLO [protover [AUTH username password] [SETNAME clientname]]."""
    protocol = session.replies.protocol
    if len(request) > 1:
        protocol = integer(request[1], "ERR Protocol version is not an integer or out of range")
        if protocol not in {RESP2, RESP3}:
            raise CommandError("NOPROTO unsupported protocol version")
    _apply_hello_options(session, request[2:])
    if not session.authenticated:
        raise CommandError(_HELLO_NOT_AUTHENTICATED)
    session.replies.protocol = protocol
    return {
        "server": "redis",
        "version": REDIS_VERSION,
        "proto": protocol,
        "id": session.client.id,
        "mode": "standalone",
        "role": "master",
        "modules": [],
    }


def _apply_hello_options(session: RedisSession, options: list[bytes]) -> None:
    at = 0
    while at < len(options):
        option, following = options[at].upper(), options[at + 1 : at + 3]
        if option == b"AUTH" and len(following) == 2:
            session.log_in(*following)
            at += 3
        elif option == b"SETNAME" and following:
            rename(session, following[0])
            at += 2
        else:
            raise CommandError(f"ERR Syntax error in HELLO option '{text_of(options[at])}'")


def rename(session: RedisSession, name: bytes) -> None:
    """Give the client a name, or none if it is empty. Raises CommandError."""
    session.client.rename(printable(name, "Client names"))


def printable(raw: bytes, what: str) -> str:
    """Text that keeps its place in a line of CLIENT LIST. Raises CommandError."""
    if not _PRINTABLE.issuperset(raw):
        raise CommandError(f"ERR {what} cannot contain spaces, newlines or special characters.")
    return raw.decode()
