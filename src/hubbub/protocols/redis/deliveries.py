"""Messages as the frames that subscribers get."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.protocols.redis.codec import RESP2, RESP3, encode_bulk, push_header
from hubbub.protocols.redis.mapping import channel_of, payload_of

if TYPE_CHECKING:
    from hubbub.model.message import Message

# Frames of the last message kept for its other subscribers. One pattern may be followed by thousands
# of others, and a large message must not be held once for each of them.
MAX_CACHED_BYTES = 4 * 1024 * 1024


class FrameHead:
    """What stands before channel and payload: the kind of delivery, and the pattern that matched."""

    __slots__ = ("_resp2", "_resp3")

    def __init__(self, *words: bytes) -> None:
        size = len(words) + 2
        fixed = b"".join(encode_bulk(word) for word in words)
        self._resp2 = push_header(size, RESP2) + fixed
        self._resp3 = push_header(size, RESP3) + fixed

    def of(self, protocol: int) -> bytes:
        """The head in this version of the protocol."""
        return self._resp3 if protocol == RESP3 else self._resp2


class Deliveries:
    """Renders each message once for all who get the same bytes.

    A publish reaches its subscribers one after the other, so remembering the last message is enough.
    """

    def __init__(self) -> None:
        self._message: Message | None = None
        self._body = b""
        self._frames: dict[bytes, bytes] = {}
        self._size = 0

    def frame(self, head: bytes, message: Message) -> bytes:
        """The whole frame."""
        if message is not self._message:
            self._message = message
            self._body = encode_bulk(channel_of(message.address)) + encode_bulk(payload_of(message))
            self._forget()
        frame = self._frames.get(head)
        if frame is None:
            frame = head + self._body
            if self._size + len(frame) > MAX_CACHED_BYTES:
                self._forget()
            self._frames[head] = frame
            self._size += len(frame)
        return frame

    def _forget(self) -> None:
        self._frames.clear()
        self._size = 0
