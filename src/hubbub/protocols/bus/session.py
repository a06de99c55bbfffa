"""One connection of the bus protocol: frames in, each to the service, and answers out."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

from hubbub.broker.observer import Subscriber
from hubbub.protocols.bus import codec
from hubbub.protocols.bus.codec import FrameError, FrameReader
from hubbub.protocols.bus.service import Service

if TYPE_CHECKING:
    from hubbub.broker.broker import Broker
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.session import Peer
    from hubbub.broker.timers import Timer
    from hubbub.model.message import Message
    from hubbub.protocols.bus.codec import Lease, Place
    from hubbub.protocols.bus.mapping import MessageRenderer

PROTOCOL = "bus"

# Calls that wait for the disk before the session reads no further: more than a group commit takes.
MAX_UNANSWERED = 10_000
# Unsent bytes beyond which stored messages stay in the log: what a fast loopback drains in no time.
CONGESTED_BYTES = 1024 * 1024
# An outbox that holds this much is not read for: answers to calls come as fast as the calls.
MAX_UNSENT_BYTES = 16 * 1024 * 1024
MAX_CLIENT_NAME = 256
# Frames carried out before the others have their turn: a list of ten thousand topics takes a while.
MAX_FRAMES_PER_TURN = 64


class BusSession:
    """The state machine of one connection (``hubbub.broker.session.Session``)."""

    def __init__(
        self, broker: Broker, renderer: MessageRenderer, peer: Peer, outbox: Outbox
    ) -> None:
        self.outbox = outbox
        self._broker = broker
        self._renderer = renderer
        self._peer = peer
        self._reader = FrameReader(codec.MAX_HELLO_BYTES)
        self._service: Service | None = None  # once the client has said Hello
        self._turn: Timer | None = None  # when to go on with frames that are left over

    @property
    def paused(self) -> bool:
        """Whether the client has so much under way that it is read no further."""
        return self._full or self._turn is not None

    @property
    def congested(self) -> bool:
        """Whether the client is behind with reading, so that stored messages wait in the log."""
        return self._unsent >= CONGESTED_BYTES

    def receive(self, data: bytes) -> None:
        """Take in bytes, cut anywhere, and carry out the calls that they complete."""
        if self.outbox.closing:
            return
        self._reader.feed(data)
        if self._turn is None:  # else what came before has its turn first
            self._work()

    def resume(self) -> None:
        """Go on with the frames that were left when too much was under way."""
        self._go_on_later()

    def disconnected(self) -> None:
        """Let go of every subscription."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._service is not None:
            self._service.close()

    def reply(self, reply: codec.Reply) -> None:
        """Send an answer."""
        self.outbox.write(codec.frame(reply))

    def deliver(
        self, subscription: int, message: Message, place: Place | None, lease: Lease | None
    ) -> None:
        """Send a delivery; a client that does not read them is disconnected."""
        raw = self._renderer.render(message)
        self.outbox.push(codec.frame(codec.Delivered(subscription, raw, place, lease)))

    @property
    def _unsent(self) -> int:
        return self.outbox.size

    @property
    def _full(self) -> bool:
        waiting = 0 if self._service is None else self._service.unanswered
        return waiting >= MAX_UNANSWERED or self._unsent >= MAX_UNSENT_BYTES

    def _work(self) -> None:
        """Carry out frames while there are whole ones, room for their answers, and time."""
        if self._full or self.outbox.closing:
            return
        try:
            with closing(self._reader.frames()) as frames:
                for body in islice(frames, MAX_FRAMES_PER_TURN):
                    self._carry_out(codec.decode_request(body))
                    if self._full:
                        return
        except FrameError as error:
            self._refuse(str(error))
        self._go_on_later()

    def _go_on_later(self) -> None:
        """Take up what is left in a turn of its own; when too full, ``resume`` comes back here."""
        may_go_on = self._turn is None and not (self._full or self.outbox.closing)
        if may_go_on and self._reader.holds_frame:
            self._turn = self._broker.timers.after(0, self._next_turn)

    def _next_turn(self) -> None:
        self._turn = None
        self._work()
        # Notices have no answer, so nothing else might tell the server to read on.
        self.outbox.wake()

    def _carry_out(self, request: codec.Request) -> None:
        if self._service is not None:
            if isinstance(request, codec.Hello):
                raise FrameError("one Hello is enough")
            self._service.handle(request)
        elif isinstance(request, codec.Hello):
            self._welcome(request)
        else:
            raise FrameError("the first frame is a Hello")

    def _welcome(self, hello: codec.Hello) -> None:
        if hello.version != codec.VERSION:
            raise FrameError(f"this server speaks version {codec.VERSION}")
        host, port = self._peer.remote
        name = hello.client[:MAX_CLIENT_NAME] or f"{host}:{port}"
        self._reader.limit = codec.MAX_FRAME_BYTES
        self._service = Service(self._broker, Subscriber(PROTOCOL, name), self)
        self._service.handle(hello)

    def _refuse(self, reason: str) -> None:
        self.reply(codec.Failed(0, FrameError.__name__, reason))
        self.outbox.close()
        self.disconnected()
        self._service = None
