from typing import Any

from hubbub.broker.observer import Subscriber
from hubbub.broker.outbox import Outbox
from hubbub.broker.routes import Route
from hubbub.model.message import Message

MAX_RENDERED_BYTES: int

class Origin:
    """How the protocol that published a view wrote what is more than address, key, value and time.

    Native subclasses turn a view into a ``Message``; this one is of protocols that have no more.
    """

class Burst:
    """Consecutive publishes of one session, borrowed from one chunk; used again for the next.

    Native code fills it and hands it to ``hubbub.broker.dispatch.Dispatcher``.
    """

    def __init__(self, origin: Origin) -> None: ...
    def __len__(self) -> int: ...
    def put(self, route: Route, value: bytes) -> None:
        """Add a message that has nothing but a value; the caller keeps ``value`` alive."""

class Run:
    """Consecutive messages that go to the same observers.

    A run is rendered once in each ``Style``, and all who want that style share the bytes.
    """

    @property
    def count(self) -> int: ...
    @property
    def source(self) -> Any:
        """The session that publishes, None where it is no session."""
    def messages(self) -> list[Message]:
        """The messages as objects, for observers that are not native."""

class Style:
    """What a run looks like to some observers, as bytes. Compared by identity."""

class RunObserver:
    """An observer that takes whole runs; the base of native ones.

    ``outbox`` is where what it takes ends up, None where that is not one connection; ``keeps`` says
    whether it may store that, and tells the run in what. Subclasses have a ``subscriber`` as ``hubbub.broker.observer.Observer`` has.
    """

    @property
    def outbox(self) -> Outbox | None: ...
    @property
    def keeps(self) -> bool: ...
    @property
    def subscriber(self) -> Subscriber: ...
    def observe(self, message: Message) -> None:
        """Take one message, from whoever has it as an object."""
