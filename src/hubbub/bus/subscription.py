"""A subscription in the hand of a program: a handler, a decorator, or something to iterate over."""

from __future__ import annotations

import inspect
import logging
import weakref
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from hubbub.bus.errors import ClosedError
from hubbub.bus.handlers import is_coroutine_function
from hubbub.bus.mailbox import Mailbox
from hubbub.bus.message import from_wire
from hubbub.bus.settlement import Settlement
from hubbub.protocols.bus.codec import Credit, Grouped

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Iterator
    from types import TracebackType
    from typing import Self, TypeAlias

    from hubbub.bus.backend import Backend
    from hubbub.bus.broker import Broker
    from hubbub.bus.handlers import Handlers
    from hubbub.bus.message import Message
    from hubbub.model.message import Message as CoreMessage
    from hubbub.protocols.bus.codec import Lease, Notice, Place, Replayed, WireMessage

    Handler: TypeAlias = Callable[[Message], Any]
    OnError: TypeAlias = Callable[[BaseException, Message, "Subscription"], None]

H = TypeVar("H", bound="Handler")

logger = logging.getLogger("hubbub")

# A message that its handler failed on comes again after 0.1 s, then twice as long each time.
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 60.0


class Subscription:
    """Messages that match ``pattern``, from ``Broker.subscribe``.

    It is in effect when it is made. With a handler (given at once, or by using the subscription as a
    decorator) each message is handed to it; without one they wait until the subscription is iterated
    over, in a loop or an asynchronous one. ``dropped`` counts live ones that found no room to wait.
    """

    def __init__(
        self,
        broker: Broker,
        backend: Backend,
        handlers: Handlers,
        number: int,
        pattern: str,
        source: Replayed | Grouped | None,
        *,
        window: int = 0,
        limit: int | None = None,
        auto_ack: bool = True,
    ) -> None:
        self.number = number
        self.pattern = pattern
        self.source = source
        self.window = window  # stored messages that may be on their way at once
        self.connection = 0  # counts up with each connection that the messages come by
        self.mailbox = Mailbox()
        # For a live message in its publisher's thread; all others come by ``receive``.
        self.take: Callable[[Message], None] = self._queue
        self._put: Callable[[Message], None] = self._queue
        self._broker = broker
        self._backend = backend
        self._handlers = handlers
        self._handler: Handler | None = None
        self._lock = Lock()
        self._left = limit
        self._settles = auto_ack and isinstance(source, Grouped)
        self._used = 0  # of the window, and not given back yet
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def group(self) -> str | None:
        """The group that the messages are shared in, if any."""
        return self.source.name if isinstance(self.source, Grouped) else None

    @property
    def dropped(self) -> int:
        """Live messages that found no room to wait for a slow handler."""
        return self.mailbox.dropped

    @property
    def closed(self) -> bool:
        """Whether it was unsubscribed."""
        return self.mailbox.closed

    def unsubscribe(self) -> None:
        """Get nothing more. A group keeps its place, and what is not settled goes to the others."""
        self.mailbox.close()
        self._backend.unsubscribe(self)

    def __repr__(self) -> str:
        shared = f" group={self.group}" if self.group else ""
        return f"<Subscription {self.pattern}{shared}>"

    # With a handler

    def __call__(self, handler: H) -> H:
        """Hand every message to ``handler``; the decorated function stays as it is."""
        self.attach(handler)
        return handler

    def attach(self, handler: Handler, *, weak: bool = False) -> None:
        """Hand every message to ``handler``, which is forgotten with its last user if ``weak``.

        Raises:
            ValueError: there is a handler already.
        """
        if self._handler is not None:
            raise ValueError(f"{self!r} has a handler")
        self._handler = self._weakly(handler) if weak else handler
        if is_coroutine_function(handler):
            self._loop = self._handlers.loop()
            self.mailbox.when_ready(self._start_task)
            return
        if self.source is None:
            self.take = self.hand_over
        self.mailbox.when_ready(self._start_thread)

    def attach_inline(self, handler: Handler) -> None:
        """Call ``handler``, which never waits for anything, on whatever thread a message comes by."""
        self._handler = handler
        self.take = self._put = self.hand_over

    def _queue(self, message: Message) -> None:
        if not self.mailbox.put(message) and self.mailbox.dropped == 1:
            logger.warning("%r: too slow, messages are dropped (and counted)", self)

    def hand_over(self, message: Message) -> None:
        """Call the handler here and now. What it raises is reported, and stops nobody else.

        Raises:
            KeyboardInterrupt, SystemExit: meant for the program, whose thread this may be.
        """
        if self.mailbox.closed or (self._left is not None and not self._count_down()):
            return
        try:
            answer = self._handler(message)  # type: ignore[misc]  # set before anything leads here
        except BaseException as error:
            self._failed(message, error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        else:
            if answer is not None or self._settles:
                self._succeeded(message, answer)
        finally:
            if self._left == 0:
                self.unsubscribe()

    # Without one

    def get(self, timeout: float | None = None) -> Message:
        """The next message. What a group gets is settled by the caller, with ``ack`` or ``nack``.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
            ClosedError: the subscription is closed.
        """
        message = self.mailbox.get(timeout)
        if message is None:
            raise ClosedError(f"{self!r} is closed")
        self._give_credit()
        return message

    def __iter__(self) -> Iterator[Message]:
        """Each message, waited for. Coming back for the next one settles the last, for a group."""
        while (message := self.mailbox.get()) is not None:
            self._give_credit()
            if self._left is not None and not self._count_down():
                return
            yield message
            self._come_back(message)

    async def __aiter__(self) -> AsyncIterator[Message]:
        """As ``__iter__``, for ``async for``."""
        while (message := await self._next()) is not None:
            self._give_credit()
            if self._left is not None and not self._count_down():
                return
            yield message
            self._come_back(message)

    def _come_back(self, message: Message) -> None:
        """The loop has gone through its body with ``message``."""
        if self._settles:
            self._succeeded(message, None)
        if self._left == 0:
            self.unsubscribe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unsubscribe()

    # What the backend tells, and is told

    def receive(
        self,
        message: WireMessage | CoreMessage,
        place: Place | None = None,
        lease: Lease | None = None,
    ) -> None:
        """Take in a message from elsewhere than a handler's own thread."""
        settlement = None if lease is None else Settlement(self, lease)
        self._put(from_wire(message, self._broker, place, settlement))

    def tell(self, notice: Notice) -> None:
        """Pass on what a handler says of its message."""
        self._backend.tell(notice)

    def disconnected(self) -> None:
        """Messages come by another connection from now on."""
        self.connection += 1
        if isinstance(self.source, Grouped):
            self.mailbox.clear()  # their leases are gone, so they come again

    def room(self) -> int:
        """How many stored messages there is room for, with none on its way."""
        with self._lock:
            self._used = 0
            return max(0, self.window - len(self.mailbox))

    # In threads and on loops

    def _start_thread(self) -> None:
        self._handlers.submit(self._drain)

    def _drain(self) -> None:
        try:
            while (message := self.mailbox.take()) is not None:
                with suppress(SystemExit):  # it is reported, and only a thread of ours would end
                    self.hand_over(message)
                self._give_credit()
        finally:
            if not self.closed:
                self.mailbox.when_ready(self._start_thread)

    def _start_task(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._create_task)  # type: ignore[union-attr]
        except RuntimeError:
            logger.warning("%r: its event loop is closed", self)
            self.mailbox.close()

    def _create_task(self) -> None:
        self._task = self._loop.create_task(self._drain_in_loop())  # type: ignore[union-attr]

    async def _drain_in_loop(self) -> None:
        try:
            while (message := self.mailbox.take()) is not None:
                await self._hand_over_in_loop(message)
                self._give_credit()
        finally:
            if not self.closed:
                self.mailbox.when_ready(self._start_task)

    async def _hand_over_in_loop(self, message: Message) -> None:
        if self.closed or (self._left is not None and not self._count_down()):
            return
        try:
            answer = await self._handler(message)  # type: ignore[misc]  # as in hand_over
        except BaseException as error:
            if _ends_the_task(error):
                self._give_back(message)
                raise
            self._failed(message, error)
        else:
            self._succeeded(message, answer)
        finally:
            if self._left == 0:
                self.unsubscribe()

    async def _next(self) -> Message | None:
        import asyncio

        loop = asyncio.get_running_loop()
        while (message := self.mailbox.take()) is None and not self.closed:
            ready = asyncio.Event()

            def wake(ready: asyncio.Event = ready) -> None:
                loop.call_soon_threadsafe(ready.set)

            self.mailbox.when_ready(wake)
            try:
                await ready.wait()
            except BaseException:
                if not self.mailbox.forget(wake):
                    self.mailbox.pass_on()
                raise
        return message

    def _count_down(self) -> bool:
        """Whether one more message may be handed over under the limit."""
        with self._lock:
            if not self._left:
                return False
            self._left -= 1
            return True

    def _give_credit(self) -> None:
        """Make room for more, in few words: when half the window is used, or nothing waits."""
        if not self.window:
            return
        with self._lock:
            self._used += 1
            if self._used * 2 < self.window and len(self.mailbox):
                return
            more, self._used = self._used, 0
        self._backend.tell(Credit(self.number, more))

    # After the handler

    def _succeeded(self, message: Message, answer: Any) -> None:
        if answer is not None and message.reply_to is not None:
            message.respond(answer)
        if self._settles:
            message.ack()

    def _give_back(self, message: Message) -> None:
        if isinstance(self.source, Grouped):
            message.nack(self._retry_delay(message.attempt or 1))

    def _failed(self, message: Message, error: BaseException) -> None:
        self._give_back(message)
        on_error = self._broker.on_error
        if on_error is not None:
            try:
                on_error(error, message, self)
            except Exception:
                logger.exception("%r: on_error failed", self)
        else:
            logger.error("%r: handler failed on %r", self, message, exc_info=error)

    def _retry_delay(self, attempt: int) -> float:
        settings = self.source.settings if isinstance(self.source, Grouped) else None
        first = settings.retry_delay if settings else FIRST_RETRY_SECONDS
        # The exponent is bounded, for the attempts are not.
        return float(min(first * 2 ** min(attempt - 1, 30), LAST_RETRY_SECONDS))

    def _weakly(self, handler: Handler) -> Handler:
        is_method = inspect.ismethod(handler)
        reference = weakref.WeakMethod(handler) if is_method else weakref.ref(handler)

        def call(message: Message) -> Any:
            found = reference()
            if found is None:
                self.unsubscribe()
                return None
            return found(message)

        return call


def _ends_the_task(error: BaseException) -> bool:
    """Whether this task is to end, and not just something that its handler awaited."""
    import asyncio

    if not isinstance(error, asyncio.CancelledError):
        return isinstance(error, (KeyboardInterrupt, GeneratorExit))
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
