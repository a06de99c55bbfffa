"""The Python API: a broker in this process, or one to connect to."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hubbub.bus.durations import milliseconds, start_of
from hubbub.bus.handlers import Handlers
from hubbub.bus.message import Message
from hubbub.bus.requests import Requests
from hubbub.bus.slots import fill
from hubbub.bus.subscription import FIRST_RETRY_SECONDS, Subscription
from hubbub.model.errors import InvalidSettingsError
from hubbub.model.settings import FOREVER, TopicSettings
from hubbub.protocols.bus import codec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike
    from types import TracebackType
    from typing import Literal, Self, Unpack

    from hubbub.broker.listing import SubscriberInfo, SubscriptionInfo, TopicInfo
    from hubbub.bus.backend import Backend
    from hubbub.bus.durations import Duration, StartPoint
    from hubbub.bus.pending import Pending
    from hubbub.bus.published import Published
    from hubbub.bus.slots import Slots
    from hubbub.bus.subscription import Handler, OnError
    from hubbub.log.seam import Log

# How long a call on another process waits for its answer, and a connection to come about.
DEFAULT_TIMEOUT = 10.0
# How long a request waits for its answer: what people take for "it does not work".
REQUEST_TIMEOUT = 5.0
# Stored messages on their way to one replay: enough to keep it busy over a network.
REPLAY_WINDOW = 512
# Leases that one member of a group holds: few, so that work is spread evenly and none waits in a
# queue until its deadline, and more than one, so that nobody waits for the network.
GROUP_WINDOW = 16
# How long a group waits for a message to be settled; Google's default is 10 s, SQS's 30.
ACK_DEADLINE = 30.0
# The group that `queue=True` means.
QUEUE_GROUP = "queue"


class Broker:
    """Publish and subscribe. Any thread may use it.

    ``Broker()`` keeps everything in memory and needs neither socket nor thread for what is live.
    ``Broker("directory")`` stores topics and subscriptions there, for one process at a time.
    ``Broker.connect(url)`` is the same broker in a running ``hubbub serve``.

    ``on_error(error, message, subscription)`` is called when a handler raises; without it the error
    is logged to ``hubbub``.

    Raises:
        DataDirectoryLockedError: another process has the directory.
        StorageError: it cannot be used.
    """

    def __init__(
        self,
        directory: str | PathLike[str] | None = None,
        *,
        on_error: OnError | None = None,
        backend: Backend | None = None,
    ) -> None:
        self.on_error = on_error
        self._handlers = Handlers()
        self._requests = Requests(self)
        self._numbers = count(1)
        self._backend = backend or _open_local(directory)

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        *,
        name: str = "",
        timeout: float = DEFAULT_TIMEOUT,
        on_error: OnError | None = None,
    ) -> Self:
        """The broker of a running server, at ``hubbub://host:port``.

        Without ``url`` it is $HUBBUB_URL, else the default port of this machine. ``name`` is how
        listings show this client; calls wait ``timeout`` seconds for their answer. A connection that
        breaks is made again, and subscriptions with it.

        Raises:
            ConnectionLostError: there is no server.
            InvalidSettingsError: the url is none.
        """
        from hubbub.bus.remote import RemoteBackend

        return cls(on_error=on_error, backend=RemoteBackend(url, name, timeout))

    # Publishing

    def publish(self, address: str, payload: Any = None, **slots: Unpack[Slots]) -> Published:
        """Hand ``payload`` to everyone whose pattern matches ``address``, now.

        Where topics capture the address it is stored in them first, and this returns when that would
        survive a power cut. The payload is bytes, text, None (a tombstone) or anything that has a
        form in JSON (see ``payload.encode``); ``key``, ``headers`` and the other ``slots`` are those
        of ``Slots``.

        Raises:
            InvalidAddressError, DeniedError, MessageTooLargeError, StorageError, ClosedError.
            TypeError: the payload has no form in JSON, and somebody needs its bytes.
            ConnectionLostError, TimeoutError: it is not known whether the server got it.
        """
        message = Message(address, payload, self)
        if slots:
            fill(message, slots)
        return self._backend.publish(message)

    def publish_soon(
        self, address: str, payload: Any = None, **slots: Unpack[Slots]
    ) -> Pending[Published]:
        """As ``publish``, without waiting: ``await`` what it returns, or ask for its ``result()``.

        Many may be under way at once; they are published in the order of the calls.
        """
        message = Message(address, payload, self)
        if slots:
            fill(message, slots)
        return self._backend.publish_soon(message)

    def request(
        self,
        address: str,
        payload: Any = None,
        *,
        timeout: float | None = REQUEST_TIMEOUT,
        **slots: Unpack[Slots],
    ) -> Pending[Message]:
        """Ask, and get the first answer: by ``result()``, or by ``await``.

        A handler answers with ``message.respond(payload)``, or by returning something else than None.
        ``slots`` are those of ``publish``. The result raises NoRespondersError at once where nobody
        listens and no topic keeps the question, and TimeoutError after ``timeout`` seconds.
        """
        return self._requests.request(address, payload, timeout, slots)

    # Subscribing

    def subscribe(
        self,
        pattern: str,
        handler: Handler | None = None,
        *,
        start: StartPoint | int | None = None,
        group: str | None = None,
        queue: bool = False,
        auto_ack: bool = True,
        ack_deadline: Duration | None = None,
        retry_delay: Duration | None = None,
        max_deliveries: int | None = None,
        dead_letter: str | None = None,
        window: int | None = None,
        limit: int | None = None,
        weak: bool = False,
    ) -> Subscription:
        """Get what is published to addresses that match ``pattern``.

        In a pattern ``*`` stands for one level, ``#`` for any number of levels and ``>``, at the end,
        for one or more. In effect on return; see ``Subscription`` for what to do without ``handler``.

        * Alone it is an observer: what is published from now on, nothing kept, nothing settled.
        * ``start`` (``"beginning"``, ``"new"``, a datetime, ``"1h"`` or a timedelta ago, an offset)
          replays what topics have stored and goes on with what comes, each message once.
        * ``group`` shares the messages of the topics that the pattern names (made if need be) among
          all subscriptions with that group, here and elsewhere. It keeps its place; ``start`` says
          where a new group begins. A handler that returns has settled its message; one that raises
          gets it again, after ``retry_delay`` and then twice as long each time, and after
          ``max_deliveries`` the message goes to ``dead_letter``. So does a message that is not
          settled within ``ack_deadline``. ``auto_ack=False`` leaves settling to the program.
        * ``queue`` is a group that all who say so share, from the oldest message on: each message is
          worked on by one of them.

        ``window`` is how many stored messages may be on their way at once. After ``limit`` messages
        the subscription ends. A ``weak`` handler is unsubscribed when nobody else refers to it.

        Raises:
            InvalidAddressError, InvalidSettingsError, DeniedError, StorageError, ClosedError.
            ConnectionLostError, TimeoutError: there was no answer from the server.
        """
        if queue:
            group, start = group or QUEUE_GROUP, start or "beginning"
        settings = _group_settings(ack_deadline, retry_delay, max_deliveries, dead_letter)
        if group is None and settings is not None:
            raise InvalidSettingsError("only a group settles messages")
        source = _source(group, start, settings)
        if window is None:
            window = REPLAY_WINDOW if isinstance(source, codec.Replayed) else GROUP_WINDOW
        subscription = Subscription(
            self,
            self._backend,
            self._handlers,
            next(self._numbers),
            pattern,
            source,
            window=0 if source is None else max(1, window),
            limit=limit,
            auto_ack=auto_ack,
        )
        if handler is not None:
            subscription.attach(handler, weak=weak)
        self._backend.subscribe(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """As ``subscription.unsubscribe()``."""
        subscription.unsubscribe()

    # Topics and subscriptions

    def topics(self) -> list[TopicInfo]:
        """Every topic, by name."""
        return list(self._backend.call(codec.ListTopics).topics)

    def create_topic(
        self,
        name: str,
        partitions: int | None = None,
        *,
        retention: Duration | Literal["forever"] | None = None,
        captures: Sequence[str] | None = None,
        compact: bool | None = None,
        settings: TopicSettings | None = None,
    ) -> None:
        """A topic that remembers what is published to ``name`` and to the patterns in ``captures``.

        ``retention`` is how long; ``compact`` keeps the last message of each key instead. ``settings``
        are all there is to set; the others replace what they say.

        Raises:
            TopicExistsError, InvalidAddressError, InvalidSettingsError, DeniedError, StorageError.
        """
        changes: dict[str, Any] = {}
        if retention is not None:
            changes["retention_ms"] = FOREVER if retention == "forever" else milliseconds(retention)
        if captures is not None:
            changes["captures"] = tuple(captures)
        if compact is not None:
            changes |= {"compact": compact, "delete_old": not compact}
        if changes:
            settings = msgspec.structs.replace(settings or TopicSettings(), **changes)
        self._backend.call(codec.CreateTopic, name, partitions, settings)

    def delete_topic(self, name: str) -> None:
        """Forget the topic, its messages, and everyone's place in it. Raises UnknownTopicError."""
        self._backend.call(codec.DeleteTopic, name)

    def subscriptions(self) -> list[SubscriptionInfo]:
        """Every durable subscription with its lag: groups of this API, Kafka consumer groups, queues."""
        return list(self._backend.call(codec.ListSubscriptions).subscriptions)

    def delete_subscription(self, group: str, topic: str) -> None:
        """Forget a group's place in a topic.

        Raises:
            UnknownTopicError: there is no such topic, or no such group over it.
            InvalidSettingsError: the group has members; they unsubscribe first.
        """
        self._backend.call(codec.DeleteSubscription, group, topic)

    def lag(self, group: str) -> int:
        """How many stored messages the group has not settled yet."""
        return sum(info.lag for info in self.subscriptions() if info.name == group)

    def subscribers(self, address: str) -> list[SubscriberInfo]:
        """Everyone who would get a message published to ``address`` now."""
        return list(self._backend.call(codec.ListSubscribers, address).subscribers)

    # Ending

    def close(self) -> None:
        """Let handlers at work finish, store where every group stands, and let go of everything.

        What is under way to a server is answered first, unless that takes longer than the timeout.
        """
        for subscription in self._backend.subscriptions():
            subscription.mailbox.close()
        self._handlers.close()
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _open_local(directory: str | PathLike[str] | None) -> Backend:
    # Late: a program that connects needs none of the core that comes with it.
    from hubbub.bus.local import LocalBackend

    if directory is None:
        return LocalBackend(_memory_log)
    path = Path(directory)

    def disk_log() -> Log:
        from hubbub.log.disk import DiskLog

        return DiskLog(path)

    backend = LocalBackend(disk_log)
    backend.open()
    return backend


def _memory_log() -> Log:
    from hubbub.log.memory import MemoryLog

    return MemoryLog()


def _source(
    group: str | None, start: StartPoint | int | None, settings: codec.GroupSettings | None
) -> codec.Replayed | codec.Grouped | None:
    if group is not None:
        return codec.Grouped(group, start_of("new" if start is None else start), settings)
    return None if start is None else codec.Replayed(start_of(start))


def _group_settings(
    ack_deadline: Duration | None,
    retry_delay: Duration | None,
    max_deliveries: int | None,
    dead_letter: str | None,
) -> codec.GroupSettings | None:
    """None where nothing was said, so that a group that exists stays as it is."""
    said = (ack_deadline, retry_delay, max_deliveries, dead_letter)
    if all(setting is None for setting in said):
        return None
    settings = (
        ACK_DEADLINE if ack_deadline is None else milliseconds(ack_deadline) / 1000,
        FIRST_RETRY_SECONDS if retry_delay is None else milliseconds(retry_delay) / 1000,
        max_deliveries or 0,
        dead_letter,
    )
    try:
        return msgspec.convert(settings, codec.GroupSettings)
    except msgspec.ValidationError as error:
        raise InvalidSettingsError(f"ack_deadline, retry_delay, max_deliveries: {error}") from error
