"""The broker's core inside this process, and a thread for what happens later."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from itertools import count
from threading import Event, Lock, Thread, current_thread
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, TypeVar

from hubbub.broker.broker import Broker
from hubbub.broker.observer import Subscriber
from hubbub.broker.timers import Timers
from hubbub.bus.errors import ClosedError
from hubbub.bus.pending import Pending
from hubbub.protocols.bus import codec, mapping
from hubbub.protocols.bus.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import RLock
    from typing import TypeAlias

    from hubbub.broker.publication import Publication
    from hubbub.log.seam import Log
    from hubbub.model.message import Message

    Deliver: TypeAlias = Callable[[int, Message, codec.Place | None, codec.Lease | None], None]

T = TypeVar("T")

logger = logging.getLogger("hubbub")

SUBSCRIBER = Subscriber("python", "in process")


class Engine:
    """Does for a broker in the same process what a server's loop does for others.

    Every entry is a *turn*: it holds ``lock``, moves the clock and fires what is due. No code of the
    program runs inside one: ``deliver``, which is called with what stored subscriptions get, only
    queues. Whoever waits for the disk syncs for all who have appended by then (group commit); the
    thread does so where nobody waits, and fires what is due between the turns of others.
    """

    publishing: Message | None = None  # what a program is publishing in this turn
    congested = False  # the mailboxes are bounded by the credit that their subscriptions give

    def __init__(self, log: Log, lock: RLock, deliver: Deliver) -> None:
        self.deliver = deliver
        self._log = log
        self._lock = lock
        self._dirty = False
        log.on_dirty = self._mark_dirty
        self._timers = Timers(monotonic(), time_ns() // 1_000_000)
        self.broker = Broker(log, self._timers)
        self._service = Service(self.broker, SUBSCRIBER, self)
        self._numbers = count(1)
        self._calls: dict[int, Pending[Any]] = {}
        self._settled: list[tuple[Pending[Any], Any]] = []  # with a result or an error
        self._syncing = Lock()
        self._closed = False
        self._thread: Thread | None = None
        self._wake = Event()
        self._looks_again_at = 0.0

    def call(self, make: Callable[..., codec.Call], *fields: Any) -> Any:
        """The answer to a call. Raises what it was refused for."""
        pending: Pending[Any] = Pending()
        with self._turn(syncs=True):
            number = next(self._numbers)
            self._calls[number] = pending
            self._service.handle(make(number, *fields))
        return self.wait(pending)

    def tell(self, notice: codec.Notice) -> None:
        """Carry out what needs no answer."""
        with self._turn():
            self._service.handle(notice)

    def publish(self, message: Message, *, syncs: bool) -> Pending[Publication]:
        """Store and deliver; the result is there once it is durable.

        The caller ``syncs`` if it goes on to ``wait``. Raises what ``Broker.publish`` raises.
        """
        pending: Pending[Publication] = Pending()
        with self._turn(syncs=syncs):
            self.publishing = message
            publication = self.broker.publish(message)
            publication.when_durable(
                lambda failure: self._settled.append((pending, failure or publication))
            )
        if self._dirty and (not syncs or pending.done()):
            self.start()  # nobody waits, so nobody else syncs it
            self._wake.set()
        return pending

    def wait(self, pending: Pending[T]) -> T:
        """The result of what was begun in a turn, syncing for it if need be."""
        while not pending.done():
            with self._syncing:
                if not pending.done() and not self._sync():
                    break
        if not pending.done():
            self.start()  # it takes time, not a sync
        return pending.result()

    def reply(self, reply: codec.Reply) -> None:
        """Settle a call, as the service's client."""
        result = mapping.error_of(reply) if isinstance(reply, codec.Failed) else reply
        self._settled.append((self._calls.pop(reply.id), result))

    def start(self) -> None:
        """Let time pass between turns from now on."""
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = Thread(target=self._run, name="hubbub-engine", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write down where everybody stands, sync, and let go of the log."""
        with self._syncing, self._turn(syncs=True):
            self._service.close()
            self.broker.close()
            self._closed = True
        for pending in self._calls.values():
            pending.set_exception(ClosedError("the broker was closed"))
        self._wake.set()
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join()

    @contextmanager
    def _turn(self, *, syncs: bool = False) -> Iterator[None]:
        settled: list[tuple[Pending[Any], Any]] = []
        try:
            with self._lock:
                if self._closed:
                    raise ClosedError("the broker is closed")
                self._timers.advance(monotonic(), time_ns() // 1_000_000)
                try:
                    yield
                finally:
                    settled, self._settled = self._settled, settled
                    self._rouse(syncs=syncs)
        finally:
            # Outside the lock, because whoever waits may have asked to be called back.
            for pending, result in settled:
                _settle(pending, result)

    def _rouse(self, *, syncs: bool) -> None:
        """Wake the thread if this turn left something to do before it looks again by itself."""
        if self._thread is None:
            return
        due = self._timers.next_due()
        if (self._dirty and not syncs) or (due is not None and due < self._looks_again_at):
            self._wake.set()

    def _mark_dirty(self) -> None:
        self._dirty = True

    def _sync(self) -> bool:
        """Sync what was appended, if anything was; only with ``_syncing`` held."""
        with self._turn(syncs=True):
            self._dirty = False
            sync = self._log.begin_sync()
        if sync is None:
            return False
        sync.run()
        with self._turn(syncs=True):
            sync.finish()
        sync.note()
        return True

    def _run(self) -> None:
        try:
            while not self._closed:
                if self._dirty:
                    with self._syncing:
                        self._sync()
                with self._turn(syncs=True):
                    due = self._timers.next_due()
                    self._looks_again_at = float("inf") if due is None else due
                left = None if due is None else max(0.0, due - monotonic())
                self._wake.wait(0.0 if self._dirty else left)
                self._wake.clear()
        except ClosedError:
            return


def _settle(pending: Pending[Any], result: Any) -> None:
    if isinstance(result, Exception):
        pending.set_exception(result)
    else:
        pending.set_result(result)
