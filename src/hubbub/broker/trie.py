"""Wildcard patterns as a tree of levels, so that a match costs the address's depth, not their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from hubbub.model.address import is_internal
from hubbub.model.pattern import ANY, MANY, ONE, Wildcard

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hubbub.model.address import Address

V = TypeVar("V")


class _Node(Generic[V]):
    __slots__ = ("absorbs", "children", "values")

    def __init__(self, absorbs: bool = False) -> None:
        self.absorbs = absorbs  # an ANY level: stays on the front however many levels pass
        self.children: dict[str, _Node[V]] = {}
        self.values: dict[V, int] = {}  # value -> the order in which it came


class Trie(Generic[V]):
    """Values by wildcard pattern. Patterns are at most ``MAX_LEVELS`` deep, and nothing recurses."""

    def __init__(self) -> None:
        self._root: _Node[V] = _Node()

    def add(self, pattern: Wildcard, value: V, order: int) -> None:
        """Give ``value`` to matches of ``pattern``; ``order`` comes back with it."""
        node = self._root
        for level in pattern.levels:
            node = node.children.setdefault(level, _Node(absorbs=level == ANY))
        node.values.setdefault(value, order)

    def remove(self, pattern: Wildcard, value: V) -> None:
        """Undo ``add``; levels that hold nothing any more go."""
        path = [self._root]
        for level in pattern.levels:
            node = path[-1].children.get(level)
            if node is None:
                return
            path.append(node)
        path[-1].values.pop(value, None)
        for level, parent, node in zip(
            reversed(pattern.levels), reversed(path[:-1]), reversed(path), strict=False
        ):
            if node.values or node.children:
                return
            del parent.children[level]

    def match(self, address: Address) -> Iterator[tuple[int, V]]:
        """``(order, value)`` for each pattern that matches; a value once for each of them."""
        parts = address.split(".")
        front = [self._root] if is_internal(address) else list(_with_empty_any([self._root]))
        for index, part in enumerate(parts):
            literal_only = index == 0 and is_internal(address)
            reached: dict[int, _Node[V]] = {}
            for node in front:
                many = node.children.get(MANY)
                if many is not None and not literal_only:
                    yield from _values(many)
                for follower in _followers(node, part, literal_only=literal_only):
                    reached[id(follower)] = follower
            front = list(_with_empty_any(reached.values()))
        for node in front:
            yield from _values(node)


def _followers(node: _Node[V], part: str, *, literal_only: bool) -> Iterator[_Node[V]]:
    if node.absorbs:
        yield node
    if part not in {ONE, ANY, MANY}:  # a wildcard character in an address is a literal
        literal = node.children.get(part)
        if literal is not None:
            yield literal
    one = node.children.get(ONE)
    if one is not None and not literal_only:
        yield one


def _with_empty_any(nodes: Iterable[_Node[V]]) -> Iterator[_Node[V]]:
    """The nodes and those that an ANY standing for no level at all leads to."""
    seen: set[int] = set()
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        following = node.children.get(ANY)
        if following is not None:
            todo.append(following)


def _values(node: _Node[V]) -> Iterator[tuple[int, V]]:
    for value, order in node.values.items():
        yield order, value
