"""The commands about the server, as far as there is one behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.protocols.redis.codec import OK, Simple
from hubbub.protocols.redis.command import (
    SYNTAX_ERROR,
    CommandError,
    integer,
    text_of,
    wrong_number_of_arguments,
)

if TYPE_CHECKING:
    from hubbub.protocols.redis.session import RedisSession

_NO_CLUSTER = "ERR This instance has cluster support disabled"
_NO_DEBUG = (
    'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can'
    " run it from a local connection, otherwise you need to set this option in the configuration"
    " file, and then restart the server."
)


def config_get(session: RedisSession, request: list[bytes]) -> dict[str, str]:
    """CONFIG GET parameter [parameter ...]."""
    return session.listener.parameters.get(request[2:])


def config_set(session: RedisSession, request: list[bytes]) -> Simple:
    """CONFIG SET parameter value [parameter value ...]."""
    if len(request) % 2:
        raise wrong_number_of_arguments("config|set")
    session.listener.configure(zip(request[2::2], request[3::2], strict=True))
    return OK


def config_resetstat(session: RedisSession, _request: list[bytes]) -> Simple:
    """CONFIG RESETSTAT."""
    session.listener.stats.reset()
    return OK


def config_rewrite(_session: RedisSession, _request: list[bytes]) -> Any:
    """CONFIG REWRITE."""
    raise CommandError("ERR The server is running without a config file")


def time(session: RedisSession, _request: list[bytes]) -> list[str]:
    """TIME: Unix seconds, and microseconds in the second."""
    seconds, milliseconds = divmod(session.broker.timers.wall_ms, 1000)
    return [str(seconds), str(milliseconds * 1000)]


def dbsize(_session: RedisSession, _request: list[bytes]) -> int:
    """DBSIZE: there are no keys."""
    return 0


def flush(_session: RedisSession, request: list[bytes]) -> Simple:
    """FLUSHALL and FLUSHDB [ASYNC|SYNC]: there are no keys, and topics are not Redis's to empty."""
    _check_flush_mode(request[1:], SYNTAX_ERROR)
    return OK


def function_flush(_session: RedisSession, request: list[bytes]) -> Simple:
    """FUNCTION FLUSH [ASYNC|SYNC]."""
    _check_flush_mode(request[2:], "ERR FUNCTION FLUSH only supports SYNC|ASYNC option")
    return OK


def _check_flush_mode(options: list[bytes], error: str) -> None:
    if len(options) > 1 or not {option.lower() for option in options} <= {b"async", b"sync"}:
        raise CommandError(error)


def function_list(_session: RedisSession, request: list[bytes]) -> list[Any]:
    """FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]."""
    options = iter(request[2:])
    for option in options:
        unnamed = option.lower() == b"libraryname" and next(options, None) is None
        if unnamed:
            raise CommandError("ERR library name argument was not given")
        if option.lower() not in {b"libraryname", b"withcode"}:
            raise CommandError(f"ERR Unknown argument {text_of(option)}")
    return []


def role(_session: RedisSession, _request: list[bytes]) -> list[Any]:
    """ROLE: a master without replicas."""
    return ["master", 0, []]


def wait(_session: RedisSession, request: list[bytes]) -> int:
    """WAIT numreplicas timeout: no replica will ever acknowledge, so there is nothing to wait for."""
    integer(request[1])
    if integer(request[2], "ERR timeout is not an integer or out of range") < 0:
        raise CommandError("ERR timeout is negative")
    return 0


def no_cluster(_session: RedisSession, _request: list[bytes]) -> Any:
    """CLUSTER, READONLY and READWRITE."""
    raise CommandError(_NO_CLUSTER)


def no_debug(_session: RedisSession, _request: list[bytes]) -> Any:
    """DEBUG: as Redis with its default ``enable-debug-command no``."""
    raise CommandError(_NO_DEBUG)
