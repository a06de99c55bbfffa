"""What can go wrong on the way to a broker."""

from __future__ import annotations

from hubbub.model.errors import HubbubError


class ConnectionLostError(HubbubError, ConnectionError):
    """The server is gone, or went before it answered: the call may or may not have been carried out."""


class NoRespondersError(HubbubError):
    """Nobody listens where the request went, so there will be no answer."""


class ClosedError(HubbubError):
    """The broker object or the subscription was closed."""
