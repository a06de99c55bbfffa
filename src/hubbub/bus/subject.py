"""The Subject of the Observer pattern (Gamma, Helm, Johnson, Vlissides 1994), with a long reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubbub.bus.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeAlias, TypeVar

    from hubbub.bus.message import Message
    from hubbub.bus.published import Published
    from hubbub.bus.subscription import Subscription

    class Notified(Protocol):
        """The pattern's Observer."""

        def notify(self, event: Any, /) -> object:
            """Take note of the event."""

    Observer: TypeAlias = Notified | Callable[[Any], object]
    AnyObserver = TypeVar("AnyObserver", bound=Observer)

_ADDRESS = "subject"


class Subject:
    """Keeps its observers, and notifies each of them of every event, in the order they subscribed.

    ``Subject()`` is the pattern as the book has it: events are any objects, handed over in the thread
    that publishes. ``Subject(broker, "orders")`` notifies whoever subscribed to that address, in this
    process or another; ``broker`` may also be the URL of a server. The event must then be something
    that ``Broker.publish`` takes, and observers elsewhere get it decoded.

    An observer that raises does not keep the others from being notified; see ``Broker.on_error``.
    """

    def __init__(self, broker: Broker | str | None = None, address: str = _ADDRESS) -> None:
        self._broker = Broker.connect(broker) if isinstance(broker, str) else broker or Broker()
        self._address = address
        self._subscriptions: list[tuple[Observer, Subscription]] = []

    def subscribe(self, observer: AnyObserver) -> AnyObserver:
        """Notify ``observer`` from now on: its ``notify``, or itself if it is a function."""
        method = getattr(observer, "notify", None)
        call: Callable[[Any], object] = observer if method is None else method  # type: ignore[assignment]

        def notify(message: Message) -> None:
            call(message.payload)

        self._subscriptions.append((observer, self._broker.subscribe(self._address, notify)))
        return observer

    def unsubscribe(self, observer: Observer) -> None:
        """Notify it no more (once less, if it subscribed several times). Raises ValueError."""
        for entry in self._subscriptions:
            if entry[0] is observer or entry[0] == observer:
                self._subscriptions.remove(entry)
                entry[1].unsubscribe()
                return
        raise ValueError(f"{observer!r} is no observer of this subject")

    def publish(self, event: Any) -> Published:
        """Notify every observer of ``event``."""
        return self._broker.publish(self._address, event)

    notify = publish  # as the book calls it
