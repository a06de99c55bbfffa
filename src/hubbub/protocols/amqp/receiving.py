"""Who may receive what a queue holds: asked of each message, at each way out of a queue.

A message is received at the address that it was published to. A dead letter is one that it was given
by whoever declared its queue: those under which it died count as well, or a queue would be a way
around what its owner may not have.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hubbub.model.errors import HubbubError, InvalidAddressError
from hubbub.protocols.amqp.addresses import address_of
from hubbub.protocols.amqp.dead_letters import X_DEATH
from hubbub.protocols.amqp.marks import decode_mark
from hubbub.protocols.amqp.names import text
from hubbub.protocols.amqp.properties import decode_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hubbub.broker.leases import Entry
    from hubbub.broker.work_item import Item
    from hubbub.broker.work_queue import WorkQueue
    from hubbub.model.address import Address
    from hubbub.protocols.amqp.channel import Channel
    from hubbub.protocols.amqp.tables import Field, Table
    from hubbub.protocols.amqp.vhost import VirtualHost

# How many messages basic.get looks at for one that its user may have: all that a method may cost.
_LOOK_PAST = 100


def filter_of(channel: Channel) -> Callable[[Item], bool] | None:
    """What says of each item whether the channel's user may have it; None if that is everything."""
    if not channel.has_limited_access:
        return None
    return lambda item: may_receive(channel, item.mark)


def may_receive(channel: Channel, mark: bytes) -> bool:
    """Whether the channel's user may have a message with this mark."""
    return all(channel.may("receive", each) for each in _addresses(channel.vhost, mark))


def fetch(channel: Channel, work: WorkQueue) -> Entry | None:
    """The first that the channel's user may have; what stands before it stays."""
    if not channel.has_limited_access:
        return work.get()
    passed: list[Entry] = []
    entry = work.get()
    while entry is not None and not may_receive(channel, entry.item().mark):
        passed.append(entry)
        entry = work.get() if len(passed) < _LOOK_PAST else None
    for each in passed:
        work.give_back(each, False)
    return entry


def _addresses(vhost: VirtualHost, mark: bytes) -> Iterator[Address]:
    exchange, key, properties = decode_mark(mark)
    yield from _address(vhost, exchange, key)
    if X_DEATH.encode() not in properties:
        return
    headers: Table = {}
    with suppress(HubbubError):
        headers = decode_headers(properties) or {}
    for death in _of_type("A", headers.get(X_DEATH), []):
        died: Table = _of_type("F", death, {})
        source = _of_type("S", died.get("exchange"))
        for first in _of_type("A", died.get("routing-keys"), [])[:1]:  # behind it stand copies'
            key = _of_type("S", first)
            if source is not None and key is not None:
                yield from _address(vhost, source, key)


def _of_type(letter: str, field: Field | None, other: Any = None) -> Any:
    """The value of a field, which any client may have made up; ``other`` where it is of no such type."""
    return field.value if field is not None and field.letter == letter else other


def _address(vhost: VirtualHost, name: bytes, key: bytes) -> Iterator[Address]:
    """The address of a routing key; none of what only AMQP has."""
    exchange = vhost.exchanges.get(text(name))  # it may be gone
    with suppress(InvalidAddressError):
        yield address_of(name, key, is_fanout=exchange is not None and exchange.type == "fanout")
