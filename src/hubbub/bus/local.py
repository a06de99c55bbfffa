"""The broker in this process."""

from __future__ import annotations

from contextlib import suppress
from threading import RLock
from time import time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub.broker.names import is_reserved
from hubbub.broker.router import MAX_CACHED_ROUTES, Router
from hubbub.bus.errors import ClosedError
from hubbub.bus.message import to_wire
from hubbub.bus.pending import Pending, resolved
from hubbub.bus.published import Published
from hubbub.model.address import parse_address
from hubbub.model.errors import DeniedError
from hubbub.model.pattern import parse_pattern
from hubbub.protocols.bus import codec, mapping

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from hubbub.broker.observer import Observer, Subscriber
    from hubbub.broker.publication import Publication
    from hubbub.bus.engine import Engine
    from hubbub.bus.message import Message
    from hubbub.bus.subscription import Subscription
    from hubbub.log.seam import Log
    from hubbub.model.address import Address
    from hubbub.model.message import Message as CoreMessage
    from hubbub.model.pattern import Exact, Wildcard


class _Route(NamedTuple):
    """Who gets what is published to one address, in the order in which they subscribed."""

    subscriptions: tuple[Subscription, ...]
    concerns_core: bool  # a topic captures it, or a replay waits for it
    published: Published


class _LiveObserver:
    """A subscription as the core sees it.

    What a program publishes is handed over in its own thread, outside the lock; ``observe`` is for
    what the core publishes by itself, dead letters for example.
    """

    def __init__(self, backend: LocalBackend, subscription: Subscription) -> None:
        self.subscription = subscription
        self.pattern: Exact | Wildcard = parse_pattern(subscription.pattern)
        self._backend = backend

    @property
    def subscriber(self) -> Subscriber:
        from hubbub.bus.engine import SUBSCRIBER

        return SUBSCRIBER

    def observe(self, message: CoreMessage) -> None:
        if not self._backend.hands_over(message):
            self.subscription.receive(message)


class LocalBackend:
    """Live messages go from publisher to handlers in one thread, without the core's help.

    The core is opened with the first topic or stored subscription. One lock guards what is here and
    the core; it is never held while a handler runs.
    """

    def __init__(self, open_log: Callable[[], Log]) -> None:
        self._open_log = open_log
        self._lock = RLock()
        self._engine: Engine | None = None
        self._observers: Router[Observer] = Router()
        self._live: dict[Subscription, _LiveObserver] = {}
        self._stored: dict[int, Subscription] = {}
        self._routes: dict[str, _Route] = {}
        self._closed = False

    def publish(self, message: Message) -> Published:
        """As ``Backend.publish``."""
        route = self._routes.get(message.address) or self._find_route(message.address)
        if route.concerns_core:
            return _published(self.open().wait(self._store(route, message, syncs=True)))
        message.timestamp_ms = time_ns() // 1_000_000
        for subscription in route.subscriptions:
            subscription.take(message)
        return route.published

    def publish_soon(self, message: Message) -> Pending[Published]:
        """As ``Backend.publish_soon``."""
        route = self._routes.get(message.address) or self._find_route(message.address)
        if not route.concerns_core:
            return resolved(self.publish(message))
        pending = self._store(route, message, syncs=False)
        soon: Pending[Published] = Pending()

        def durable(stored: Future[Publication]) -> None:
            failure = stored.exception()
            if failure is None:
                soon.set_result(_published(stored.result()))
            else:
                soon.set_exception(failure)

        pending.add_done_callback(durable)
        return soon

    def subscribe(self, subscription: Subscription) -> None:
        """As ``Backend.subscribe``."""
        if subscription.source is None:
            self._subscribe_live(subscription)
            return
        engine = self.open()
        with self._lock:
            self._stored[subscription.number] = subscription
        engine.start()
        try:
            self.call(
                codec.Subscribe,
                subscription.number,
                subscription.pattern,
                subscription.source,
                subscription.window,
            )
        except BaseException:
            self._stored.pop(subscription.number, None)
            raise

    def unsubscribe(self, subscription: Subscription) -> None:
        """As ``Backend.unsubscribe``."""
        with self._lock:
            observer = self._live.pop(subscription, None)
            if observer is not None:
                self._observers.remove(observer.pattern, observer)
                self._routes.clear()
            stored = self._stored.pop(subscription.number, None)
        if stored is not None:
            with suppress(ClosedError):
                self.call(codec.Unsubscribe, subscription.number)

    def subscriptions(self) -> list[Subscription]:
        """As ``Backend.subscriptions``."""
        with self._lock:
            return [*self._live, *self._stored.values()]

    def call(self, make: Callable[..., codec.Call], *fields: Any) -> Any:
        """As ``Backend.call``."""
        answer = self.open().call(make, *fields)
        with self._lock:
            self._routes.clear()  # a topic may have gone, or a replay come
        return answer

    def tell(self, notice: codec.Notice) -> None:
        """As ``Backend.tell``."""
        if self._engine is not None:
            with suppress(ClosedError):
                self._engine.tell(notice)

    def close(self) -> None:
        """As ``Backend.close``."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._routes.clear()
        if self._engine is not None:
            self._engine.close()

    def open(self) -> Engine:
        """The core, opened if need be. Raises StorageError, DataDirectoryLockedError."""
        with self._lock:
            self._check_open()
            if self._engine is None:
                from hubbub.bus.engine import Engine

                engine = Engine(self._open_log(), self._lock, self._deliver)
                for observer in self._live.values():
                    engine.broker.subscribe(observer.pattern, observer)
                engine.broker.topics.capturing.watch(lambda _: self._routes.clear())
                self._observers = engine.broker.observers
                self._routes.clear()
                self._engine = engine
            return self._engine

    def hands_over(self, message: CoreMessage) -> bool:
        """Whether the publisher's own thread hands the message to its handlers."""
        return self._engine is not None and message is self._engine.publishing

    def _subscribe_live(self, subscription: Subscription) -> None:
        observer = _LiveObserver(self, subscription)
        with self._lock:
            self._check_open()
            self._live[subscription] = observer
            self._observers.add(observer.pattern, observer)
            self._routes.clear()

    def _find_route(self, text: str) -> _Route:
        address = parse_address(text)
        if is_reserved(address):
            raise DeniedError(f"{address} is a reserved name")
        with self._lock:
            self._check_open()
            observers = self._observers.route(address)
            live = [found.subscription for found in observers if isinstance(found, _LiveObserver)]
            # The router puts exact patterns first; a program expects the order that it made.
            live.sort(key=_number)
            concerns_core = len(live) < len(observers) or self._is_captured(address)
            if len(self._routes) >= MAX_CACHED_ROUTES:
                self._routes.clear()
            route = _Route(tuple(live), concerns_core, Published(len(live)))
            self._routes[text] = route
            return route

    def _is_captured(self, address: Address) -> bool:
        engine = self._engine
        return engine is not None and bool(engine.broker.topics.capturing.route(address))

    def _store(self, route: _Route, message: Message, *, syncs: bool) -> Pending[Publication]:
        message.timestamp_ms = time_ns() // 1_000_000
        core_message = mapping.from_wire(to_wire(message))
        engine = self.open()
        pending = engine.publish(core_message, syncs=syncs)
        for subscription in route.subscriptions:
            subscription.take(message)
        return pending

    def _deliver(
        self,
        number: int,
        message: CoreMessage,
        place: codec.Place | None,
        lease: codec.Lease | None,
    ) -> None:
        subscription = self._stored.get(number)
        if subscription is not None:
            subscription.receive(message, place, lease)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the broker is closed")


def _number(subscription: Subscription) -> int:
    return subscription.number


def _published(publication: Publication) -> Published:
    return Published(publication.observers, mapping.places_of(publication))
