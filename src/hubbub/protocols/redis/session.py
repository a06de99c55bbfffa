"""One Redis connection: requests in, each to its command, and replies out in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.model.errors import HubbubError
from hubbub.protocols.redis.authentication import NOT_AUTHENTICATED
from hubbub.protocols.redis.codec import RESP2, Simple
from hubbub.protocols.redis.command import NO_REPLY, CommandError
from hubbub.protocols.redis.commands import COMMANDS
from hubbub.protocols.redis.mapping import error_line
from hubbub.protocols.redis.publishing import PublishingSession
from hubbub.protocols.redis.replies import Replies
from hubbub.protocols.redis.subscriptions import Subscriptions
from hubbub.protocols.redis.transaction import Transaction

if TYPE_CHECKING:
    from hubbub.broker.broker import Broker
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.session import Peer
    from hubbub.protocols.redis.command import Command
    from hubbub.protocols.redis.listener import RedisListener

QUEUED = Simple("QUEUED")

# Publishes carried out together: enough that what is done once for all of them does not count, and a
# rendering of them fits a processor's cache.
MAX_BURST = 2048

# What begins the lines of an HTTP request that a browser was made to send here: Redis hangs up.
_CROSS_PROTOCOL = frozenset({b"post", b"host:"})
# Run at once, where MULTI queues others.
_NEVER_QUEUED = frozenset({"discard", "exec", "multi", "quit", "reset"})
# All that a RESP2 client may say while it is subscribed, for it could not tell the answers apart.
_WHILE_SUBSCRIBED = frozenset(
    {"ping", "quit", "reset", "subscribe", "unsubscribe", "psubscribe", "punsubscribe"}
    | {"ssubscribe", "sunsubscribe"}
)


class RedisSession(PublishingSession):
    """The state machine of one connection; see ``hubbub.broker.session.Session``."""

    def __init__(self, listener: RedisListener, peer: Peer, outbox: Outbox) -> None:
        super().__init__(listener.publisher, outbox, Replies(outbox, listener.stats))
        self.listener = listener
        self.broker: Broker = listener.broker
        self.commands = COMMANDS
        self.client = listener.clients.new_client(peer, self.broker.timers.now)
        self.subscriptions = Subscriptions(self)
        self.transaction = Transaction()
        self.parser.trusted = not listener.authentication.required
        self._set_burst_limit()
        self.set_limits()

    @property
    def authenticated(self) -> bool:
        """Whether every command may be used."""
        return self.parser.trusted

    def execute(self, request: list[bytes]) -> None:
        """Run a request that is no PUBLISH, or one that cannot be carried out with others."""
        self._execute(request)
        self._set_burst_limit()

    def set_limits(self) -> None:
        """Take the listener's parameters over."""
        parameters = self.listener.parameters
        self.outbox.limit = parameters.outbox_limit
        self.parser.max_bulk_bytes = parameters.max_bulk_bytes
        self.parser.max_request_bytes = parameters.max_request_bytes

    def _set_burst_limit(self) -> None:
        """Whether PUBLISH means just that now, and may be carried out with those that follow."""
        if not self.parser.trusted or self.transaction.open or self.replies.muted:
            self.burst_limit = 0
        elif not self.subscriptions:
            self.burst_limit = MAX_BURST
        else:
            # Its own messages follow the reply of each; in RESP2 it may not even publish.
            self.burst_limit = 0 if self.replies.protocol == RESP2 else 1

    def disconnected(self) -> None:
        """Let go of everything held for the connection."""
        self.closing = True
        self.subscriptions.clear()
        self.transaction.discard()
        self.listener.clients.remove(self)

    def run(self, command: Command, request: list[bytes]) -> None:
        """Run a command and answer it."""
        self.client.last_command = command.name
        try:
            value = command.run(self, request)
        except CommandError as error:
            self.replies.fail(str(error))
        except HubbubError as error:
            self.replies.fail(error_line(error))
        else:
            if value is not NO_REPLY:
                self.replies.send(value)

    def log_in(self, user: bytes, password: bytes) -> None:
        """Authenticate. Raises CommandError."""
        self.client.authenticate(self.listener.authentication.check(user, password))
        self.principal = self.client.principal
        self.parser.trusted = True

    def log_out(self) -> None:
        """Be nobody again, where somebody is asked for."""
        self.client.authenticate("")
        self.principal = ""
        self.parser.trusted = not self.listener.authentication.required

    def refuse(self, line: str) -> None:
        """Close the connection with an error, before any command."""
        self.replies.fail(line)
        self._close()

    def close_after_command(self) -> None:
        """Close once the command under way is answered; run nothing after it."""
        self.closing = True

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self.disconnected()
        self.outbox.abort()

    def _execute(self, request: list[bytes]) -> None:
        self.listener.stats.other_commands += 1
        self.replies.begin_command()
        try:
            command = self.commands.find(request)
            self._admit(command)
        except CommandError as error:
            self._reject(request, error)
        else:
            if self.transaction.open and command.name not in _NEVER_QUEUED:
                self._queue(command, request)
            else:
                self.run(command, request)
        self.replies.end_command()
        if self.closing:
            self._close()

    def _admit(self, command: Command) -> None:
        if not self.parser.trusted and not command.has("no_auth"):
            raise CommandError(NOT_AUTHENTICATED)
        if (
            self.subscriptions
            and self.replies.protocol == RESP2
            and command.name not in _WHILE_SUBSCRIBED
        ):
            raise CommandError(
                f"ERR Can't execute '{command.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING"
                " / QUIT / RESET are allowed in this context"
            )

    def _reject(self, request: list[bytes], error: CommandError) -> None:
        if request[0].lower() in _CROSS_PROTOCOL:
            self.closing = True
            return
        self.transaction.spoil()
        self.replies.fail(str(error))

    def _queue(self, command: Command, request: list[bytes]) -> None:
        try:
            self.transaction.queue(command, request)
        except CommandError as error:
            self.replies.fail(str(error))
        else:
            self.replies.send(QUEUED)

    def give_up(self, failure: str) -> None:
        """Close after a protocol error; without a word where ``failure`` has none."""
        if failure:
            self.replies.fail(f"ERR Protocol error: {failure}")
        self._close()

    def _close(self) -> None:
        self.closing = True
        self.subscriptions.clear()
        self.replies.close()
