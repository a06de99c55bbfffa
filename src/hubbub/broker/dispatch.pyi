from typing import Any

from hubbub.broker.access import Access
from hubbub.broker.broker import Broker
from hubbub.broker.publication import Durable, Publication
from hubbub.broker.routes import Route, Routes
from hubbub.broker.run import Burst, Origin
from hubbub.broker.timers import Timers
from hubbub.broker.topics import Topic
from hubbub.model.message import Message

class Outcome:
    """What became of a run.

    ``stored`` are the appends made and what observers keep it in, ``refused`` says of a message's place
    in the run why nobody got it, ``failed`` which a further topic's disk did not take.
    """

    @property
    def stored(self) -> list[Durable]: ...
    @property
    def refused(self) -> dict[int, Exception]: ...
    @property
    def failed(self) -> dict[int, Exception]: ...
    def publication(self, observers: int = 0, failure: Exception | None = None) -> Publication:
        """For whoever waits until all of it is durable."""

class Dispatcher:
    """Publishes: may it, store it, and then hand it to everyone who wants it now."""

    def __init__(self, routes: Routes, access: Access, timers: Timers) -> None: ...
    @property
    def routes(self) -> Routes: ...
    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything, so that nobody need be asked."""
    def publish(self, route: Route, message: Message, principal: str) -> Publication:
        """Publish one message. Raises as ``Broker.publish``."""
    def publish_burst(self, burst: Burst, principal: str) -> Outcome:
        """Publish a burst; nothing of it is looked at after returning."""
    def deliver(self, observers: tuple[Any, ...], message: Message) -> None:
        """Hand a message to these observers, whose right to it the caller has seen to."""
    def pass_on(self, route: Route, batch: bytes) -> tuple[list[Durable], Exception | None]:
        """Publish to everyone else the records of a batch that a topic has just stored.

        For topics that capture nothing but their own name, which is the address of each record.
        Returned are what else holds them now, and the failure of a disk there.
        """
    def pass_on_message(
        self, route: Route, message: Message, holder: Topic
    ) -> tuple[list[Durable], Exception | None]:
        """The same for one message that the topic ``holder`` has stored."""

class Publisher:
    """What the sessions of a listener publish with, one after the other.

    ``mapping`` has ``address_of(name: bytes) -> Address``; ``origin`` makes objects of its views.
    """

    def __init__(self, broker: Broker, mapping: Any, origin: Origin) -> None: ...
