"""The last message to each address that was published to be kept for those who subscribe later.

Kept as MQTT wants it (MQTT 5 section 3.3.1.3), in a compacted topic of its own, keyed by address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hubbub.broker.state import STATE_SETTINGS
from hubbub.model.address import is_internal
from hubbub.model.message import Message
from hubbub.model.pattern import ANY, MANY, ONE, Exact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubbub.broker.publication import Stored
    from hubbub.broker.state import StateLog
    from hubbub.broker.timers import Timers
    from hubbub.model.address import Address
    from hubbub.model.pattern import Wildcard


# A message that is retained is as large as one may be, and there are few of each address.
RETAINED_SETTINGS = msgspec.structs.replace(
    STATE_SETTINGS, max_message_bytes=64 * 1024 * 1024, segment_bytes=64 * 1024 * 1024
)


# What an address costs in memory besides its message, for each of its levels.
_LEVEL_BYTES = 300


class RetainedMessage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A retained message; ``mark`` is what its protocol wants back with it, in bytes of its own."""

    message: Message
    mark: bytes = b""

    @property
    def size(self) -> int:
        """What it takes of the memory in bytes, about."""
        message = self.message
        levels = message.address.count(".") + 1
        return len(message.value or b"") + len(message.address) + levels * _LEVEL_BYTES


class _Node:
    """What is retained below some levels."""

    __slots__ = ("children", "retained")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.retained: RetainedMessage | None = None


class Retained:
    """Retained messages by address."""

    def __init__(self, state: StateLog, timers: Timers) -> None:
        self._state = state
        self._timers = timers
        self._root = _Node()
        self._count = 0
        self.size = 0  # bytes of memory, about
        decoder = msgspec.msgpack.Decoder(RetainedMessage)
        for value in state.load().values():
            self._set(decoder.decode(value))

    def __len__(self) -> int:
        return self._count

    def get(self, address: Address) -> RetainedMessage | None:
        """What is retained at the address."""
        node = self._root
        for level in address.split("."):
            below = node.children.get(level)
            if below is None:
                return None
            node = below
        return self._alive(node)

    def put(self, message: Message, mark: bytes = b"") -> Stored | None:
        """Retain the message in place of the one before; an empty one only removes that.

        Returned is what to wait for until it is durable, None if nothing changed. Raises
        StorageError, MessageTooLargeError.
        """
        key = message.address.encode()
        if message.value:
            retained = RetainedMessage(message, mark)
            self._state.put((key, msgspec.msgpack.encode(retained)))
            self._set(retained)
        elif self.get(message.address) is None:
            return None
        else:
            self._state.put((key, None))
            self._remove(message.address)
        return self._state.stored

    def matching(self, pattern: Exact | Wildcard) -> Iterator[RetainedMessage]:
        """What is retained at the addresses that match, each once."""
        if isinstance(pattern, Exact):
            found = self.get(pattern.address)
            if found is not None:
                yield found
            return
        for node in _reached(self._root, pattern.levels):
            retained = self._alive(node)
            if retained is not None:
                yield retained

    def _alive(self, node: _Node) -> RetainedMessage | None:
        retained = node.retained
        if retained is None or not retained.message.is_expired(self._timers.wall_ms):
            return retained
        self._state.put((retained.message.address.encode(), None))
        self._remove(retained.message.address)
        return None

    def _set(self, retained: RetainedMessage) -> None:
        node = self._root
        for level in retained.message.address.split("."):
            node = node.children.setdefault(level, _Node())
        self._count += node.retained is None
        self.size += _size(retained) - _size(node.retained)
        node.retained = retained

    def _remove(self, address: Address) -> None:
        path, levels = [self._root], address.split(".")
        for level in levels:
            path.append(path[-1].children[level])
        self._count -= path[-1].retained is not None
        self.size -= _size(path[-1].retained)
        path[-1].retained = None
        for level in reversed(levels):
            node = path.pop()
            if node.retained is not None or node.children:
                return
            del path[-1].children[level]


def _size(retained: RetainedMessage | None) -> int:
    return 0 if retained is None else retained.size


def _reached(root: _Node, levels: tuple[str, ...]) -> list[_Node]:
    """The nodes that a pattern leads to; however many wildcards, each is looked at once a level."""
    front = [root]
    hides = levels[0] in {ONE, ANY, MANY}
    for level in levels:
        following: dict[int, _Node] = {}
        for node in front:
            for reached in _step(node, level, hides=hides and node is root):
                following[id(reached)] = reached
        front = list(following.values())
    return front


def _step(node: _Node, level: str, *, hides: bool) -> Iterator[_Node]:
    if level == ONE:
        yield from _children(node, hides=hides)
    elif level in {ANY, MANY}:
        if level == ANY:
            yield node
        unseen = list(_children(node, hides=hides))
        while unseen:
            below = unseen.pop()
            yield below
            unseen.extend(below.children.values())
    else:
        found = node.children.get(level)
        if found is not None and not (hides and is_internal(level)):  # type: ignore[arg-type]
            yield found


def _children(node: _Node, *, hides: bool) -> Iterator[_Node]:
    """All children, but for internal addresses, which leading wildcards leave alone."""
    for level, child in tuple(node.children.items()):
        if not hides or not is_internal(level):  # type: ignore[arg-type]
            yield child
