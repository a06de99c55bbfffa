from collections.abc import Callable

from hubbub.broker.leases import Entry
from hubbub.broker.observer import Subscriber
from hubbub.broker.outbox import Outbox
from hubbub.broker.takers import Taker
from hubbub.protocols.amqp.unacknowledged import PrefetchWindow, Unacknowledged

SOCKET_AHEAD_BYTES: int

class ChannelLimits:
    """What all consumers of one channel share: its window, and how much it may be sent.

    ``is_starved`` says that a consumer wanted more than the socket takes now.
    """

    unacknowledged: Unacknowledged
    fetched: PrefetchWindow
    outbox: Outbox
    number: int
    frame_max: int
    prefetch: int
    is_flowing: bool
    is_starved: bool
    def __init__(
        self, number: int, outbox: Outbox, frame_max: int, on_low: Callable[[], None]
    ) -> None:
        """``on_low`` is called once the socket of a starved channel has taken enough."""
    def is_behind(self) -> bool:
        """Whether the socket has to take more before anything else is delivered."""

class AmqpTaker(Taker):
    """A consumer: what a queue hands out, as basic.deliver (AMQP 0-9-1 section 1.8.3.13).

    ``decorate`` makes the mark of a delivery that needs more headers than it came with.
    """

    channel: ChannelLimits
    limit: PrefetchWindow
    tag: bytes
    no_ack: bool
    subscriber: Subscriber
    def __init__(
        self,
        channel: ChannelLimits,
        tag: bytes,
        prefetch: int,
        *,
        no_ack: bool,
        subscriber: Subscriber,
        decorate: Callable[[Entry], bytes] | None = None,
    ) -> None: ...

def encode_delivery(
    channel: int,
    frame_max: int,
    tag: bytes,
    delivery_tag: int,
    redelivered: bool,
    mark: bytes,
    body: bytes,
) -> bytes:
    """The frames of basic.deliver; what streams send, which have no queue behind them."""

def encode_content(
    channel: int, frame_max: int, method: bytes, properties: bytes, body: bytes
) -> bytes:
    """The frames of a method with content: basic.return, basic.get-ok.

    ``method`` begins with class and method id; ``properties`` with the property flags.
    """

def routing_size(mark: bytes) -> int:
    """How long exchange and routing key are, with which a mark begins."""
