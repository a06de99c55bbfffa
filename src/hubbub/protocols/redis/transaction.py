"""MULTI, EXEC and DISCARD: commands queued and then run in one go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.redis.codec import OK
from hubbub.protocols.redis.command import NO_REPLY, Command, CommandError

if TYPE_CHECKING:
    from hubbub.protocols.redis.codec import Simple
    from hubbub.protocols.redis.command import NoReply
    from hubbub.protocols.redis.session import RedisSession

# What one client may queue, as large as the largest single request.
MAX_QUEUED_BYTES = 64 * 1024 * 1024
# What a queued command costs apart from its arguments, so that many empty ones count too.
QUEUED_COMMAND_BYTES = 128
# What EXEC runs without a pause, for nobody else is served meanwhile.
MAX_QUEUED_COMMANDS = 10_000


class Transaction:
    """One client's queue. ``spoiled`` means that EXEC will refuse, as something was wrong in it."""

    def __init__(self) -> None:
        self.open = False
        self.running = False
        self.spoiled = False
        self.queued: list[tuple[Command, list[bytes]]] = []
        self.size = 0

    def begin(self) -> None:
        """Queue from now on. Raises CommandError if it does already."""
        if self.open:
            raise CommandError("ERR MULTI calls can not be nested")
        self.open = True

    def queue(self, command: Command, request: list[bytes]) -> None:
        """Keep a command for EXEC. Raises CommandError if the queue is full."""
        size = QUEUED_COMMAND_BYTES + sum(map(len, request))
        if self.size + size > MAX_QUEUED_BYTES:
            self.spoil()
            raise CommandError("OOM command not allowed when used memory > 'maxmemory'.")
        if len(self.queued) >= MAX_QUEUED_COMMANDS:
            self.spoil()
            raise CommandError(f"ERR a transaction has at most {MAX_QUEUED_COMMANDS} commands")
        if not self.spoiled:
            self.size += size
            self.queued.append((command, request))

    def spoil(self) -> None:
        """Let EXEC refuse: a command could not be queued."""
        if self.open:
            self.spoiled = True

    def discard(self) -> None:
        """Forget everything."""
        self.open = self.spoiled = False
        self.queued = []
        self.size = 0


def multi(session: RedisSession, _request: list[bytes]) -> Simple:
    """MULTI."""
    session.transaction.begin()
    return OK


def discard(session: RedisSession, _request: list[bytes]) -> Simple:
    """DISCARD."""
    if not session.transaction.open:
        raise CommandError("ERR DISCARD without MULTI")
    session.transaction.discard()
    return OK


def execute(session: RedisSession, _request: list[bytes]) -> NoReply:
    """EXEC: an array of the replies, in which a failed command's is an error."""
    transaction = session.transaction
    if not transaction.open:
        raise CommandError("ERR EXEC without MULTI")
    queued, spoiled = transaction.queued, transaction.spoiled
    transaction.discard()
    if spoiled:
        raise CommandError("EXECABORT Transaction discarded because of previous errors.")
    session.replies.announce_array(len(queued))
    transaction.running = True
    for command, request in queued:
        session.run(command, request)
    transaction.running = False
    return NO_REPLY
