"""What a server says to NATS clients, as bytes (docs.nats.io, reference/protocols/client).

Deliveries are rendered by ``hubbub.protocols.nats.deliveries``.
"""

from __future__ import annotations

from typing import Any

import msgspec

OK = b"+OK\r\n"
PING = b"PING\r\n"
PONG = b"PONG\r\n"

HEADER_LINE = b"NATS/1.0"
_NO_RESPONDERS = b"NATS/1.0 503\r\n\r\n"

AUTHENTICATION_TIMEOUT = "Authentication Timeout"
AUTHORIZATION_VIOLATION = "Authorization Violation"
INVALID_CLIENT_PROTOCOL = "invalid client protocol"
INVALID_PUBLISH_SUBJECT = "Invalid Publish Subject"
INVALID_SUBJECT = "Invalid Subject"
MAXIMUM_CONTROL_LINE = "maximum control line exceeded"
MAXIMUM_PAYLOAD = "Maximum Payload Violation"
MAXIMUM_SUBSCRIPTIONS = "maximum subscriptions exceeded"
NO_RESPONDERS_WITHOUT_HEADERS = "no responders requires headers support"
SLOW_CONSUMER = "Slow Consumer"
STALE_CONNECTION = "Stale Connection"
UNKNOWN_OPERATION = "Unknown Protocol Operation"

_LINE_ENDS = str.maketrans("\r\n'", "   ")


def encode_info(info: dict[str, Any]) -> bytes:
    """The INFO line. The blank before its end is nats-server's, and some clients split there."""
    return b"INFO %b \r\n" % msgspec.json.encode(info)


def encode_error(text: str) -> bytes:
    """An error line; what a client sent may be quoted in it."""
    return b"-ERR '%b'\r\n" % text.translate(_LINE_ENDS).encode("utf-8", "surrogateescape")


def permissions_violation(action: str, subject: str, reason: str = "") -> str:
    """The one error after which clients keep the connection, and tell their program."""
    why = f": {reason}" if reason else ""
    return f'Permissions Violation for {action} "{subject}"{why}'


def encode_no_responders(reply: bytes, sid: bytes) -> bytes:
    """What a requester hears when nobody is there to answer: a status without a message (ADR-21)."""
    size = len(_NO_RESPONDERS)
    return b"HMSG %b %b %d %d\r\n%b\r\n" % (reply, sid, size, size, _NO_RESPONDERS)


def encode_headers(headers: list[tuple[bytes, bytes]]) -> bytes:
    """A header block (ADR-4): names and values must hold no line end."""
    lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
    return HEADER_LINE + b"\r\n" + lines + b"\r\n"


def decode_headers(block: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of a block, in order; lines that are none are passed over, as clients do.

    The server of NATS does not look into the block, so nothing here is an error.
    """
    _, _, lines = block.partition(b"\n")
    found = []
    for line in lines.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and name.strip():
            found.append((name.strip(), value.strip()))
    return found
