"""One client's connection: requests in, responses out in the order of the requests."""

from __future__ import annotations

import io
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from kio.serial import entity_writer

from hubbub.protocols.kafka.codec import (
    read_body,
    read_header,
    response_frame,
    response_head,
)
from hubbub.protocols.kafka.context import Connection, Node, RequestContext
from hubbub.protocols.kafka.reader import MalformedRequestError
from hubbub.protocols.kafka.versions import API_VERSIONS, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.broker import Broker
    from hubbub.broker.outbox import Outbox
    from hubbub.broker.session import Peer
    from hubbub.broker.timers import Timer
    from hubbub.protocols.kafka.codec import FrameBuffer, Header
    from hubbub.protocols.kafka.context import Handler, Response

logger = logging.getLogger(__name__)

# Requests taken but not answered. Idempotent producers have five under way per connection; clients
# that allow more (librdkafka a million) are slowed down here.
MAX_IN_FLIGHT = 128
# Responses that wait to be sent: two full Fetch responses. A client that asks for more than it
# reads is read from no further.
MAX_UNSENT_BYTES = 32 * 1024 * 1024
# Requests handled in one go, some milliseconds of them; then the other connections have their turn.
MAX_REQUESTS_PER_TURN = 64


class _Response:
    """The place of one request's response in the line; called once, with the response."""

    __slots__ = ("_head", "_session", "chunks", "size")

    def __init__(self, session: KafkaSession, head: bytes) -> None:
        self._session = session
        self._head = head
        self.chunks: list[bytes] | None = None
        self.size = 0

    def __call__(self, response: Response) -> None:
        try:
            self.chunks = [] if response is None else response_frame(self._head, _encode(response))
        except Exception as error:  # noqa: BLE001 - the caller is anyone's callback: must not suffer
            self._session.fail(error)
            return
        self.size = sum(map(len, self.chunks))
        self._session.answered(self)


class KafkaSession:
    """The state machine of one connection (``hubbub.broker.session.Session``).

    Each request goes to its handler at once, also while earlier ones wait for the disk or for
    messages; Kafka's broker takes one at a time, and clients cannot tell but by the speed.
    """

    def __init__(
        self,
        broker: Broker,
        handlers: Mapping[int, Handler],
        settings: Mapping[str, Any],
        node: Node,
        peer: Peer,
        outbox: Outbox,
        frames: FrameBuffer,
    ) -> None:
        self.outbox = outbox
        self._broker = broker
        self._handlers = handlers
        self._connection = Connection(
            broker, settings, node, peer.remote[0], handlers.keys(), outbox.close
        )
        self._frames = frames
        self._line: deque[_Response] = deque()
        self._unsent = 0  # bytes of responses that wait for one before them
        self._working = False
        self._gone = False
        self._turn: Timer | None = None

    @property
    def paused(self) -> bool:
        """Whether so much is under way that nothing more is taken in."""
        return (
            (self._turn is not None and self._turn.active)
            or len(self._line) >= MAX_IN_FLIGHT
            or self._unsent + self.outbox.size >= MAX_UNSENT_BYTES
        )

    def receive(self, data: bytes) -> None:
        """Take in bytes, cut anywhere, and handle the requests that they complete."""
        if self._gone or self.outbox.closing:
            return
        self._frames.feed(data)
        self._work()

    def resume(self) -> None:
        """Go on with the requests that were left when too much was under way."""
        if not self._gone:
            self._look_again()

    def disconnected(self) -> None:
        """Let go of what waits for the broker."""
        self._gone = True
        self._line.clear()
        if self._turn is not None:
            self._turn.cancel()
        self._frames.clear()
        self._connection.gone()

    def answered(self, response: _Response) -> None:
        """Send what is answered up to the first request that is not."""
        if self._gone:
            return
        self._unsent += response.size
        while self._line and self._line[0].chunks is not None:
            first = self._line.popleft()
            self._unsent -= first.size
            for chunk in first.chunks or ():
                self.outbox.write(chunk)
        if not self._working:
            self._look_again()

    def fail(self, error: Exception) -> None:
        """Give the connection up for a fault of ours."""
        logger.error("closing the connection from %s", self._connection.client_host, exc_info=error)
        self.outbox.close()

    def _work(self) -> None:
        """Handle requests while there are whole ones and room for their responses."""
        self._working = True
        try:
            for _ in range(MAX_REQUESTS_PER_TURN):
                if self.paused or self.outbox.closing:
                    return
                frame = self._frames.next_frame()
                if frame is None:
                    return
                self._handle(frame)
        except MalformedRequestError as error:
            logger.debug("closing the connection from %s: %s", self._connection.client_host, error)
            self.outbox.close()
        except Exception as error:  # noqa: BLE001 - whatever it is ends this one connection only
            self.fail(error)
        finally:
            self._working = False
            self._look_again()

    def _take_turn(self) -> None:
        """Handle requests that were left over, and be read from again once there are none."""
        self._work()
        if not self.paused:
            # The server looks at ``paused`` when it is given something to send, which requests that
            # want no response do not do.
            self.outbox.wake()

    def _look_again(self) -> None:
        """Go on with requests that are left over, soon: not from within whoever gave a response.

        What a request of one connection appends answers a fetch of another, and so on.
        """
        if self._frames.empty or self.outbox.closing or self.paused:
            return  # an answer in line, or the server's ``resume``, comes back here
        self._turn = self._broker.timers.after(0, self._take_turn)

    def _handle(self, frame: memoryview) -> None:
        header = read_header(frame)
        handler = self._handlers.get(header.api_key)
        if handler is None:
            raise MalformedRequestError(f"API key {header.api_key} is not served")
        request = self._read(frame, header)
        response = _Response(self, response_head(header))
        self._line.append(response)
        context = RequestContext(
            self._connection, header.api_key, header.api_version, header.client_id
        )
        handler(context, request, response)

    @staticmethod
    def _read(frame: memoryview, header: Header) -> Any:
        if header.api_version in VERSIONS[header.api_key]:
            return read_body(frame, header)
        # Kafka closes the connection, too: a client that was told the versions has no business here.
        if header.api_key != API_VERSIONS:
            raise MalformedRequestError(
                f"version {header.api_version} of API key {header.api_key} is not served"
            )
        return None  # KIP-511: the handler answers in version 0, which every client reads


def _encode(response: Any) -> Any:
    """Bodies that a handler encoded itself are bytes or chunks of them; all others kio's entities."""
    if not hasattr(response, "__header_schema__"):
        return response
    buffer = io.BytesIO()
    entity_writer(type(response))(buffer, response)
    return buffer.getvalue()
