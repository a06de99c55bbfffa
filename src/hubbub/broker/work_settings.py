"""How a work queue treats its messages."""

from __future__ import annotations

from typing import Literal

import msgspec

from hubbub.model.errors import InvalidSettingsError

# Each priority is a line of its own, which the queue has from the beginning.
MAX_PRIORITY = 255

Overflow = Literal["drop-head", "reject"]


class WorkQueueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """None lifts a limit. Raises InvalidSettingsError for what means nothing.

    ``durable``: it is there again after a restart, with its persistent messages. ``message_ttl_ms``:
    how long a message may wait. ``max_length`` and ``max_bytes`` (of values) limit what waits; what is
    too much is dropped from the head or not taken, as ``overflow`` says. ``priorities``: the highest
    one. ``delivery_limit``: how often a message may be given back. ``single_active``: only the taker
    who came first gets something, until it leaves.
    """

    durable: bool = False
    message_ttl_ms: int | None = None
    max_length: int | None = None
    max_bytes: int | None = None
    overflow: Overflow = "drop-head"
    priorities: int = 0
    delivery_limit: int | None = None
    single_active: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.priorities <= MAX_PRIORITY:
            raise InvalidSettingsError(f"priorities are from 0 to {MAX_PRIORITY}")
        for name in ("message_ttl_ms", "max_length", "max_bytes", "delivery_limit"):
            limit = getattr(self, name)
            if limit is not None and limit < 0:
                raise InvalidSettingsError(f"{name} is not negative")
