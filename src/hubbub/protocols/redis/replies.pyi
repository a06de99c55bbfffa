from enum import Enum

from hubbub.broker.outbox import Outbox
from hubbub.protocols.redis.stats import Stats

MAX_WAITING: int
MAX_UNREAD_BYTES: int

class ReplyMode(Enum):
    """What ``CLIENT REPLY`` chose."""

    ON = ...
    OFF = ...
    SKIP_NEXT = ...
    SKIP = ...

class Slot:
    """The place of replies that are not known yet; what comes after them waits."""

    def fill(self, value: object) -> None:
        """Say what the reply is; once."""
    def fill_encoded(self, chunk: bytes) -> None:
        """The same of replies that are bytes already."""
    def fill_failure(self, line: str, answers: int) -> None:
        """The same error, so many times."""

class Replies:
    """Replies and deliveries of one connection on their way to its outbox.

    A PUBLISH to a stored topic is answered when the disk has it. Until then everything behind that
    answer is held back, deliveries too: nothing may come into the middle of an EXEC's array, and no
    message before the confirmation of its subscription.
    """

    protocol: int
    mode: ReplyMode

    @property
    def outbox(self) -> Outbox: ...
    def __init__(self, outbox: Outbox, stats: Stats) -> None: ...
    @property
    def full(self) -> bool:
        """Whether more requests would only make the queue longer."""
    @property
    def muted(self) -> bool:
        """Whether the command under way goes unanswered."""
    def begin_command(self) -> None:
        """From here on deliveries are of the command's own making and follow its reply."""
    def end_command(self) -> None:
        """Let the command's own deliveries out, and ``CLIENT REPLY SKIP`` take its effect."""
    def send(self, value: object) -> None:
        """Answer the command under way."""
    def fail(self, line: str) -> None:
        """Answer the command under way with an error."""
    def announce_array(self, size: int) -> None:
        """Begin a reply of which the elements follow as replies of their own (EXEC)."""
    def confirm(self, value: object) -> None:
        """Confirm a subscription: a push that answers, so neither muted nor a slow consumer's."""
    def later(self, answers: int = 1) -> Slot:
        """Keep the place of so many replies in a row."""
    def close(self) -> None:
        """Close the connection when everything before this is sent."""
    def deliver(self, frame: bytes) -> None:
        """Send a delivery; a consumer that does not keep up is cut off."""
