from typing import Any

from hubbub.broker.outbox import Outbox
from hubbub.broker.stream import StreamSession
from hubbub.broker.work_queues import WorkQueues
from hubbub.protocols.amqp.contents import AmqpPublisher, ContentReader

PROTOCOL_HEADER: bytes

class AmqpReader(StreamSession):
    """Frames (AMQP 0-9-1 section 4.2.3): publishes and acknowledgements are carried out here.

    A subclass is a connection and does everything else. ``frame_max`` is the largest frame that is
    taken; ``heard`` whether anything came since ``forget_heard``. While ``waiting`` nothing is carried
    out; ``resume`` goes on. Once it is ``closed`` only ``parting_method`` is called, until it has
    ``parted``; then what comes is dropped.
    """

    publisher: AmqpPublisher
    work_queues: WorkQueues
    principal: str
    frame_max: int
    closed: bool
    parted: bool
    blocked: bool
    waiting: bool
    heard: bool
    has_published: bool
    channels: dict[int, ContentReader]
    def __init__(
        self, publisher: AmqpPublisher, work_queues: WorkQueues, outbox: Outbox
    ) -> None: ...
    def settle(self) -> None:
        """Publish, flush and confirm what was taken in so far."""
    def relieve(self, channel: ContentReader) -> None:
        """Wake the channel at the end of what was received: its consumers may have room again."""
    def forget_channel(self, number: int) -> None:
        """The channel is closed."""
    def forget_heard(self) -> bool:
        """Whether anything came since the last call."""
    def greeted(self) -> None:
        """The protocol header came."""
    def connection_method(self, payload: bytes) -> None:
        """A method on channel 0."""
    def parting_method(self, payload: bytes) -> None:
        """A method on channel 0 when the connection is closed; it may be anything."""
    def channel_method(self, channel: ContentReader, payload: bytes) -> None:
        """Any method of a channel but basic.publish, and basic.ack without surprises."""
    def unknown_channel(self, number: int, kind: int, payload: bytes) -> None:
        """A frame on a channel that is not open: channel.open, or an error."""
    def channel_failed(self, channel: ContentReader, error: Any, payload: bytes) -> None:
        """What was asked of a channel ends it."""
    def failed(self, error: Any, payload: bytes) -> None:
        """What came ends the connection."""
