"""The bus listener: what its sessions share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.model.errors import InvalidSettingsError
from hubbub.protocols.bus.mapping import MessageRenderer
from hubbub.protocols.bus.session import PROTOCOL, BusSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.session import Peer


class BusListener:
    """One port for the Python API and the command line. It has no settings of its own.

    Raises:
        InvalidSettingsError: any setting.
    """

    name = PROTOCOL
    default_port = 8221

    def __init__(self, broker: Broker, settings: Mapping[str, Any] | None = None) -> None:
        for name in settings or ():
            raise InvalidSettingsError(f"the bus listener has no setting {name}")
        self._broker = broker
        self._renderer = MessageRenderer()

    def session(self, peer: Peer, outbox: Outbox) -> BusSession:
        """The session of a connection just accepted."""
        return BusSession(self._broker, self._renderer, peer, outbox)
