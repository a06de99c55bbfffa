"""Who may do what: the one question asked at every publish, subscribe and delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from hubbub.model.address import Address
    from hubbub.model.pattern import Pattern

Action = Literal["publish", "subscribe", "receive"]


class Access(Protocol):
    """Decides on concrete addresses at publish and delivery, on the pattern at subscribe."""

    def may(self, principal: str, action: Action, target: Address | Pattern) -> bool:
        """Whether ``principal`` may."""


class AllowAll:
    """No users are configured, so everyone who can connect may do everything."""

    def may(self, principal: str, action: Action, target: Address | Pattern) -> bool:  # noqa: ARG002 - the protocol's shape
        """Yes."""
        return True
