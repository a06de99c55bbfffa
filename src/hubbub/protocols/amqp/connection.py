"""One AMQP connection: its handshake, its channels, its heartbeats and its end."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from hubbub.broker.observer import Subscriber
from hubbub.broker.publication import when_all
from hubbub.model.faults import contain
from hubbub.protocols.amqp import codec, login
from hubbub.protocols.amqp.channel import Channel
from hubbub.protocols.amqp.constants import FRAME_METHOD
from hubbub.protocols.amqp.errors import (
    ACCESS_REFUSED,
    CHANNEL_ERROR,
    COMMAND_INVALID,
    NOT_ALLOWED,
    ChannelError,
    ConnectionFailure,
    channel_error,
    internal_error,
    unexpected_frame,
)
from hubbub.protocols.amqp.reader import AmqpReader
from hubbub.protocols.amqp.settings import FRAME_MIN
from hubbub.protocols.amqp.tables import table_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hubbub.broker.outbox import Outbox
    from hubbub.broker.publication import Durable
    from hubbub.broker.session import Peer
    from hubbub.broker.timers import Timer
    from hubbub.protocols.amqp.codec import Method
    from hubbub.protocols.amqp.contents import ContentReader
    from hubbub.protocols.amqp.listener import AmqpListener
    from hubbub.protocols.amqp.vhost import VirtualHost

logger = logging.getLogger(__name__)

PROTOCOL = "amqp"
PRODUCT = "RabbitMQ"  # clients and frameworks choose what they ask for by name and version
VERSION = "4.1.0"

# Twice a heartbeat interval, in the halves of it at which we look.
_MISSED_MOST = 4
# How long the other side has to answer connection.close, and to close the socket after close-ok:
# RabbitMQ's CLOSING_TIMEOUT.
_CLOSING_SECONDS = 30.0
# Frames before tune-ok: RabbitMQ's initial_frame_max.
_INITIAL_FRAME_MAX = 8192


_CAPABILITIES = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
)


class AmqpConnection(AmqpReader):
    """The state machine of one connection; see ``hubbub.broker.session.Session``."""

    __slots__ = (
        "_alarm", "_beats", "_capabilities", "_channel_max", "_expected", "_heartbeat", "_listener",
        "_missed", "_notices", "_peer", "subscriber", "user", "vhost",
    )  # fmt: skip

    def __init__(self, listener: AmqpListener, peer: Peer, outbox: Outbox) -> None:
        super().__init__(listener.publisher, listener.broker.work_queues, outbox)
        settings = listener.settings
        self._listener = listener
        self._peer = peer
        self._channel_max = settings.channel_max
        self._heartbeat = settings.heartbeat
        self._expected = ""  # the method that the handshake is at; empty once it is over
        self._capabilities: dict[str, Any] = {}
        self._beats: Timer | None = None
        self._missed = 0
        self._notices: list[bytes] | None = None  # until a method is answered
        self._alarm: Timer | None = listener.timers.after(settings.handshake_timeout, outbox.abort)
        self.frame_max = _INITIAL_FRAME_MAX
        self.user = ""
        self.vhost: VirtualHost | None = None
        self.subscriber = Subscriber(PROTOCOL, f"{peer.remote[0]}:{peer.remote[1]}")

    @property
    def listener(self) -> AmqpListener:
        """Where it connected."""
        return self._listener

    def write(self, frames: bytes) -> None:
        """Send frames."""
        self.outbox.write(frames)

    def answer_when_durable(self, durables: Sequence[Durable], answer: bytes) -> None:
        """Send an answer once what it says survives power loss, and carry out nothing until then.

        So answers come in the order of what was asked, and deliveries behind their basic.consume-ok.
        """
        self.go_on_when_durable(durables, partial(self.write, answer))

    def go_on_when_durable(self, durables: Sequence[Durable], go_on: Callable[[], None]) -> None:
        """The same with what else is to be done then."""
        self.waiting = True
        when_all(durables, partial(self._is_durable, go_on))

    def _is_durable(self, go_on: Callable[[], None], failure: Exception | None) -> None:
        self.waiting = False
        if self.closed:
            return
        if failure is not None:
            self.failed(internal_error("nobody knows what of it the disk has"), b"")
        else:
            go_on()
            self._write_notices()
            self.outbox.wake()
        self._listener.timers.after(0, self.resume)

    def disconnected(self) -> None:
        """The connection is gone, for whatever reason."""
        self.closed = self.parted = True
        for timer in (self._alarm, self._beats):
            if timer is not None:
                timer.cancel()
        self._close_channels()
        self.work_queues.flush()
        self._listener.connections.discard(self)

    def notify(self, notice: bytes) -> None:
        """Say what nobody asked for: behind the answer, where it is what a method brought about."""
        if self._notices is None:
            self.write(notice)
        else:
            self._notices.append(notice)

    def _write_notices(self) -> None:
        notices, self._notices = self._notices, None
        for notice in notices or ():
            self.write(notice)

    def has_capability(self, name: str) -> bool:
        """Whether the client says that it understands this."""
        return self._capabilities.get(name) is True

    def refill_soon(self) -> None:
        """The socket has taken most of what waited: consumers may have more, in the next turn."""
        self._listener.timers.after(0, self._refill)

    def _refill(self) -> None:
        if self.closed:
            return
        for channel in self.channels.values():
            assert isinstance(channel, Channel)  # noqa: S101 - there are no others
            if channel.limits.is_starved:
                channel.limits.is_starved = False
                channel.wake()
        self.work_queues.flush()

    def memory_is_short(self, is_short: bool) -> None:
        """Read no more from those who publish until there is room (RabbitMQ: connection.blocked)."""
        if self.blocked == is_short:
            return
        self.blocked = is_short
        if self.has_capability("connection.blocked") and not self._expected and not self.closed:
            name = "connection.blocked" if is_short else "connection.unblocked"
            self.write(codec.encode(0, name, **({"reason": "low on memory"} if is_short else {})))
        self.outbox.wake()

    # --- what the reader calls ----------------------------------------------------------------

    def greeted(self) -> None:
        """The protocol header came: say who we are (section 2.2.4)."""
        self._expected = "connection.start-ok"
        self.write(
            codec.encode(
                0,
                "connection.start",
                version_major=0,
                version_minor=9,
                server_properties=table_of(
                    {
                        "capabilities": dict.fromkeys(_CAPABILITIES, True),
                        "cluster_name": "hubbub",
                        "copyright": "hubbub's authors",
                        "information": "hubbub, compatible with RabbitMQ",
                        "platform": "hubbub",
                        "product": PRODUCT,
                        "version": VERSION,
                    }
                ),
                mechanisms=login.MECHANISMS,
                locales=b"en_US",
            )
        )

    def connection_method(self, payload: bytes) -> None:
        """A method on channel 0. Raises ConnectionFailure."""
        method = codec.decode_method(payload)
        if method.name in self._ALWAYS:
            self._ALWAYS[method.name](self, method)
        elif self._expected:
            if method.name != self._expected:
                raise ConnectionFailure(COMMAND_INVALID, f"expected {self._expected}")
            self._HANDSHAKE[method.name](self, method)
        elif method.name == "connection.update-secret":
            self.write(codec.encode(0, "connection.update-secret-ok"))
        else:
            raise channel_error("unexpected method in connection state running")

    def channel_method(self, channel: ContentReader, payload: bytes) -> None:
        """Any method of an open channel that the reader does not carry out itself."""
        method = codec.decode_method(payload)
        assert isinstance(channel, Channel)  # noqa: S101 - there are no others
        if method.name == "channel.close-ok" and channel.is_closing:
            self.forget_channel(channel.number)
        elif method.name == "channel.close":
            channel.close()
            self.forget_channel(channel.number)
            self.write(codec.encode(channel.number, "channel.close-ok"))
        elif not channel.is_closing or method.name == "channel.open":
            self._notices = []
            try:
                channel.handle(method)
            finally:
                if not self.waiting:
                    self._write_notices()
            self.work_queues.flush()

    def unknown_channel(self, number: int, kind: int, payload: bytes) -> None:
        """A frame on a channel that is not open. Raises ConnectionFailure."""
        if self._expected:
            raise ConnectionFailure(CHANNEL_ERROR, f"expected {self._expected} on channel 0")
        if kind != FRAME_METHOD:
            raise unexpected_frame("expected method frame, got non method frame instead")
        method = codec.decode_method(payload)
        if method.name != "channel.open":
            if method.name == "channel.close-ok":
                return  # both sides closed it
            raise ConnectionFailure(CHANNEL_ERROR, "expected 'channel.open'")
        if len(self.channels) >= self._channel_max:
            raise ConnectionFailure(
                NOT_ALLOWED,
                f"number of channels opened ({len(self.channels)}) has reached the negotiated "
                f"channel_max ({self._channel_max})",
            )
        assert self.vhost is not None  # noqa: S101 - the handshake is over
        self.channels[number] = Channel(self, number, self.vhost)
        self.write(codec.encode(number, "channel.open-ok"))

    def channel_failed(self, channel: ContentReader, error: ChannelError, payload: bytes) -> None:
        """End a channel for what was asked of it (section 1.2.1, channel exceptions)."""
        logger.info("amqp: %s: channel %d: %s", self.subscriber.client, channel.number, error)
        assert isinstance(channel, Channel)  # noqa: S101 - there are no others
        channel.close()
        self.write(_closing(channel.number, "channel.close", error, payload or _PUBLISH))
        self.work_queues.flush()

    def failed(self, error: ConnectionFailure, payload: bytes) -> None:
        """End the connection for what came (section 1.2.2, connection exceptions)."""
        logger.info("amqp: %s: %s", self.subscriber.client, error)
        self._leave(_closing(0, "connection.close", error, payload))

    # --- the handshake --------------------------------------------------------------------------

    def _start_ok(self, method: Method) -> None:
        args = method.args
        self._capabilities = login.capabilities_of(args.client_properties)
        user = login.user_of(args.mechanism, args.response)
        if user is None or not self._listener.may_log_in(*user):
            self._refuse_login(args.mechanism)
            return
        self.user = self.principal = user[0]
        self.subscriber = self.subscriber._replace(principal=self.user)
        settings = self._listener.settings
        self._expected = "connection.tune-ok"
        self.write(
            codec.encode(
                0,
                "connection.tune",
                channel_max=settings.channel_max,
                frame_max=settings.frame_max,
                heartbeat=settings.heartbeat,
            )
        )

    def _refuse_login(self, mechanism: str) -> None:
        text = (
            f"Login was refused using authentication mechanism {mechanism}. For details see the "
            "broker logfile."
        )
        if self.has_capability("authentication_failure_close"):
            raise ConnectionFailure(ACCESS_REFUSED, text)
        self.closed = self.parted = True
        self.outbox.close()  # as RabbitMQ without that capability

    def _tune_ok(self, method: Method) -> None:
        args, settings = method.args, self._listener.settings
        self.frame_max = _agreed("frame_max", args.frame_max, settings.frame_max, FRAME_MIN)
        self._channel_max = _agreed("channel_max", args.channel_max, settings.channel_max, 1)
        self._heartbeat = args.heartbeat
        self._expected = "connection.open"

    def _open(self, method: Method) -> None:
        name = method.args.virtual_host
        vhost = self._listener.vhosts.get(name)
        if vhost is None:
            raise ConnectionFailure(NOT_ALLOWED, f"vhost {name} not found")
        self.vhost = vhost
        self._expected = ""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self.write(codec.encode(0, "connection.open-ok"))
        if self._heartbeat:
            self._beats = self._listener.timers.after(self._heartbeat / 2, self._beat)
        if self._listener.is_memory_short:
            self.memory_is_short(True)

    def _beat(self) -> None:
        """Section 4.2.7: say that we are there, and see whether the other side is."""
        # Whom we do not listen to says nothing.
        self._missed = 0 if self.forget_heard() or self.paused else self._missed + 1
        if self._missed >= _MISSED_MOST:
            logger.warning("amqp: %s: missed heartbeats", self.subscriber.client)
            self.outbox.abort()
            return
        self.write(codec.HEARTBEAT)
        self._beats = self._listener.timers.after(self._heartbeat / 2, self._beat)

    # --- the end --------------------------------------------------------------------------------

    def _close(self, _method: Method) -> None:
        self._leave(codec.encode(0, "connection.close-ok"))

    def parting_method(self, payload: bytes) -> None:
        """Who has close-ok closes the socket (section 1.4.2.10); two closes may cross."""
        if payload.startswith(_CLOSE):
            self.write(codec.encode(0, "connection.close-ok"))
        elif payload.startswith(_CLOSE_OK):
            self.parted = True
            self.outbox.close()

    def _leave(self, last_words: bytes) -> None:
        """Carry out nothing more, and let the client close or answer when it has read this."""
        self.closed = True
        self._close_channels()
        self.write(last_words)
        if self._beats is not None:
            self._beats.cancel()
        if self._alarm is None:  # the handshake's goes on
            self._alarm = self._listener.timers.after(_CLOSING_SECONDS, self.outbox.abort)

    def _close_channels(self) -> None:
        for channel in tuple(self.channels.values()):
            assert isinstance(channel, Channel)  # noqa: S101 - there are no others
            contain(channel.close)
        self.channels.clear()
        if self.vhost is not None:  # before close-ok, so that whoever has that may have these names
            contain(self.vhost.connection_closed, self)

    _ALWAYS: ClassVar[dict[str, Callable[[AmqpConnection, Method], None]]] = {
        "connection.close": _close,
    }
    _HANDSHAKE: ClassVar[dict[str, Callable[[AmqpConnection, Method], None]]] = {
        "connection.start-ok": _start_ok,
        "connection.tune-ok": _tune_ok,
        "connection.open": _open,
    }


_CLOSE = bytes([0, 10, 0, 50])
_CLOSE_OK = bytes([0, 10, 0, 51])
_PUBLISH = bytes([0, 60, 0, 40])  # what a content's error is about


def _agreed(name: str, wanted: int, offered: int, least: int) -> int:
    """The lower of both limits (section 1.4.2.5); 0 is none. Raises ConnectionFailure."""
    if wanted == 0:
        return offered
    if wanted < least:
        raise ConnectionFailure(
            NOT_ALLOWED,
            f"negotiated {name} = {wanted} is lower than the minimum allowed value ({least})",
        )
    if wanted > offered:
        raise ConnectionFailure(
            NOT_ALLOWED,
            f"negotiated {name} = {wanted} is higher than the maximum allowed value ({offered})",
        )
    return wanted


def _closing(
    channel: int, name: str, error: ChannelError | ConnectionFailure, payload: bytes
) -> bytes:
    class_id = error.class_id or int.from_bytes(payload[:2], "big")
    method_id = error.method_id or int.from_bytes(payload[2:4], "big")
    return codec.encode(
        channel,
        name,
        reply_code=error.code,
        reply_text=error.reply_text,
        class_id=class_id,
        method_id=method_id,
    )
