"""INFO: the report that clients check before they start and exporters read all day."""

from __future__ import annotations

import os
import struct
import sys
from typing import TYPE_CHECKING, TypeAlias

from hubbub.protocols.redis.codec import Verbatim
from hubbub.protocols.redis.connection import REDIS_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.protocols.redis.session import RedisSession

    Section: TypeAlias = dict[str, object]

_EVERYTHING = frozenset({b"all", b"default", b"everything"})
_SECONDS_A_DAY = 86_400


def info(session: RedisSession, request: list[bytes]) -> Verbatim:
    """INFO [section ...]."""
    wanted = {word.lower() for word in request[1:]}
    everything = not wanted or wanted & _EVERYTHING
    sections = [
        _section(name, report(session))
        for name, report in _SECTIONS.items()
        if everything or name.lower().encode() in wanted
    ]
    return Verbatim("\r\n".join(sections))


def _section(name: str, values: Section) -> str:
    lines = "".join(f"{key}:{value}\r\n" for key, value in values.items())
    return f"# {name}\r\n{lines}"


def _server(session: RedisSession) -> Section:
    timers, listener = session.broker.timers, session.listener
    uptime = int(timers.now - listener.started_at)
    return {
        "redis_version": REDIS_VERSION,
        "redis_mode": "standalone",
        "os": sys.platform,
        "arch_bits": struct.calcsize("P") * 8,
        "process_id": os.getpid(),
        "run_id": listener.run_id,
        "tcp_port": session.client.peer.local[1],
        "server_time_usec": timers.wall_ms * 1000,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime // _SECONDS_A_DAY,
    }


def _clients(session: RedisSession) -> Section:
    clients = session.listener.clients
    return {
        "connected_clients": len(clients),
        "cluster_connections": 0,
        "maxclients": session.listener.parameters.max_clients,
        "blocked_clients": 0,
        "tracking_clients": 0,
        "pubsub_clients": sum(1 for each in clients if each.subscriptions),
    }


def _memory(_session: RedisSession) -> Section:
    return {"maxmemory": 0, "maxmemory_human": "0B", "maxmemory_policy": "noeviction"}


def _persistence(_session: RedisSession) -> Section:
    # A listener opens when everything is recovered, so nobody ever sees it loading.
    return {"loading": 0, "async_loading": 0, "aof_enabled": 0}


def _stats(session: RedisSession) -> Section:
    listener = session.listener
    stats = listener.stats
    return {
        "total_connections_received": stats.connections,
        "total_commands_processed": stats.commands,
        "total_net_input_bytes": stats.input_bytes,
        "rejected_connections": stats.rejected_connections,
        "pubsub_channels": len(listener.channels),
        "pubsub_patterns": len(listener.patterns),
        "pubsubshard_channels": len(listener.shards),
        "total_error_replies": stats.errors.total(),
        "client_output_buffer_limit_disconnections": stats.slow_consumers,
    }


def _replication(session: RedisSession) -> Section:
    return {
        "role": "master",
        "connected_slaves": 0,
        "master_replid": session.listener.run_id,
        "master_repl_offset": 0,
    }


def _errorstats(session: RedisSession) -> Section:
    errors = session.listener.stats.errors
    return {f"errorstat_{code}": f"count={count}" for code, count in sorted(errors.items())}


def _cluster(_session: RedisSession) -> Section:
    return {"cluster_enabled": 0}


def _keyspace(_session: RedisSession) -> Section:
    return {}


_SECTIONS: dict[str, Callable[[RedisSession], Section]] = {
    "Server": _server,
    "Clients": _clients,
    "Memory": _memory,
    "Persistence": _persistence,
    "Stats": _stats,
    "Replication": _replication,
    "Errorstats": _errorstats,
    "Cluster": _cluster,
    "Keyspace": _keyspace,
}
