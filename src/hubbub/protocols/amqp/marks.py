"""The mark of a message in a queue: how it was published, and its properties as they are delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hubbub.model.errors import HubbubError
from hubbub.protocols.amqp.properties import decode_headers, replace_headers

if TYPE_CHECKING:
    from hubbub.protocols.amqp.tables import Field


class Mark(NamedTuple):
    """Exchange and routing key as bytes; ``properties`` are the flags and the list."""

    exchange: bytes
    key: bytes
    properties: bytes

    def encode(self) -> bytes:
        """The mark as an item carries it."""
        exchange, key, properties = self
        return b"%c%b%c%b%b" % (len(exchange), exchange, len(key), key, properties)


def decode_mark(mark: bytes) -> Mark:
    """What ``Mark.encode`` was given."""
    exchange_end = 1 + mark[0]
    key_end = exchange_end + 1 + mark[exchange_end]
    return Mark(mark[1:exchange_end], mark[exchange_end + 1 : key_end], mark[key_end:])


def with_header(mark: bytes, name: str, field: Field) -> bytes:
    """The mark with a header more; as it is where its headers are none, which nobody asked before."""
    exchange, key, properties = decode_mark(mark)
    try:
        headers = decode_headers(properties) or {}
        headers[name] = field
        return Mark(exchange, key, replace_headers(properties, headers)).encode()
    except (HubbubError, ValueError):
        return mark
