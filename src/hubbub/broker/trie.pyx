# cython: language_level=3
"""Wildcard patterns as a tree of levels: a match costs the address's depth, not their number.

Native because an address that is used once, such as a reply inbox, is looked up and forgotten.
"""

from libc.stdint cimport uint64_t

from hubbub.model.address import is_internal
from hubbub.model.pattern import ANY, MANY, ONE

cdef str _ANY = ANY
cdef str _MANY = MANY
cdef str _ONE = ONE


cdef class _Node:
    cdef bint absorbs       # an ANY level: stays on the front however many levels pass
    cdef dict children
    cdef dict values        # value -> the order in which it came
    cdef uint64_t reached   # the step of a match that was here last
    cdef uint64_t found     # the match that has its values already

    def __init__(self, bint absorbs=False):
        self.absorbs = absorbs
        self.children = {}
        self.values = {}


cdef class Trie:
    cdef _Node _root
    cdef uint64_t _step
    cdef uint64_t _matches

    def __init__(self):
        self._root = _Node()

    def __class_getitem__(cls, item):
        return cls

    @property
    def empty(self):
        return not self._root.children

    def add(self, pattern, value, order):
        cdef _Node node = self._root, child
        for level in pattern.levels:
            found = node.children.get(level)
            if found is None:
                child = _Node(level == _ANY)
                node.children[level] = child
            else:
                child = <_Node>found
            node = child
        node.values.setdefault(value, order)

    def remove(self, pattern, value):
        cdef _Node node
        path = [self._root]
        for level in pattern.levels:
            found = (<_Node>path[-1]).children.get(level)
            if found is None:
                return
            path.append(found)
        (<_Node>path[-1]).values.pop(value, None)
        for level in reversed(pattern.levels):
            node = <_Node>path.pop()
            if node.values or node.children:
                return
            del (<_Node>path[-1]).children[level]

    def match(self, str address not None):
        cdef list found = [], front = [], following
        cdef bint literal_only = is_internal(address)
        cdef _Node node
        self._step += 1
        self._matches += 1
        if literal_only:
            front.append(self._root)
        else:
            self._reach(front, self._root)
        for part in address.split("."):
            following = []
            self._step += 1
            for each in front:
                node = <_Node>each
                if node.absorbs:
                    self._reach(following, node)
                if not node.children:
                    continue
                if not literal_only:
                    collect(found, node.children.get(_MANY), self._matches)
                    self._reach(following, node.children.get(_ONE))
                self._reach(following, node.children.get(part))
            literal_only = False
            front = following
            if not front:
                break
        for each in front:
            collect(found, each, self._matches)
        return found

    cdef int _reach(self, list front, object reached) except -1:
        """Put a node on the front, once, and those that an ANY for no level at all leads to."""
        cdef _Node node
        while reached is not None:
            node = <_Node>reached
            if node.reached == self._step:
                return 0
            node.reached = self._step
            front.append(node)
            reached = node.children.get(_ANY)
        return 0


cdef int collect(list found, object holder, uint64_t match) except -1:
    """Add what the node holds, if there is one, and once however often a match comes by."""
    cdef _Node node
    if holder is not None:
        node = <_Node>holder
        if node.found != match:
            node.found = match
            for value, order in node.values.items():
                found.append((order, value))
    return 0
