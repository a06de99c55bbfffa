"""Which binding keys of a topic exchange match a routing key: `*` one word, `#` zero or more.

A trie of words whose walk follows every possibility at once (a set of places, never a stack), so a
match costs at most words times places, whatever the keys are.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from hubbub.protocols.amqp.errors import precondition_failed

T = TypeVar("T", bound=Hashable)

ONE_WORD = b"*"
ANY_WORDS = b"#"

# Each `#` that is not the last word is one more place to stand in at every further word. RabbitMQ
# 4.3 takes 2, earlier ones any number and pay for it exponentially; nobody was seen to use 3.
MAX_ANY_WORDS = 4


def check_binding_key(key: bytes) -> None:
    """Refuse a binding key that would make matching expensive. Raises ChannelError (406)."""
    count = words_of(key).count(ANY_WORDS)
    if count > MAX_ANY_WORDS:
        text = key.decode(errors="replace")
        raise precondition_failed(
            f"Topic binding key '{text}' uses {count} '#' wildcards, "
            f"at most {MAX_ANY_WORDS} are allowed"
        )


def words_of(key: bytes) -> list[bytes]:
    """The words of a binding key, those that say the same written the same way.

    A run of wildcards with a `#` in it takes at least as many words as it has `*`: `#.*.#` is
    `*.#`. An empty key has no words; `a..b` has an empty one.
    """
    words: list[bytes] = []
    waiting = False  # a `#` goes behind the wildcards that follow it
    for word in key.split(b".") if key else ():
        if word == ANY_WORDS:
            waiting = True
            continue
        if waiting and word != ONE_WORD:
            words.append(ANY_WORDS)
            waiting = False
        words.append(word)
    if waiting:
        words.append(ANY_WORDS)
    return words


class _Place(Generic[T]):
    """Where a walk can stand: what begins with the words so far."""

    __slots__ = ("following", "here", "stays")

    def __init__(self, stays: bool = False) -> None:
        self.following: dict[bytes, _Place[T]] = {}
        self.here: dict[T, None] = {}  # whose keys end here
        self.stays = stays  # behind a `#`: any word leads back here


class TopicTrie(Generic[T]):
    """Binding keys and what they lead to; ``match`` finds each target once."""

    def __init__(self) -> None:
        self._root: _Place[T] = _Place()

    def add(self, key: bytes, target: T) -> None:
        """Let routing keys that match ``key`` lead to ``target``; no harm if they already do."""
        place = self._root
        for word in words_of(key):
            following = place.following.get(word)
            if following is None:
                following = place.following[word] = _Place(stays=word == ANY_WORDS)
            place = following
        place.here[target] = None

    def remove(self, key: bytes, target: T) -> None:
        """Undo ``add`` of a key that is written the same way or says the same."""
        way: list[tuple[_Place[T], bytes]] = []
        place = self._root
        for word in words_of(key):
            following = place.following.get(word)
            if following is None:
                return
            way.append((place, word))
            place = following
        place.here.pop(target, None)
        while way and not place.here and not place.following:
            place, word = way.pop()
            del place.following[word]

    def match(self, key: bytes) -> dict[T, None]:
        """The targets of every binding key that matches this routing key."""
        found: dict[T, None] = {}
        places = {self._root: None}
        _skip(places, found)
        for word in key.split(b".") if key else ():
            places = _step(places, word)
            _skip(places, found)
        for place in places:
            found.update(place.here)
        return found


def _step(places: dict[_Place[T], None], word: bytes) -> dict[_Place[T], None]:
    """Where a walk can stand after one more word.

    A word of a routing key that is `*` or `#` is a word like any other, and finds no more than these.
    """
    after: dict[_Place[T], None] = {}
    for place in places:
        if place.stays:
            after[place] = None
        for name in (word, ONE_WORD):
            if (nearer := place.following.get(name)) is not None:
                after[nearer] = None
    return after


def _skip(places: dict[_Place[T], None], found: dict[T, None]) -> None:
    """Add where a `#` for no word leads; what ends with it is found, whatever follows.

    One look from each place is enough: no `#` follows a `#` (``words_of``).
    """
    for place in tuple(places):
        behind = place.following.get(ANY_WORDS)
        if behind is not None:
            found.update(behind.here)
            if behind.following:
                places[behind] = None
