"""What became of a publish, as its publisher is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hubbub.protocols.bus.codec import Place


class Published(NamedTuple):
    """How many observers got the message at once, and where topics hold it for others."""

    observers: int
    stored: tuple[Place, ...] = ()
