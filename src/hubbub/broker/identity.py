"""Numbers and names that are given out once and never again, not even after a crash."""

from __future__ import annotations

import base64
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.broker.state import StateLog

_CLUSTER_ID = b"cluster-id"
_NEXT_PRODUCER_ID = b"next-producer-id"
# Producer ids come from blocks, so that a new producer costs no write of its own.
_BLOCK = 1000


class Identity:
    """Who this broker is, and the ids of the idempotent producers it has met."""

    def __init__(self, state: StateLog) -> None:
        self._state = state
        stored = state.load()
        self._next_block = int(stored.get(_NEXT_PRODUCER_ID, b"0"))
        self._unused = range(0)
        self.cluster_id = stored.get(_CLUSTER_ID, b"").decode() or self._new_cluster_id()

    def allocate_producer_id(self) -> int:
        """An id that no producer had before.

        It may be given away once it is durable (``when_durable``). Raises StorageError.
        """
        if not self._unused:
            after = self._next_block + _BLOCK
            self._state.put((_NEXT_PRODUCER_ID, b"%d" % after))
            self._unused = range(self._next_block, after)
            self._next_block = after
        allocated, self._unused = self._unused[0], self._unused[1:]
        return allocated

    def when_durable(self, done: Callable[[Exception | None], None]) -> None:
        """Call ``done`` once no crash can give the same ids again, or with the failure."""
        self._state.when_durable(done)

    def _new_cluster_id(self) -> str:
        # Kafka's form of a random cluster id: 16 bytes in URL-safe base64.
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=")
        self._state.put((_CLUSTER_ID, made))
        return made.decode()
