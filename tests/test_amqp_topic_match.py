"""Topic binding keys: `*` is one word, `#` any number of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.protocols.amqp.errors import ChannelError
from hubbub.protocols.amqp.topic_match import TopicTrie, check_binding_key

WORDS = st.sampled_from([b"a", b"b", b"", b"*", b"#"])
KEYS = st.lists(WORDS, max_size=6).map(b".".join)
LITERALS = st.lists(st.sampled_from([b"a", b"b", b"", b"c"]), max_size=6).map(b".".join)


def words(key: bytes) -> list[bytes]:
    return key.split(b".") if key else []


def matches(pattern: list[bytes], key: list[bytes]) -> bool:
    """The definition, as slow as it is short."""
    if not pattern:
        return not key
    if pattern[0] == b"#":
        return any(matches(pattern[1:], key[at:]) for at in range(len(key) + 1))
    return bool(key) and pattern[0] in (b"*", key[0]) and matches(pattern[1:], key[1:])


@given(st.lists(KEYS, max_size=8), LITERALS)
def test_a_trie_finds_what_the_definition_says(patterns: list[bytes], key: bytes) -> None:
    trie: TopicTrie[bytes] = TopicTrie()
    for pattern in patterns:
        trie.add(pattern, pattern)
    expected = {pattern for pattern in patterns if matches(words(pattern), words(key))}
    assert set(trie.match(key)) == expected


@given(st.lists(st.tuples(KEYS, st.booleans()), max_size=12), LITERALS)
def test_what_was_removed_is_not_found(changes: list[tuple[bytes, bool]], key: bytes) -> None:
    trie: TopicTrie[bytes] = TopicTrie()
    kept: dict[bytes, None] = {}
    for pattern, is_added in changes:
        if is_added:
            trie.add(pattern, pattern)
            kept[pattern] = None
        else:
            trie.remove(pattern, pattern)
            kept.pop(pattern, None)
    assert set(trie.match(key)) == {each for each in kept if matches(words(each), words(key))}
    for pattern in kept:
        trie.remove(pattern, pattern)
    assert not trie.match(key)
    assert not trie._root.following  # nothing stays behind


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        (b"#", b"", True),
        (b"*", b"", False),
        (b"a.#", b"a", True),
        (b"#.a", b"a", True),
        (b"a.#.b", b"a.b", True),
        (b"a.#.b", b"a.x.y.b", True),
        (b"*.#.*", b"a", False),
        (b"a..b", b"a..b", True),
        (b"a.*.b", b"a..b", True),
        (b"a", b"#", False),
        (b"#.#.#", b"a.b", True),
    ],
)
def test_edges_of_the_wildcards(pattern: bytes, key: bytes, expected: bool) -> None:
    trie: TopicTrie[int] = TopicTrie()
    trie.add(pattern, 1)
    assert bool(trie.match(key)) is expected


def test_the_longest_keys_with_wildcards_everywhere_are_matched_in_few_steps() -> None:
    trie: TopicTrie[int] = TopicTrie()
    trie.add(
        b".".join([b"#", b"a"] * 60), 1
    )  # exponential for whoever tries one way after the other
    trie.add(b".".join([b"#"] * 100), 2)
    assert set(trie.match(b".".join([b"a"] * 127))) == {1, 2}
    assert set(trie.match(b".".join([b"a"] * 126 + [b"b"]))) == {2}


def test_a_key_with_many_wildcards_for_any_number_is_refused() -> None:
    check_binding_key(b"#.a.#.b.#.c.#")
    check_binding_key(b".".join([b"#"] * 100))  # says no more than one
    with pytest.raises(ChannelError, match="uses 5 '#' wildcards"):
        check_binding_key(b"#.a.#.b.#.c.#.d.#")
