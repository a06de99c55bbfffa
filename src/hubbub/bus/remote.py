"""The broker in another process."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from contextlib import suppress
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from hubbub.bus.connection import Connection
from hubbub.bus.errors import ClosedError, ConnectionLostError
from hubbub.bus.loop_thread import LoopThread
from hubbub.bus.message import to_wire
from hubbub.bus.outgoing import NOTICE, Outgoing
from hubbub.bus.pending import Pending
from hubbub.bus.published import Published
from hubbub.model.address import parse_address
from hubbub.model.errors import HubbubError, InvalidSettingsError, MessageTooLargeError
from hubbub.protocols.bus import codec, mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from hubbub.bus.message import Message
    from hubbub.bus.subscription import Subscription

T = TypeVar("T")

logger = logging.getLogger("hubbub")

URL_VARIABLE = "HUBBUB_URL"
_SCHEME = "hubbub"
_DEFAULT_HOST = "127.0.0.1"
_DEFAULT_PORT = 8221

# A lost connection is tried again at once, then ever more rarely, at moments that differ from those
# of the other clients that lost theirs.
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 2.0


class _Feed:
    """A subscription, and how far its messages have come: what another connection goes on from."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.established = False
        self.positions: dict[tuple[str, int], int] = {}

    def request(self, number: int) -> codec.Subscribe:
        """The call that makes the subscription anew."""
        subscription = self.subscription
        source = subscription.source
        if isinstance(source, codec.Replayed):
            source = codec.Replayed(source.start, mapping.places(self.positions))
        room = subscription.room()
        return codec.Subscribe(number, subscription.number, subscription.pattern, source, room)

    def begin(self, subscribed: codec.Subscribed) -> None:
        """The server has it."""
        if not self.established:
            self.established = True
            self.positions = mapping.positions(subscribed.positions)

    def deliver(self, delivered: codec.Delivered) -> None:
        """Pass a message on. Raises FrameError."""
        place, message = delivered.place, codec.decode_message(delivered.message)
        if place is not None and delivered.lease is None:
            self.positions[place.topic, place.partition] = place.offset + 1
        self.subscription.receive(message, place, delivered.lease)


class RemoteBackend:
    """Calls go out in the order in which they are made, from any thread; one thread does the I/O.

    Calls made while there is no connection wait for one. Those that were sent when it broke fail,
    for nobody knows whether they were carried out. Subscriptions are made again: replays go on where
    they were, groups get again what they have not settled, live ones miss what was published.

    Raises:
        ConnectionLostError: there is no server at ``url``.
        InvalidSettingsError: the url is none.
    """

    def __init__(self, url: str | None, name: str, timeout: float) -> None:
        self._host, self._port = _parse(url or os.environ.get(URL_VARIABLE) or "")
        self._name = name
        self._timeout = timeout
        self._numbers = count(1)
        self._lock = Lock()
        self._calls: dict[int, Pending[Any]] = {}
        self._opening: dict[int, _Feed] = {}  # by the number of the call
        self._feeds: dict[int, _Feed] = {}  # by the number of the subscription
        self._connection: Connection | None = None
        self._closed = False
        self._outgoing = Outgoing(self._wake)
        self._thread = LoopThread("hubbub-connection")
        first: Pending[None] = Pending()
        asyncio.run_coroutine_threadsafe(self._keep_connected(first), self._thread.loop)
        try:
            first.result()
        except BaseException:
            self._thread.close()
            raise

    def publish(self, message: Message) -> Published:
        """As ``Backend.publish``."""
        return self._wait(self.publish_soon(message))

    def publish_soon(self, message: Message) -> Pending[Published]:
        """As ``Backend.publish_soon``."""
        parse_address(message.address)
        return self._begin(codec.Publish, to_wire(message))

    def subscribe(self, subscription: Subscription) -> None:
        """As ``Backend.subscribe``."""
        feed = self._feeds[subscription.number] = _Feed(subscription)
        try:
            self._wait(self._begin(_subscribe, subscription, feed=feed))
        except BaseException:
            self._feeds.pop(subscription.number, None)
            raise

    def unsubscribe(self, subscription: Subscription) -> None:
        """As ``Backend.unsubscribe``."""
        with self._lock:
            feed = self._feeds.pop(subscription.number, None)
            connected = self._connection is not None and not self._closed
        if feed is not None and connected:
            # A server that goes before it answers has forgotten the subscription, too.
            with suppress(ConnectionLostError, ClosedError):
                self.call(codec.Unsubscribe, subscription.number)

    def subscriptions(self) -> list[Subscription]:
        """As ``Backend.subscriptions``."""
        with self._lock:
            return [feed.subscription for feed in self._feeds.values()]

    def call(self, make: Callable[..., codec.Call], *fields: Any) -> Any:
        """As ``Backend.call``."""
        return self._wait(self._begin(make, *fields))

    def tell(self, notice: codec.Notice) -> None:
        """As ``Backend.tell``."""
        if self._connection is not None:
            with suppress(ConnectionLostError, ClosedError):
                self._outgoing.add(NOTICE, codec.frame(notice), self._timeout)

    def close(self) -> None:
        """As ``Backend.close``."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._outgoing.close()
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._thread.loop).result()
        self._thread.close()
        self._fail(set(self._calls), ClosedError("the broker was closed"))

    # In the program's threads

    def _begin(
        self, make: Callable[..., codec.Call], *fields: Any, feed: _Feed | None = None
    ) -> Pending[Any]:
        number = next(self._numbers)
        frame = codec.frame(make(number, *fields))
        if len(frame) > codec.MAX_FRAME_BYTES:
            raise MessageTooLargeError(f"a server takes {codec.MAX_FRAME_BYTES} bytes at once")
        pending: Pending[Any] = Pending(self._timeout)
        with self._lock:
            self._calls[number] = pending
            if feed is not None:
                self._opening[number] = feed
        try:
            self._outgoing.add(number, frame, self._timeout)
        except BaseException:
            self._calls.pop(number, None)
            self._opening.pop(number, None)
            raise
        return pending

    def _wait(self, pending: Pending[T]) -> T:
        try:
            return pending.result()
        except TimeoutError:
            where = f"{self._host}:{self._port}"
            if self._connection is None:
                raise ConnectionLostError(f"no connection to {where}") from None
            raise TimeoutError(f"no answer from {where} within {self._timeout:g} s") from None

    def _wake(self) -> None:
        self._thread.loop.call_soon_threadsafe(self._flush)

    # In the connection's thread

    async def _keep_connected(self, first: Pending[None]) -> None:
        delay = _FIRST_RETRY_SECONDS
        while not self._closed:
            try:
                connection = await asyncio.wait_for(self._connect(), self._timeout)
            except OSError as error:  # TimeoutError and ConnectionLostError are, too
                if not first.done():
                    where = f"{self._host}:{self._port}"
                    reason = f"no hubbub server at {where}: {str(error) or 'no answer'}"
                    first.set_exception(ConnectionLostError(reason))
                    return
                await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 - no secret
                delay = min(2 * delay, _LAST_RETRY_SECONDS)
                continue
            delay = _FIRST_RETRY_SECONDS
            self._connected(connection)
            if not first.done():
                first.set_result(None)
            self._disconnected(await connection.lost)

    async def _connect(self) -> Connection:
        """A connection on which Hello was said and answered. Raises OSError."""
        connection = Connection(self._received, self._flush)
        welcome: Pending[codec.Welcome] = Pending()
        number = next(self._numbers)
        self._calls[number] = welcome
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection, self._host, self._port
            )
            connection.send([codec.frame(codec.Hello(number, codec.VERSION, self._name))])
            await connection.until(asyncio.wrap_future(welcome))
        except BaseException:
            connection.close()
            raise
        finally:
            self._calls.pop(number, None)
        return connection

    def _connected(self, connection: Connection) -> None:
        with self._lock:
            self._connection = connection
            again = [feed for feed in self._feeds.values() if feed.established]
            requests = [feed.request(next(self._numbers)) for feed in again]
            for feed, request in zip(again, requests, strict=True):
                self._opening[request.id] = feed
        connection.send([codec.frame(request) for request in requests])
        self._flush()

    def _disconnected(self, reason: ConnectionLostError) -> None:
        with self._lock:
            self._connection = None
            for feed in self._feeds.values():
                feed.subscription.disconnected()
        self._outgoing.drop_notices()
        unsent = self._outgoing.calls()
        self._fail(set(self._calls) - unsent, reason)
        for number in set(self._opening) - unsent:
            self._opening.pop(number, None)

    def _received(self, response: codec.Reply | codec.Delivered) -> None:
        if isinstance(response, codec.Delivered):
            feed = self._feeds.get(response.subscription)
            if feed is not None:
                feed.deliver(response)
            return
        pending = self._calls.pop(response.id, None)
        feed = self._opening.pop(response.id, None)
        if isinstance(response, codec.Failed):
            self._refused(mapping.error_of(response), pending, feed)
            return
        if feed is not None and isinstance(response, codec.Subscribed):
            feed.begin(response)
        if pending is not None:
            pending.set_result(_result(response))

    def _refused(
        self, error: HubbubError, pending: Pending[Any] | None, feed: _Feed | None
    ) -> None:
        if pending is not None:
            pending.set_exception(error)
        elif feed is not None:
            logger.error("%r could not be made again: %s", feed.subscription, error)
            self._feeds.pop(feed.subscription.number, None)
            feed.subscription.mailbox.close()

    def _flush(self) -> None:
        connection = self._connection
        if connection is not None and not connection.paused:
            connection.send(self._outgoing.take())

    async def _hang_up(self) -> None:
        """Let what is under way be answered, then end: the server hears all before the end."""
        self._flush()
        connection = self._connection
        if connection is None:
            return
        under_way = map(asyncio.wrap_future, tuple(self._calls.values()))
        answers = asyncio.gather(*under_way, return_exceptions=True)
        first: set[asyncio.Future[Any]] = {answers, connection.lost}
        await asyncio.wait(first, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        answers.cancel()  # of those that nobody will give, this loop is to hear nothing later
        connection.send(self._outgoing.take())
        connection.finish()
        await asyncio.wait([connection.lost], timeout=self._timeout)
        connection.close()

    def _fail(self, numbers: set[int], reason: HubbubError) -> None:
        for number in numbers:
            pending = self._calls.pop(number, None)
            if pending is not None:
                pending.set_exception(type(reason)(str(reason)))


def _subscribe(number: int, subscription: Subscription) -> codec.Subscribe:
    return codec.Subscribe(
        number,
        subscription.number,
        subscription.pattern,
        subscription.source,
        subscription.window,
    )


def _result(response: codec.Reply) -> Any:
    if isinstance(response, codec.Published):
        return Published(response.observers, response.stored)
    return response


def _parse(url: str) -> tuple[str, int]:
    if not url:
        return _DEFAULT_HOST, _DEFAULT_PORT
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as error:
        raise InvalidSettingsError(f"{url}: {error}") from error
    if parts.scheme != _SCHEME or parts.username or parts.path.strip("/"):
        raise InvalidSettingsError(f"{url!r} is not hubbub://host:port")
    return parts.hostname or _DEFAULT_HOST, _DEFAULT_PORT if port is None else port
