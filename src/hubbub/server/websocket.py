"""WebSocket as a way in to a protocol that runs over a stream of bytes.

A connection is accepted, read and written as any other. Between it and the protocol's session
stands one that answers the handshake and hands on what binary frames carry.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponseWithListener,
)
from picows.picows import WSAutoPingStrategy, WSProtocol  # type: ignore[attr-defined]

from hubbub.model.errors import InvalidSettingsError
from hubbub.server.frames import FrameOutbox
from hubbub.server.handshake import Refused, Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubbub.broker.outbox import Outbox
    from hubbub.broker.session import Peer, Session
    from hubbub.broker.timers import Timers
    from hubbub.server.connection import Listener
    from hubbub.server.listeners import OverWebSocket

# How long a peer has for its request; what comes after is the protocol's to time.
HANDSHAKE_SECONDS = 10.0
# A frame is received whole before any of it is handed on: as large as MQTT's packets may be.
MAX_FRAME_BYTES = 16 * 1024 * 1024
# And so much of one is kept from a peer that has not been answered anything yet: what protocols
# take before they know who it is, and the frame around it.
UNANSWERED_BYTES = 132 * 1024
# picows doubles its buffer when one read fills it: with less at once it does so for frames only.
_BUFFER_BYTES = 4 * 1024
_PIECE_BYTES = 3 * 1024

# Looked up once: a name of an enumeration costs as much as all else that is done for a frame.
_CONTINUATION = WSMsgType.CONTINUATION
_DATA = (WSMsgType.BINARY, _CONTINUATION)
_PING, _TEXT, _CLOSE = WSMsgType.PING, WSMsgType.TEXT, WSMsgType.CLOSE
_CLOSE_FRAME = 0x88

# What a peer does wrong it is told; picows would report each of them as an error of the server.
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.CRITICAL)
# An adapter, for of a logger picows would make another one for each connection.
_quiet_adapter = logging.LoggerAdapter(_quiet)


class WebSocketListener:
    """The way in to ``listener`` over WebSocket.

    Raises:
        InvalidSettingsError: a setting that does not exist, or a value that it cannot have.
    """

    def __init__(
        self,
        name: str,
        registered: OverWebSocket,
        listener: Listener,
        timers: Timers,
        settings: Mapping[str, Any],
    ) -> None:
        self.name = name
        self.default_port = registered.default_port
        self.listener = listener
        self.timers = timers
        chosen = dict(settings)
        self.terms = Terms(registered.subprotocols, _parse_origins(chosen.pop("origins", None)))
        self.max_frame_size = _parse_size(chosen.pop("max_frame_size", MAX_FRAME_BYTES))
        for unknown in chosen:
            raise InvalidSettingsError(f"{name} has no setting {unknown}")

    def session(self, peer: Peer, outbox: Outbox) -> WebSocketSession:
        """The session of a connection just accepted, which has yet to ask for WebSocket."""
        return WebSocketSession(self, peer, outbox)


class WebSocketSession:
    """One connection: first the handshake, then a session of the protocol inside frames."""

    def __init__(self, front: WebSocketListener, peer: Peer, outbox: Outbox) -> None:
        self._framed = FrameOutbox(outbox.wake)
        self.outbox: Outbox = self._framed
        self._listener = front.listener
        self._peer = peer
        self._frames = _Frames(front, self._framed)
        self._session: Session | None = None
        self._handshake = front.timers.after(HANDSHAKE_SECONDS, self.outbox.abort)

    @property
    def paused(self) -> bool:
        """See ``hubbub.broker.session.Session``."""
        return self._session is not None and self._session.paused

    def receive(self, data: bytes) -> None:
        """See ``hubbub.broker.session.Session``."""
        payload = self._frames.feed(data)
        if self._session is None and self._frames.connected:
            self._handshake.cancel()
            self._session = self._listener.session(self._peer, self.outbox)
        if payload and self._session is not None:
            self._session.receive(payload)
        if self._frames.held > UNANSWERED_BYTES and not self._framed.answered:
            self._frames.refuse_size()
        if self._frames.ended:
            self.outbox.close()

    def resume(self) -> None:
        """See ``hubbub.broker.session.Session``."""
        if self._session is not None:
            self._session.resume()

    def disconnected(self) -> None:
        """See ``hubbub.broker.session.Session``."""
        self._handshake.cancel()
        self._frames.disconnected()
        if self._session is not None:
            self._session.disconnected()


class _Frames(WSListener):
    """picows, given bytes: answers the handshake and pings, and gathers what frames carry."""

    def __init__(self, front: WebSocketListener, outbox: FrameOutbox) -> None:
        self.connected = False
        self.ended = False
        self.held = 0  # of what was fed, what is not handed on yet
        self._terms = front.terms
        self._outbox = outbox
        self._payload: list[bytes] = []
        self._ping: bytes | None = None
        self._fragmented = False
        self._deaf = False
        self._protocol = WSProtocol(
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=self._answer,
            logger=_quiet_adapter,
            disconnect_on_exception=True,
            websocket_handshake_timeout=None,  # timers are the turn's
            enable_auto_ping=False,  # a protocol's own keep-alive goes both ways
            auto_ping_idle_timeout=0,
            auto_ping_reply_timeout=0,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,  # every frame is to be seen here
            max_frame_size=front.max_frame_size,
            extra_headers=None,
            read_buffer_init_size=_BUFFER_BYTES,
        )
        self._protocol.connection_made(_Wire(self, outbox))

    def feed(self, data: bytes) -> bytes:
        """What the binary frames carry that have become whole."""
        left = memoryview(data)
        while left and not self.ended and not self._outbox.closing:
            buffer = self._protocol.get_buffer(-1)
            size = min(len(left), len(buffer), _PIECE_BYTES)
            buffer[:size] = left[:size]
            self.held += size
            self._protocol.buffer_updated(size)
            left = left[size:]
        if self._ping is not None:
            # Section 5.5.3: of several pings the last one may be answered for all.
            self._protocol.transport.send_pong(self._ping)
            self._ping = None
        payload = b"".join(self._payload)
        self._payload.clear()
        return payload

    def refuse_size(self) -> None:
        """End the connection: what is held is too much."""
        self._end(self._protocol.transport, WSCloseCode.MESSAGE_TOO_BIG)

    def disconnected(self) -> None:
        """Let go of picows, which refers back to this."""
        self._protocol.connection_lost(None)
        self._protocol = None

    def _answer(self, request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        try:
            accepted = self._terms.answer(request.headers)
        except Refused as refused:
            return WSUpgradeResponseWithListener(refused.response, None)
        return WSUpgradeResponseWithListener(accepted, self)

    def on_ws_connected(self, _: WSTransport) -> None:
        """The handshake has been answered."""
        self.connected = True
        self.held = 0
        self._outbox.start_framing()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has become whole."""
        kind = frame.msg_type
        self.held = frame.tail_size
        if self._deaf:
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            self._end(transport, WSCloseCode.PROTOCOL_ERROR, "no extension was agreed on")
        elif kind in _DATA:
            if self._fragmented is (kind == _CONTINUATION):
                self._fragmented = not frame.fin
                self._payload.append(frame.get_payload_as_bytes())
            else:
                self._end(transport, WSCloseCode.PROTOCOL_ERROR, "a fragment out of order")
        elif kind == _PING:
            self._ping = frame.get_payload_as_bytes()
        elif kind == _TEXT:
            # MQTT 5 section 6 [MQTT-6.0.0-1]: what is no binary frame ends the connection.
            self._end(transport, WSCloseCode.UNSUPPORTED_DATA, "binary frames only")
        elif kind == _CLOSE:
            self._end(transport, WSCloseCode.OK)

    def _end(self, transport: WSTransport, code: WSCloseCode, reason: str | None = None) -> None:
        # Not yet ``ended``: that is set too when picows finds a fault behind a frame still to come.
        self._deaf = True
        transport.send_close(code, reason)


class _Wire(asyncio.Transport):
    """What picows takes for its transport: what it has to say itself goes to the outbox."""

    def __init__(self, frames: _Frames, outbox: FrameOutbox) -> None:
        super().__init__({"socket": _NoSocket()})
        self._frames = frames
        self._outbox = outbox

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the answer to the handshake, or a control frame."""
        if not self._frames.connected:
            self._outbox.write(bytes(data))
        elif data[0] == _CLOSE_FRAME:
            # Once what came before it has been carried out.
            self._outbox.last_frame = bytes(data)
            self._frames.ended = True
        else:
            self._outbox.write_control(bytes(data))

    def get_write_buffer_size(self) -> int:
        """Never nothing: picows would go round this and write to the socket."""
        return 1

    def close(self) -> None:
        """Close when all is sent."""
        self._outbox.close()

    def abort(self) -> None:
        """Close at once."""
        self._outbox.abort()


class _NoSocket:
    """Where picows sets options: the connection has done so."""

    def setsockopt(self, *_option: int) -> None:
        """Nothing to set."""

    def getsockopt(self, *_option: int) -> int:
        """Nothing is set."""
        return 0

    def fileno(self) -> int:
        """There is none."""
        return -1


def _parse_origins(chosen: str | list[str] | None) -> frozenset[str] | None:
    if chosen is None:
        return None
    origins = chosen.split(",") if isinstance(chosen, str) else chosen
    return frozenset(origin.strip().rstrip("/").lower() for origin in origins)


def _parse_size(chosen: object) -> int:
    try:
        size = int(str(chosen))
    except ValueError:
        size = 0
    if size < 1:
        raise InvalidSettingsError(f"max_frame_size: {chosen!r} is no number of bytes")
    return size
