"""Topic names and addresses: nothing is lost between them, and filters match what MQTT says."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hubbub.model.address import MAX_LEVELS, from_levels, from_opaque
from hubbub.model.errors import InvalidAddressError
from hubbub.model.pattern import Exact
from hubbub.protocols.mqtt import names
from hubbub.protocols.mqtt.fields import MAX_STRING_BYTES
from hubbub.protocols.mqtt.names import (
    InvalidNameError,
    MalformedNameError,
    TooManyLevelsError,
    address_of,
    pattern_of,
    spelled,
    split_share,
)

# Texts that come close to being escapes themselves are the ones that break escaping.
TRICKY = st.sampled_from(
    [
        *("%", "2", "5", "25", "%25", "%2F", "%FF", "%C3%A9", "2B", "FF", "E9", "_", "x2E_", "."),
        *(" ", "é", "e\u0301", "\xa0", "\ufeff", "a", "$", "*", ">", "\x01", "\x7f", "\U0001f600"),
    ]
)
LEVELS = st.lists(TRICKY, max_size=6).map("".join) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/+#\0"), max_size=8
)
TOPICS = (
    st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool).map(lambda t: t.encode())
)
RAW = st.one_of(
    st.sampled_from([b"%", b"25", b"FF", b"\xff", b"\xc3", b"\xa9", b"/", b"+", b"#", b"\0", b"a"]),
    st.binary(max_size=3),
)
ADDRESSES = st.one_of(
    st.lists(st.lists(TRICKY, max_size=6).map("".join), min_size=1, max_size=5).map(from_levels),
    st.lists(st.text(max_size=8), min_size=1, max_size=4).map(
        lambda parts: from_levels([part.encode("utf-8", "replace").decode() for part in parts])
    ),
    st.lists(RAW, min_size=1, max_size=8).map(b"".join).filter(bool).map(from_opaque),
    TOPICS.map(address_of),
)


@settings(max_examples=1000)
@given(TOPICS)
def test_a_topic_name_is_shown_as_it_was_sent(topic):
    assert spelled(address_of(topic)) == topic


@settings(max_examples=1000)
@given(ADDRESSES)
def test_an_address_is_a_topic_name_and_comes_back_as_it_was(address):
    topic = spelled(address)
    topic.decode()
    assert not {*b"+#\0"} & set(topic)
    assert topic.count(b"/") == address.count(".")
    if topic:
        assert address_of(topic) == address
    else:  # which nobody can publish to
        assert address == ""


@given(TOPICS, TOPICS)
def test_different_topic_names_are_different_addresses(one, other):
    assert (address_of(one) == address_of(other)) == (one == other)


@given(ADDRESSES, ADDRESSES)
def test_different_addresses_are_different_topic_names(one, other):
    assert (spelled(one) == spelled(other)) == (one == other)


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20))
def test_an_ordinary_level_is_its_own_level(text):
    text = unicodedata.normalize("NFC", text)
    assume(not text.startswith("_"))
    assert address_of(f"sport/{text}".encode()) == f"sport.{text}"


@given(st.binary(max_size=30))
def test_any_bytes_are_a_topic_name_or_an_error(topic):
    try:
        address = address_of(topic)
    except InvalidNameError:
        return
    assert spelled(address) == topic


@given(st.binary(max_size=30))
def test_any_bytes_are_a_topic_filter_or_an_error(text):
    try:
        pattern = pattern_of(text)
    except InvalidNameError:
        return
    assert pattern == pattern_of(text)
    assert isinstance(pattern, Exact) == (not {*b"+#"} & set(text))


def test_an_address_too_long_for_a_topic_name_has_none():
    longest = from_opaque(b"/" * (MAX_STRING_BYTES // 3))
    assert len(spelled(longest)) == MAX_STRING_BYTES
    assert spelled(from_opaque(b"/" * (MAX_STRING_BYTES // 3 + 1))) == b""


@pytest.mark.parametrize(
    "topic", [b"", b"a/+", b"#", b"a#", b"\xff", b"a\0", b"\0%", b"\xed\xa0\x80"]
)
def test_what_the_specification_forbids_is_malformed(topic):
    with pytest.raises(MalformedNameError):
        address_of(topic)


@pytest.mark.parametrize("text", [b"", b"#/a", b"a#", b"+a", b"a/#/b", b"a/b+", b"\xff/+", b"+/\0"])
def test_a_filter_that_the_specification_forbids_is_malformed(text):
    with pytest.raises(MalformedNameError):
        pattern_of(text)


def test_there_are_as_many_levels_as_an_address_has():
    address_of(b"/" * (MAX_LEVELS - 1))
    pattern_of(b"+/" * (MAX_LEVELS - 1) + b"#")
    for make, text in ((address_of, b"/"), (pattern_of, b"/"), (pattern_of, b"+/")):
        with pytest.raises(TooManyLevelsError):
            make(text * MAX_LEVELS)


# Filters


def matches_by_definition(text, topic):
    """Section 4.7, said as plainly as recursion can."""
    if text[:1] == ["#"]:
        return True
    if not text or not topic:
        return text == topic
    return text[0] in {"+", topic[0]} and matches_by_definition(text[1:], topic[1:])


FEW = st.sampled_from(["a", "b", "", "$s", "%2F", "é", "."])


@settings(max_examples=1000)
@given(
    st.lists(FEW | st.just("+"), min_size=1, max_size=5),
    st.booleans(),
    st.lists(FEW, min_size=1, max_size=5),
)
def test_a_filter_matches_what_the_specification_says(text, ends_with_all, topic):
    if ends_with_all:
        text = [*text[:-1], "#"]
    assume("/".join(text) and "/".join(topic))
    hidden = topic[0].startswith("$") and text[0] in {"+", "#"}  # [MQTT-4.7.2-1]
    pattern = pattern_of("/".join(text).encode())
    found = pattern.matches(address_of("/".join(topic).encode()))
    assert found == (matches_by_definition(text, topic) and not hidden)


@given(TOPICS, TOPICS)
def test_a_filter_without_wildcards_matches_its_topic_alone(text, topic):
    assert pattern_of(text).matches(address_of(topic)) == (text == topic)


@given(st.integers(100, 200))
def test_a_filter_means_the_same_whether_or_not_it_is_remembered(size):
    for text in (b"a" * size, b"+/" + b"a" * size):
        pattern = pattern_of(text)
        assert pattern.matches(address_of(text.replace(b"+", b"b")))
        assert not pattern.matches(address_of(text.replace(b"+", b"b") + b"a"))


def test_long_filters_are_not_remembered():
    before = names._pattern_of.cache_info().currsize
    for number in range(20):
        pattern_of(b"%06d/" % number + b"x" * 60_000 + b"/+")
    assert names._pattern_of.cache_info().currsize == before


# Shared subscriptions


@given(st.sampled_from(["g", "é", "$", "a b"]), TOPICS)
def test_a_shared_filter_is_a_name_and_a_filter(name, topic):
    text = b"$share/" + name.encode() + b"/" + topic
    assert split_share(text) == (name.encode(), topic)


@pytest.mark.parametrize("text", [b"a", b"$share", b"$sharex/g/a", b"a/$share/g/a", b"/$share/g/a"])
def test_what_only_looks_like_a_shared_filter_is_none(text):
    assert split_share(text) is None


@pytest.mark.parametrize(
    "text", [b"$share/", b"$share/g", b"$share/g/", b"$share//a", b"$share/g+/a", b"$share/#/a"]
)
def test_a_shared_filter_without_a_name_or_a_filter_is_malformed(text):
    with pytest.raises(InvalidAddressError):
        split_share(text)
