"""AMQP's names and addresses: routing keys and what an exchange adds to them.

``amq.topic`` is the common address space: routing key and address are the same there. A fanout
exchange is the address of its name, the default exchange that of the queue, and any other exchange
puts its name in front of the routing key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubbub.model.address import MAX_LEVELS, Address, from_opaque, to_opaque
from hubbub.model.errors import InvalidAddressError
from hubbub.model.pattern import ANY, ONE, Exact, Wildcard

if TYPE_CHECKING:
    from hubbub.protocols.amqp.exchanges import Exchange

COMMON_EXCHANGE = "amq.topic"
_SHORT_STRING = 255


class ExchangeNames:
    """What one exchange's routing keys are called by others; see ``NameCache``."""

    def __init__(self, exchange: Exchange) -> None:
        self._is_fanout = exchange.type == "fanout"
        self._name = exchange.name.encode("utf-8", "surrogateescape")

    def address_of(self, key: bytes) -> Address:
        """The address of a routing key. Raises InvalidAddressError."""
        return address_of(self._name, key, is_fanout=self._is_fanout)


def address_of(exchange: bytes, key: bytes, *, is_fanout: bool) -> Address:
    """What others call what is published with this routing key. Raises InvalidAddressError."""
    in_front = b"" if exchange in {b"", COMMON_EXCHANGE.encode()} else exchange
    name = b"" if is_fanout else key
    if in_front and name:
        name = in_front + b"." + name
    if not (in_front or name):
        raise InvalidAddressError("an empty routing key names nothing")
    return from_opaque(name or in_front)


def key_of(address: Address) -> bytes:
    """The routing key as AMQP clients see it. Raises InvalidAddressError for a long one."""
    key = to_opaque(address)
    if len(key) > _SHORT_STRING:
        raise InvalidAddressError("a routing key has at most 255 bytes")
    return key


def pattern_of(key: bytes) -> Exact | Wildcard:
    """What a binding of ``amq.topic`` selects: `*` is one word, `#` any number of them.

    Raises: InvalidAddressError.
    """
    words = key.split(b".")
    if b"*" not in words and b"#" not in words:
        return Exact(from_opaque(key))
    if len(words) > MAX_LEVELS:
        raise InvalidAddressError(f"an address has at most {MAX_LEVELS} levels")
    return Wildcard(tuple(_level(word) for word in words))


def _level(word: bytes) -> str:
    if word == b"*":
        return ONE
    return ANY if word == b"#" else from_opaque(word)


def pattern_named(name: str) -> Exact | None:
    """The address of a queue or of a fanout exchange; None for a name that only AMQP has."""
    try:
        return Exact(from_opaque(name.encode("utf-8", "surrogateescape")))
    except InvalidAddressError:
        return None


def pattern_bound(exchange: Exchange, key: bytes) -> Exact | Wildcard | None:
    """What a binding to this exchange selects; None where that is nothing that others have."""
    try:
        if exchange.name == COMMON_EXCHANGE:
            return pattern_of(key)
        return Exact(ExchangeNames(exchange).address_of(key))
    except InvalidAddressError:
        return None
