"""The GoF Observer, as the router knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from hubbub.model.message import Message


class Subscriber(NamedTuple):
    """Who stands behind an observer, for listings and authorisation."""

    protocol: str  # the listener's name, or "python" in process
    client: str  # what the client calls itself, else where it connects from
    principal: str = ""  # who it authenticated as; empty until users are configured
    asks_later: bool = False  # it keeps messages for others, each of whom is asked at delivery


class Observer(Protocol):
    """Gets each message published to what it subscribed to, once, in publish order."""

    @property
    def subscriber(self) -> Subscriber:
        """Who gets the messages."""

    def observe(self, message: Message) -> None:
        """Take a message in; what goes wrong here is the observer's own affair, so never raises.

        What was published in the same moment may still come after it has unsubscribed.
        """
