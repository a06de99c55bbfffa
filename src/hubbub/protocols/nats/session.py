"""One NATS connection: greeting, authentication, subscriptions and keep-alive."""

from __future__ import annotations

import hmac
import random
from typing import TYPE_CHECKING

from hubbub.broker.observer import Subscriber
from hubbub.model.errors import DeniedError, InvalidAddressError
from hubbub.protocols.nats import codec, mapping
from hubbub.protocols.nats.deliveries import Subscription
from hubbub.protocols.nats.options import NEWEST_PROTOCOL, Options, merged
from hubbub.protocols.nats.reader import NatsReader

if TYPE_CHECKING:
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.routes import Route
    from hubbub.broker.session import Peer
    from hubbub.broker.timers import Timer
    from hubbub.protocols.nats.listener import NatsListener

PROTOCOL = "nats"

# nats-server's first PING, by which it measures the round trip, and how much it varies by connection.
FIRST_PING_SECONDS = 2.0
FIRST_PING_SPREAD = 0.2

_DEFAULTS = Options()


class NatsSession(NatsReader):
    """The state machine of one connection; see ``hubbub.broker.session.Session``."""

    # Ten thousand idle connections are a promise: no dictionary for each of them.
    __slots__ = (
        "_alarm", "_listener", "_options", "_peer", "_subscriptions", "_unanswered", "subscriber",
    )  # fmt: skip

    def __init__(self, listener: NatsListener, peer: Peer, outbox: Outbox) -> None:
        super().__init__(listener.publisher, outbox)
        settings = listener.settings
        self._listener = listener
        self._peer = peer
        self._options = _DEFAULTS
        self._subscriptions: dict[bytes, Subscription] = {}
        self._alarm: Timer | None = None
        self._unanswered = 0  # PINGs of ours
        self.subscriber = Subscriber(PROTOCOL, _endpoint(peer.remote))
        self.max_payload = settings.max_payload
        self.max_control_line = settings.max_control_line
        self.trusted = not settings.requires_auth
        outbox.write(codec.encode_info(listener.info(peer)))
        if settings.requires_auth:
            self._alarm = listener.timers.after(settings.auth_timeout, self._too_late)

    @property
    def options(self) -> Options:
        """What the client said in CONNECT."""
        return self._options

    def disconnected(self) -> None:
        """Let go of everything held for the connection."""
        self._end()
        self._listener.sessions.discard(self)

    # --- what the reader calls ----------------------------------------------------------------

    def may_publish(self, route: Route) -> bool:
        """Whether the publish will be taken, as far as its address decides."""
        broker = self._listener.broker
        return not route.reserved and broker.may(self.principal, "publish", route.address)

    def connect(self, text: bytes) -> None:
        """CONNECT: what it leaves out stays as it was."""
        try:
            options = merged(self._options, text)
        except ValueError:
            self.close(None)
            return
        if not self._authenticate(options):
            self.close(codec.AUTHORIZATION_VIOLATION)
        elif not 0 <= options.protocol <= NEWEST_PROTOCOL:
            self.close(codec.INVALID_CLIENT_PROTOCOL)
        elif options.no_responders and not options.headers:
            self.close(codec.NO_RESPONDERS_WITHOUT_HEADERS)
        else:
            self._adopt(options)

    def subscribe(self, subject: bytes, queue: bytes, sid: bytes) -> None:
        """SUB. A sid that is in use keeps what it stands for, as in nats-server."""
        if len(self._subscriptions) >= self._listener.settings.max_subscriptions:
            self.error(codec.MAXIMUM_SUBSCRIPTIONS)
            return
        if sid not in self._subscriptions:
            try:
                self._subscribe(subject, queue, sid)
            except InvalidAddressError:
                self.error(codec.INVALID_SUBJECT)
                return
            except DeniedError:
                self.error(_subscription_violation(subject, queue))
                return
        self._acknowledge()

    def unsubscribe(self, sid: bytes, limit: int) -> None:
        """UNSUB, at once or when ``limit`` messages have been delivered since SUB."""
        found = self._subscriptions.get(sid)
        if found is not None and (not limit or found.end_after(limit)):
            self.forget(found)
        self._acknowledge()

    def ping(self) -> None:
        """PING."""
        self.outbox.write(codec.PONG)

    def pong(self) -> None:
        """PONG."""
        self._unanswered = 0

    def no_responder(self, reply: bytes) -> None:
        """Say so to whoever of this connection waits for the answer (ADR-21)."""
        try:
            address = mapping.address_of(reply)
        except InvalidAddressError:
            return
        for observer in self._listener.broker.routes.of(address).observers:
            own = isinstance(observer, Subscription) and observer.session is self
            if own and observer.share is None:
                self.outbox.write(codec.encode_no_responders(reply, observer.sid))
                return

    def error(self, text: str) -> None:
        """Say what is wrong; the connection goes on."""
        self.outbox.write(codec.encode_error(text))

    def close(self, error: str | None) -> None:
        """Close, after saying why unless that is None."""
        if error is not None:
            self.error(error)
        self._end()
        self.outbox.close()

    # --- what the subscriptions call ----------------------------------------------------------

    def forget(self, subscription: Subscription) -> None:
        """The subscription has ended."""
        if self._subscriptions.pop(subscription.sid, None) is not None:
            subscription.close()
            self._listener.broker.unsubscribe(subscription.pattern, subscription)

    def slow_consumer(self) -> None:
        """The client does not read what it subscribed to, and is cut off."""
        if not self.closed:
            self._listener.slow_consumers += 1
            self._end()

    def _subscribe(self, subject: bytes, queue: bytes, sid: bytes) -> None:
        pattern = mapping.pattern_of(subject)
        style = self._listener.style(sid, headers=self.headers)
        subscription = Subscription(self, self.outbox, style, sid, pattern, queue)
        self._listener.broker.subscribe(pattern, subscription)
        self._subscriptions[sid] = subscription

    def _adopt(self, options: Options) -> None:
        self._options = options
        self.verbose = options.verbose
        self.pedantic = options.pedantic
        self.echoes = options.echo
        self.no_responders = options.no_responders
        if self.headers != options.headers:
            self.headers = options.headers
            for sid, subscription in self._subscriptions.items():
                subscription.restyle(self._listener.style(sid, headers=self.headers))
        self.trusted = True
        self.subscriber = Subscriber(
            PROTOCOL, options.name or _endpoint(self._peer.remote), self.principal
        )
        self._set_alarm(FIRST_PING_SECONDS * random.uniform(1, 1 + FIRST_PING_SPREAD))  # noqa: S311 - spreads load
        self._acknowledge()

    def _acknowledge(self) -> None:
        if self.verbose:
            self.outbox.write(codec.OK)

    # --- who it is, and whether it is there ---------------------------------------------------

    def _authenticate(self, options: Options) -> bool:
        settings = self._listener.settings
        if options.account:  # accounts are for servers with operators, which this is not
            return False
        if settings.token:
            good = _same(options.auth_token, settings.token)
            principal = "token"
        elif settings.user:
            good = _same(options.user, settings.user) & _same(options.password, settings.password)
            principal = settings.user
        else:
            return True
        if good:
            self.principal = principal
        return good

    def _too_late(self) -> None:
        self.close(codec.AUTHENTICATION_TIMEOUT)

    def _set_alarm(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        interval = self._listener.settings.ping_interval
        self._alarm = self._listener.timers.after(min(seconds, interval), self._check)

    def _check(self) -> None:
        """Ask a client that said nothing whether it is there; cut off one that never answers."""
        if not self.heard or not self._unanswered:
            if self._unanswered >= self._listener.settings.ping_max:
                self.close(codec.STALE_CONNECTION)
                return
            self._unanswered += 1
            self.outbox.write(codec.PING)
        self.heard = False
        self._alarm = self._listener.timers.after(
            self._listener.settings.ping_interval, self._check
        )

    def _end(self) -> None:
        self.mark_closed()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for subscription in tuple(self._subscriptions.values()):
            self.forget(subscription)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _endpoint(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def _subscription_violation(subject: bytes, queue: bytes) -> str:
    text = codec.permissions_violation("Subscription to", subject.decode("utf-8", "replace"))
    return f'{text} using queue "{queue.decode("utf-8", "replace")}"' if queue else text
