"""What one connection is told, in the order in which it has to hear it."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from hubbub.protocols.redis.codec import RESP2, Failure, array_header, encode, encode_failure

if TYPE_CHECKING:
    from hubbub.broker.outbox import Outbox
    from hubbub.protocols.redis.stats import Stats

# Replies that wait for the disk before no more requests are read: some milliseconds of pipelining.
MAX_WAITING = 16_384
# What a client may leave unread of answers. Redis sets no limit for ordinary clients and runs out of
# memory; this is several times the largest answer.
MAX_UNREAD_BYTES = 256 * 1024 * 1024


class ReplyMode(Enum):
    """What ``CLIENT REPLY`` chose."""

    ON = auto()
    OFF = auto()
    SKIP_NEXT = auto()  # the command after this one goes unanswered
    SKIP = auto()  # this one does


class Slot:
    """The place of a reply that is not known yet; what comes after it waits."""

    __slots__ = ("_replies", "chunk", "is_push")

    def __init__(
        self, replies: Replies, chunk: bytes | None = None, *, is_push: bool = False
    ) -> None:
        self._replies = replies
        self.chunk = chunk
        self.is_push = is_push

    def fill(self, value: object) -> None:
        """Say what the reply is; once."""
        self._replies.fill(self, value)


class Replies:
    """Replies and deliveries of one connection on their way to its outbox.

    A PUBLISH to a stored topic is answered when the disk has it. Until then everything behind that
    answer is held back, deliveries too: nothing may come into the middle of an EXEC's array, and no
    message before the confirmation of its subscription.
    """

    def __init__(self, outbox: Outbox, stats: Stats) -> None:
        self.protocol = RESP2
        self.mode = ReplyMode.ON
        self._outbox = outbox
        self._stats = stats
        self._waiting: deque[Slot] = deque()
        self._waiting_bytes = 0  # of answers
        self._held_bytes = 0  # of deliveries
        self._in_command = False
        self._own_pushes: list[bytes] = []
        self._closing = False

    @property
    def full(self) -> bool:
        """Whether more requests would only make the queue longer."""
        return len(self._waiting) >= MAX_WAITING

    @property
    def muted(self) -> bool:
        """Whether the command under way goes unanswered."""
        return self.mode is ReplyMode.OFF or self.mode is ReplyMode.SKIP

    def begin_command(self) -> None:
        """From here on deliveries are of the command's own making and follow its reply."""
        self._in_command = True

    def end_command(self) -> None:
        """Let the command's own deliveries out, and ``CLIENT REPLY SKIP`` take its effect."""
        self._in_command = False
        if self._own_pushes:
            own, self._own_pushes = self._own_pushes, []
            for frame in own:
                self._held_bytes -= len(frame)
                self.deliver(frame)
        if self.mode is ReplyMode.SKIP:
            self.mode = ReplyMode.ON
        elif self.mode is ReplyMode.SKIP_NEXT:
            self.mode = ReplyMode.SKIP

    def send(self, value: object) -> None:
        """Answer the command under way."""
        if not self.muted:
            self._write(encode(value, self.protocol))

    def fail(self, line: str) -> None:
        """Answer the command under way with an error."""
        self._stats.count_error(line)
        if not self.muted:
            self._write(encode_failure(line))

    def announce_array(self, size: int) -> None:
        """Begin a reply of which the elements follow as replies of their own (EXEC)."""
        if not self.muted:
            self._write(array_header(size))

    def confirm(self, value: object) -> None:
        """Confirm a subscription: a push that answers, so neither muted nor a slow consumer's."""
        self._write(encode(value, self.protocol))

    def later(self) -> Slot:
        """Keep the place of a reply."""
        slot = Slot(self)
        if not self.muted:
            self._waiting.append(slot)
        return slot

    def fill(self, slot: Slot, value: object) -> None:
        """Answer what ``later`` kept a place for, and send on all that waited only for it."""
        if type(value) is Failure:
            self._stats.count_error(value.line)
        slot.chunk = encode(value, self.protocol)
        self._waiting_bytes += len(slot.chunk)
        while self._waiting:
            chunk = self._waiting[0].chunk
            if chunk is None:
                return
            if self._waiting.popleft().is_push:
                self._held_bytes -= len(chunk)
                self._push(chunk)
            else:
                self._waiting_bytes -= len(chunk)
                self._outbox.write(chunk)
        if self._closing:
            self._outbox.close()

    def close(self) -> None:
        """Close the connection when everything before this is sent."""
        self._closing = True
        if not self._waiting:
            self._outbox.close()

    def deliver(self, frame: bytes) -> None:
        """Send a delivery; a consumer that does not keep up is cut off."""
        if not self._in_command and not self._waiting:
            self._push(frame)
        elif self._held_bytes + len(frame) > self._outbox.limit:
            self._overflow()
        else:
            self._held_bytes += len(frame)
            if self._in_command:
                self._own_pushes.append(frame)
            else:
                self._waiting.append(Slot(self, frame, is_push=True))

    def _write(self, chunk: bytes) -> None:
        unread = self._outbox.size + self._outbox.backlog + self._waiting_bytes
        if unread + len(chunk) > MAX_UNREAD_BYTES:
            self._overflow()
        elif self._waiting:
            self._waiting_bytes += len(chunk)
            self._waiting.append(Slot(self, chunk))
        else:
            self._outbox.write(chunk)

    def _push(self, frame: bytes) -> None:
        if not self._outbox.overflowed and not self._outbox.push(frame):
            self._stats.count_slow_consumer()

    def _overflow(self) -> None:
        if not self._outbox.overflowed:
            self._outbox.overflow()
            self._stats.count_slow_consumer()
