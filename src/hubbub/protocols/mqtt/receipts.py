"""Messages of QoS 2 that were taken, and are not known to be safe yet.

Who publishes one again, on the next connection or on this one, is told that it was taken only when it
is safe; and what is lost was not taken.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubbub.broker.publication import Publication
    from hubbub.protocols.mqtt.flow import Flow


class Receipts:
    """One session's; ``received`` are the Packet Identifiers that its client has not let go of."""

    __slots__ = ("_flow", "_pending", "_unsure", "received")

    def __init__(self, flow: Flow) -> None:
        self.received: set[int] = set()
        self._flow = flow
        self._pending: dict[int, Publication] = {}
        self._unsure: set[int] = set()

    def unsure(self, packet_id: int) -> None:
        """Nobody could say after a crash whether this one, which is published now, had been stored."""
        self._unsure.add(packet_id)

    def taken(self, packet_ids: Iterable[int], publication: Publication) -> None:
        """They are on their way to the disk."""
        self._pending.update(dict.fromkeys(packet_ids, publication))
        publication.when_durable(partial(self._settled, packet_ids, publication))

    def pending(self, packet_id: int) -> Publication | None:
        """What to wait for before this one may be called taken."""
        return self._pending.get(packet_id)

    def drop(self, packet_id: int) -> None:
        """It was not taken after all, or its client has let go of it."""
        self.received.discard(packet_id)
        self._unsure.discard(packet_id)
        self._flow.received_done(packet_id)

    def _settled(
        self, packet_ids: Iterable[int], publication: Publication, failure: Exception | None
    ) -> None:
        for packet_id in packet_ids:
            if self._pending.get(packet_id) is not publication:
                continue  # it stands for another message now
            del self._pending[packet_id]
            if failure is not None:
                self.drop(packet_id)
            elif packet_id in self._unsure:
                self._unsure.discard(packet_id)
                self._flow.received_surely(packet_id)
