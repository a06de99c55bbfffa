"""One connection to a server: frames out, responses in."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from hubbub.bus.errors import ConnectionLostError
from hubbub.protocols.bus import codec
from hubbub.protocols.bus.codec import FrameError, FrameReader

if TYPE_CHECKING:
    from collections.abc import Callable

# What a server may send in one frame: more than it lets an outbox hold.
MAX_RESPONSE_BYTES = 64 * 1024 * 1024


class Connection(asyncio.Protocol):
    """``lost`` is done, with the reason, once the connection is no more."""

    def __init__(
        self,
        received: Callable[[codec.Reply | codec.Delivered], None],
        writable: Callable[[], None],
    ) -> None:
        self.lost: asyncio.Future[ConnectionLostError] = asyncio.get_running_loop().create_future()
        self.paused = False  # the server reads slower than it is sent to
        self._received = received
        self._writable = writable
        self._reader = FrameReader(MAX_RESPONSE_BYTES)
        self._transport: asyncio.Transport | None = None
        self._reason = "the server closed the connection"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_connection makes
        self._transport = transport
        raw: socket.socket = transport.get_extra_info("socket")
        # A server that vanished without a word is noticed, in the system's own time.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """Pass on the responses that the bytes complete."""
        self._reader.feed(data)
        try:
            for body in self._reader.frames():
                response = codec.decode_response(body)
                if isinstance(response, codec.Failed) and not response.id:
                    self._reason = response.reason  # the last word before it hangs up
                else:
                    self._received(response)
        except FrameError as error:
            self._reason = f"this is no hubbub server: {error}"
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if not self.lost.done():
            self.lost.set_result(ConnectionLostError(str(exc or self._reason)))

    async def until(self, answer: asyncio.Future[codec.Welcome]) -> None:
        """Return when ``answer`` is there. Raises ConnectionLostError if the server goes before."""
        first: set[asyncio.Future[Any]] = {answer, self.lost}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if self.lost.done():
            raise self.lost.result()

    def pause_writing(self) -> None:
        """Hold frames back."""
        self.paused = True

    def resume_writing(self) -> None:
        """Send what was held back."""
        self.paused = False
        self._writable()

    def send(self, frames: list[bytes]) -> None:
        """Write; nothing happens if the connection is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(frames)

    def finish(self) -> None:
        """Send what is written and say no more; the server hangs up when it has read all of it.

        Hanging up with something unread makes the system reset the connection, and what the server
        has not read by then is lost.
        """
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """Send what is written, and hang up."""
        if self._transport is not None:
            self._transport.close()
