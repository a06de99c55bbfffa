from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.model.address import (
    MAX_ADDRESS_BYTES,
    MAX_LEVELS,
    from_levels,
    from_opaque,
    from_raw,
    is_internal,
    levels,
    parse_address,
    to_opaque,
)
from hubbub.model.errors import InvalidAddressError
from hubbub.model.escape import Escape

# Texts that come close to being escapes themselves are the ones that break escaping.
TRICKY = st.sampled_from(["%", "2", "5", "E", "0", "C", ".", "\x00", "é", "e\u0301", "/", "\x7f"])
level_texts = st.lists(TRICKY, max_size=8).map("".join) | st.text(max_size=20)
level_lists = st.lists(level_texts, min_size=1, max_size=6)
names = st.binary(max_size=40) | st.lists(TRICKY, max_size=10).map(lambda x: "".join(x).encode())


@given(level_lists)
def test_levels_come_back_as_they_were(parts):
    assert levels(from_levels(parts)) == tuple(parts)


@given(level_lists)
def test_an_address_is_text_that_every_protocol_can_carry(parts):
    address = from_levels(parts)
    assert unicodedata.is_normalized("NFC", address)
    assert not any(unicodedata.category(character) == "Cc" for character in address)
    assert address.count(".") == len(parts) - 1


@given(names)
def test_a_name_that_is_any_bytes_comes_back_as_it_was(name):
    assert to_opaque(from_opaque(name)) == name


@given(names, names)
def test_different_names_are_different_addresses(one, other):
    assert (from_opaque(one) == from_opaque(other)) == (one == other)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=30))
def test_ordinary_names_are_left_alone(text):
    text = unicodedata.normalize("NFC", text).replace("%", "")
    assert from_opaque(text.encode()) == text
    assert parse_address(text) == text


def test_a_dot_inside_a_level_does_not_part_it():
    assert from_levels(["spBv1.0", "group"]) == "spBv1%2E0.group"


@pytest.mark.parametrize(
    "text",
    [
        "a\nb",
        "a\x00",
        "\x85",
        "e\u0301",
        "\ud800",
        ".".join("a" * (MAX_LEVELS + 1)),
        "a" * (MAX_ADDRESS_BYTES + 1),
    ],
    ids=["newline", "nul", "C1 control", "not NFC", "surrogate", "too many levels", "too long"],
)
def test_a_name_that_no_protocol_could_carry_is_refused(text):
    with pytest.raises(InvalidAddressError):
        parse_address(text)


# What one rule each forbids, around any text at all.
FORBIDDEN = st.sampled_from(
    ["\n", "\x7f", "\x85", "\ud800", "e\u0301", "." * MAX_LEVELS, "a" * 65_536]
)


@given(st.text(max_size=20), FORBIDDEN, st.text(max_size=20))
def test_what_is_forbidden_is_refused_wherever_it_stands(before, forbidden, after):
    with pytest.raises(InvalidAddressError):
        parse_address(before + forbidden + after)


@given(st.text(max_size=20))
def test_a_text_is_an_address_as_it_is_or_none(text):
    try:
        address = parse_address(text)
    except InvalidAddressError:
        assert not unicodedata.is_normalized("NFC", text) or any(
            unicodedata.category(character) in {"Cc", "Cs"} for character in text
        )
    else:
        assert address == text
        assert is_internal(address) == text.startswith(("$", "__"))


def test_the_longest_and_deepest_names_are_accepted():
    assert parse_address(".".join("a" * MAX_LEVELS)).count(".") == MAX_LEVELS - 1
    assert len(parse_address("a" * MAX_ADDRESS_BYTES)) == MAX_ADDRESS_BYTES


def test_internal_names_begin_with_a_dollar_or_two_underscores():
    assert [is_internal(parse_address(text)) for text in ("$SYS.x", "__x", "_x", "x.$y")] == [
        True, True, False, False,
    ]  # fmt: skip


@given(st.binary(max_size=60), st.sampled_from([b"%", b"_x"]))
def test_any_alphabet_escapes_reversibly_and_keeps_its_promise(raw, mark):
    legal = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-%")
    escape = Escape(mark, set(range(256)) - legal)
    text = escape.encode(raw)
    assert set(text) <= legal
    assert escape.decode(text) == raw


@given(
    st.lists(st.sampled_from([b"_x", b"5F", b"x", b"20", b" ", b"_"]), max_size=12).map(b"".join)
)
def test_text_that_reads_like_an_escape_survives(raw):
    escape = Escape(b"_x", b" ")
    assert escape.decode(escape.encode(raw)) == raw


@given(st.lists(st.binary(max_size=6).filter(lambda part: b"." not in part), max_size=4))
def test_bytes_name_the_same_address_whoever_brings_them_and_level_by_level(parts):
    name = b".".join(parts)
    if b"%" not in name:
        assert from_opaque(name) == from_raw(name)
    assert from_opaque(name) == ".".join(from_opaque(part) for part in name.split(b"."))
    assert from_raw(name) == ".".join(from_raw(part) for part in name.split(b"."))
