from hubbub.bench.answers import Receipt
from hubbub.bench.histogram import Histogram

PAYLOAD_BYTES_MIN: int
TIMED_PAYLOAD_BYTES_MIN: int
PATIENCE_SECONDS: float
RING_MESSAGES_MAX: int

class Load:
    """One run of a load, over sockets that are connected and subscribed already.

    Publishers and subscribers belong to ``groups``: every message of a group's publishers is due
    once to each of its subscribers.

    Args:
        groups: how many there are; they are numbered from 0.
        published_bytes: the size of a frame as it is sent.
        published_at: where in it the payload begins.
        delivered_bytes: the size of a frame as a subscriber receives it.
        delivered_at: where in it the payload begins.
        delivered_start: four bytes of it, which nothing else has there.
        delivered_start_at: where in it they are.
        ring_messages: how many frames a publisher's ring holds; with receipts of two bytes, at
            most ``RING_MESSAGES_MAX``.
        window: how many messages of a group may be on their way to its slowest subscriber, or, if
            it has none or there are receipts, unacknowledged.
        write_messages: how many a publisher sends in one go.
        rate: messages a second of all publishers; 0: as fast as the window allows.
        replies: whether publishers are answered for each message: a line, as Redis does, or a
            receipt with the message's identifier.
        confirms: how many messages a subscriber answers with a receipt, which has the identifier of
            the last; 0: it answers none. More than one want a cumulative receipt.
        receipt: how receipts look; None: a protocol of lines.
        timed: whether payloads carry the moment of sending.
        patience: seconds after which what is due and does not come is lost.
    """

    def __init__(
        self,
        *,
        groups: int,
        published_bytes: int,
        published_at: int,
        delivered_bytes: int,
        delivered_at: int,
        delivered_start: bytes,
        ring_messages: int,
        window: int,
        write_messages: int,
        delivered_start_at: int = 0,
        rate: int = 0,
        replies: bool = False,
        confirms: int = 0,
        receipt: Receipt | None = None,
        timed: bool = False,
        patience: float = ...,
    ) -> None: ...
    def add_publisher(self, fd: int, ring: bytearray, group: int) -> None:
        """A connection that publishes the frames of ``ring``, which is kept and written to.

        Raises:
            ValueError: no such group, or a ring of another size than was said.
        """

    def add_subscriber(self, fd: int, group: int) -> None:
        """A connection that has subscribed to all that is published in ``group``.

        Raises:
            ValueError: no such group.
        """

    def run(self, warmup: float, seconds: float) -> None:
        """Publish for ``warmup`` seconds, then for ``seconds`` that count, then wait for the rest.

        Raises:
            ConnectionError: the broker closed a connection, refused a message, sent something that
                nobody published, or a receipt that is not the next one.
            ValueError: a group without subscribers, and no replies.
        """

    @property
    def seconds(self) -> float:
        """How long was measured."""

    @property
    def processor_seconds(self) -> float:
        """What the generator itself spent in that time."""

    @property
    def published(self) -> int:
        """Messages that all subscribers received, or that were acknowledged, in that time."""

    @property
    def delivered(self) -> int:
        """Messages that subscribers received, each counted for itself, in that time."""

    @property
    def acknowledged(self) -> int:
        """Replies in that time."""

    @property
    def sent_in_all(self) -> int:
        """Messages published from the first to the last."""

    @property
    def received_in_all(self) -> int:
        """Messages received from the first to the last."""

    @property
    def lost(self) -> int:
        """Deliveries and replies that were due and never came."""

    @property
    def duplicated(self) -> int:
        """Deliveries of what had been delivered before."""

    @property
    def delivery(self) -> Histogram:
        """From sending to receiving, if the load is timed."""

    @property
    def acknowledgement(self) -> Histogram:
        """From sending to the reply, if the load is timed and there are replies."""
