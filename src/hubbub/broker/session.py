"""What the server floor and a protocol's session owe each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from hubbub.broker.outbox import Outbox


class Peer(NamedTuple):
    """Both ends of an accepted connection, as (host, port)."""

    remote: tuple[str, int]
    local: tuple[str, int]


class Session(Protocol):
    """One connection's state machine. It opens no socket and reads no clock.

    The server calls ``receive`` with what arrived and ``disconnected`` once, at the end; it writes
    what is in ``outbox`` at the end of each loop turn and reads nothing while ``paused``.
    """

    outbox: Outbox

    @property
    def paused(self) -> bool:
        """Whether the session has as much in hand as it will take."""

    def receive(self, data: bytes) -> None:
        """Take in bytes, cut anywhere; never raises for what a client may send."""

    def resume(self) -> None:
        """There is room again: go on with what was received while ``paused``."""

    def disconnected(self) -> None:
        """Let go of everything held for the connection."""
