"""Names as text and as bytes: short strings are UTF-8, or whatever else a client wrote."""

from __future__ import annotations

from urllib.parse import quote

# What is shown as it is in a name made of others; the rest is escaped (RFC 3986).
_PLAIN = " !#$&'()*+,/;<=>?@[]^`{|}"


def raw(name: str) -> bytes:
    """A name as its client wrote it."""
    return name.encode(errors="surrogateescape")


def text(name: bytes) -> str:
    """The other way round."""
    return name.decode(errors="surrogateescape")


def stripped(name: str) -> str:
    """A name without the line ends that RabbitMQ takes out of names."""
    return name.replace("\r", "").replace("\n", "")


def joined(*names: str) -> str:
    """Several names as one that only they make, for what is below this protocol."""
    return ":".join(quote(raw(name), safe=_PLAIN) for name in names)
