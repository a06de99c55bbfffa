"""Addresses to listen on: how they are written, checked and taken."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import TYPE_CHECKING, NamedTuple

from hubbub.model.errors import HubbubError
from hubbub.server.listeners import LISTENERS
from hubbub.server.port_owner import port_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Connections that wait for the loop to accept them; what the kernel allows without tuning.
_BACKLOG = 4096
# How far beyond the usual port `up` looks for a free one: 6379, 16379, 26379, ...
_SHIFT = 10_000


class BindingError(HubbubError):
    """An address that cannot be listened on."""


class Endpoint(NamedTuple):
    """A listener and where it is to bind; port 0 takes a free one."""

    listener: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_endpoint(listener: str, text: str) -> Endpoint:
    """The endpoint that ``host:port``, ``:port`` or nothing at all spells for the listener."""
    if listener not in LISTENERS:
        raise BindingError(f"there is no listener {listener!r}: {', '.join(LISTENERS)}")
    if not text:
        return Endpoint(listener, "127.0.0.1", LISTENERS[listener].default_port)
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        raise BindingError(f"{listener}={text}: an address is host:port or :port")
    return Endpoint(listener, host.strip("[]") or "127.0.0.1", int(port))


def parse_endpoints(text: str) -> list[Endpoint]:
    """The endpoints of ``--listen``: ``kafka=127.0.0.1:19092,redis=:0``. Raises BindingError."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    found = [parse_endpoint(name.strip(), where.strip()) for name, _, where in pairs]
    names = [endpoint.listener for endpoint in found]
    if len(set(names)) < len(names):
        raise BindingError(f"{text}: a listener has one address")
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_exposure(endpoints: Iterable[Endpoint]) -> None:
    """Without users everyone who reaches a port owns the broker: loopback only.

    Raises:
        BindingError: an endpoint is reachable from elsewhere.
    """
    exposed = [endpoint for endpoint in endpoints if not is_loopback(endpoint.host)]
    if exposed:
        where = ", ".join(f"{endpoint.listener}={endpoint}" for endpoint in exposed)
        raise BindingError(
            f"{where}: refusing to listen beyond loopback without authentication "
            "(--insecure if the network is yours alone)"
        )


def bind_all(endpoints: list[Endpoint]) -> list[socket.socket]:
    """A listening socket each, or none at all and an error that names every taken port."""
    return _bind_each(endpoints, bind)


def bind_shifting(endpoints: list[Endpoint]) -> list[socket.socket]:
    """As ``bind_all``, but a taken port gives way to the next free one 10,000 further on."""
    return _bind_each(endpoints, _bind_near)


def bind(endpoint: Endpoint) -> socket.socket:
    """A listening socket. Raises OSError."""
    family, kind, protocol, _, where = socket.getaddrinfo(
        endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        # A restart must not wait for the last connections' TIME_WAIT to pass.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound


def bound_address(bound: socket.socket) -> str:
    """``host:port`` of a listening socket."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_each(
    endpoints: list[Endpoint], bind_one: Callable[[Endpoint], socket.socket]
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    problems: list[str] = []
    for endpoint in endpoints:
        try:
            sockets.append(bind_one(endpoint))
        except OSError as error:
            problems.append(_explain(endpoint, error))
    if problems:
        for bound in sockets:
            bound.close()
        raise BindingError("\n".join(problems))
    return sockets


def _bind_near(endpoint: Endpoint) -> socket.socket:
    for port in range(endpoint.port, 0x10000, _SHIFT):
        try:
            return bind(endpoint._replace(port=port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return bind(endpoint._replace(port=0))


def _explain(endpoint: Endpoint, error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        owner = port_owner(endpoint.port)
        reason = f"the port is taken by {owner}" if owner else "the port is taken"
    name = endpoint.listener
    return f"{name}: {endpoint}: {reason} (choose another: --listen {name}=127.0.0.1:0)"
