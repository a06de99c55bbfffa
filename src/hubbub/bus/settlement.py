"""Settling what a group was given: done, not done, or still at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.model.errors import InvalidSettingsError
from hubbub.protocols.bus.codec import MAX_WAIT_SECONDS, Ack, Extend, Nack

if TYPE_CHECKING:
    from hubbub.bus.subscription import Subscription
    from hubbub.protocols.bus.codec import Lease


class Settlement:
    """One lease, to be settled once; what comes after that is ignored.

    A lease is worth nothing on another connection than the one it came by: the group gives the
    message to somebody again, and a late word about it must not settle what is not meant.
    """

    __slots__ = ("_connection", "_lease", "_subscription", "settled")

    def __init__(self, subscription: Subscription, lease: Lease) -> None:
        self._subscription = subscription
        self._connection = subscription.connection
        self._lease = lease
        self.settled = False

    @property
    def attempt(self) -> int:
        """Which delivery this is, from 1."""
        return self._lease.attempt

    def ack(self) -> None:
        """Done with it."""
        if self._settle():
            lease, number = self._lease, self._subscription.number
            self._subscription.tell(Ack(number, lease.source, lease.lease))

    def nack(self, delay: float | None) -> None:
        """Not done with it. Raises InvalidSettingsError."""
        _check(delay)
        if self._settle():
            lease, number = self._lease, self._subscription.number
            self._subscription.tell(Nack(number, lease.source, lease.lease, delay))

    def extend(self, seconds: float) -> None:
        """Still at work. Raises InvalidSettingsError."""
        _check(seconds)
        if self._is_open:
            lease, number = self._lease, self._subscription.number
            self._subscription.tell(Extend(number, lease.source, lease.lease, seconds))

    @property
    def _is_open(self) -> bool:
        return not self.settled and self._connection == self._subscription.connection

    def _settle(self) -> bool:
        is_open = self._is_open
        self.settled = True
        return is_open


def _check(seconds: float | None) -> None:
    if seconds is not None and not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise InvalidSettingsError(f"a wait is 0 to {MAX_WAIT_SECONDS:.0f} seconds")
