"""WebSocket by its bytes: requests, masked frames, and what a server's stream says."""

from __future__ import annotations

import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN = 0x80
MASK = b"\x01\x02\x03\x04"

# A client's, as they go without saying; None leaves one out.
USUAL = {
    "Host": "127.0.0.1:9001",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "toy",
}


def request(changes=(), *, line="GET /any/path HTTP/1.1"):
    headers = USUAL | dict(changes)
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([line, *lines, "", ""]).encode()


def frame(opcode, payload=b"", *, first=FIN, length=None):
    """A frame as clients send it; ``length`` is announced instead of the payload's own."""
    size = len(payload) if length is None else length
    if size < 126:
        head = bytes((first | opcode, 0x80 | size))
    elif size < 0x10000:
        head = bytes((first | opcode, 0x80 | 126)) + struct.pack(">H", size)
    else:
        head = bytes((first | opcode, 0x80 | 127)) + struct.pack(">Q", size)
    whole = payload + bytes(-len(payload) % 4)
    pattern = int.from_bytes(MASK * (len(whole) // 4))
    masked = (int.from_bytes(whole) ^ pattern).to_bytes(len(whole))
    return head + MASK + masked[: len(payload)]


def frames(stream):
    """(opcode, payload) of each frame that a server sent; all must be whole and unmasked."""
    found = []
    at = 0
    while at < len(stream):
        first, size = stream[at], stream[at + 1]
        at += 2
        if size == 126:
            size, at = struct.unpack_from(">H", stream, at)[0], at + 2
        elif size == 127:
            size, at = struct.unpack_from(">Q", stream, at)[0], at + 8
        assert first & 0xF0 == FIN
        payload = stream[at : at + size]
        assert len(payload) == size
        found.append((first & 0x0F, payload))
        at += size
    return found


def carried(stream):
    """What the binary frames of a stream carry, together."""
    return b"".join(payload for opcode, payload in frames(stream) if opcode == BINARY)


def close_code(stream):
    """The code in the Close frame that ends the stream."""
    opcode, payload = frames(stream)[-1]
    assert opcode == CLOSE
    return struct.unpack_from(">H", payload)[0]
