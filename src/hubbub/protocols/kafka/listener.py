"""The Kafka listener: what the server needs to know to serve the protocol on a port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.model.errors import InvalidSettingsError
from hubbub.protocols.kafka import (
    api_versions,
    cluster,
    configs,
    fetch,
    groups,
    leader_epochs,
    list_offsets,
    metadata,
    offsets,
    produce,
    producer_ids,
    topic_partitions,
    topics,
)
from hubbub.protocols.kafka.codec import FrameBudget, FrameBuffer
from hubbub.protocols.kafka.context import Node
from hubbub.protocols.kafka.session import KafkaSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.session import Peer
    from hubbub.protocols.kafka.context import Handler

NODE_ID = 1  # as in the configuration that Kafka ships

_MODULES = (
    api_versions,
    cluster,
    configs,
    fetch,
    groups,
    leader_epochs,
    list_offsets,
    metadata,
    offsets,
    produce,
    producer_ids,
    topic_partitions,
    topics,
)
HANDLERS: dict[int, Handler] = {
    key: handler for module in _MODULES for key, handler in module.HANDLERS.items()
}


class KafkaListener:
    """Opens a session for each connection.

    Settings: ``advertised`` is the ``host:port`` that clients are told to come back to; without it,
    the address that each of them has connected to. ``node_id`` is the broker's number. Raises
    InvalidSettingsError.
    """

    name = "kafka"
    default_port = 9092

    def __init__(self, broker: Broker, settings: Mapping[str, Any] | None = None) -> None:
        self._broker = broker
        self._settings: Mapping[str, Any] = settings or {}
        unknown = self._settings.keys() - {"advertised", "node_id"}
        if unknown:
            raise InvalidSettingsError(f"kafka has no setting {', '.join(sorted(unknown))}")
        advertised = self._settings.get("advertised")
        self._advertised = _parse_address(advertised) if advertised else None
        self._unfinished = FrameBudget()
        self._node_id = _parse_node_id(self._settings.get("node_id", NODE_ID))

    def session(self, peer: Peer, outbox: Outbox) -> KafkaSession:
        """The state machine of a new connection."""
        node = Node(self._node_id, *(self._advertised or peer.local))
        frames = FrameBuffer(self._unfinished)
        return KafkaSession(self._broker, HANDLERS, self._settings, node, peer, outbox, frames)


def _parse_node_id(value: Any) -> int:
    try:
        node_id = int(value)
    except ValueError:
        node_id = -1
    if not 0 <= node_id < 2**31:  # Kafka's node.id
        raise InvalidSettingsError(f"node_id={value}: a node id is a number from 0")
    return node_id


def _parse_address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit()):
        raise InvalidSettingsError(f"advertised: {text!r} is not host:port")
    return host.strip("[]"), int(port)
