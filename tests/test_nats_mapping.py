"""Subjects and addresses: nothing is lost between them, whatever either holds."""

from __future__ import annotations

import contextlib
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hubbub.model.address import MAX_LEVELS, from_levels, from_opaque, parse_address
from hubbub.model.errors import InvalidAddressError
from hubbub.model.pattern import MANY, ONE, Exact, Wildcard, parse_pattern
from hubbub.protocols.nats.codec import decode_headers, encode_error, encode_headers
from hubbub.protocols.nats.mapping import address_of, is_literal, pattern_of, spelled
from nats_double import QUIET, Connection, nats_listener, pub

# Texts that come close to being escapes themselves are the ones that break escaping.
TRICKY = st.sampled_from(["%", "-", "2", "5", "0", " ", "E", ".", "é", "e\u0301", "\xa0", "*", ">"])
TEXTS = st.lists(TRICKY, max_size=8).map("".join) | st.text(max_size=12)
ADDRESSES = st.one_of(
    st.lists(TEXTS, min_size=1, max_size=5).map(from_levels),
    TEXTS.map(lambda text: from_opaque(text.encode("utf-8", "replace"))),
    st.binary(max_size=20).map(from_opaque),
)
TOKENS = st.one_of(
    st.lists(TRICKY, min_size=1, max_size=8).map("".join),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8),
).map(lambda token: unicodedata.normalize("NFC", token).replace(" ", "_").replace(".", ""))
SUBJECTS = st.lists(TOKENS.filter(bool), min_size=1, max_size=5).map(lambda x: ".".join(x).encode())
RAW_TOKENS = st.one_of(
    st.sampled_from([b"a", b"\xc3\xa9", b"e\xcc\x81", b"\xff", b"\x01", b"%01", b"%-", b"%25-"]),
    st.binary(min_size=1, max_size=4),
).filter(lambda token: not {*b" \t\r\n.*>"} & set(token))


@given(ADDRESSES)
def test_an_address_is_a_subject_and_comes_back_as_it_was(address):
    subject = spelled(address)
    assert address_of(subject) == address
    assert not any(byte <= 0x20 or byte == 0x7F for byte in subject)
    assert b"" not in subject.split(b".")
    assert subject.count(b".") == address.count(".")


@given(SUBJECTS)
def test_a_subject_of_printable_text_is_shown_as_it_was_sent(subject):
    assert spelled(address_of(subject)) == subject


@given(ADDRESSES, ADDRESSES)
def test_different_addresses_are_different_subjects(one, other):
    assert (spelled(one) == spelled(other)) == (one == other)


@given(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=30))
def test_ordinary_subjects_are_their_own_addresses(text):
    text = unicodedata.normalize("NFC", text).replace("%", "").strip(".")
    assume(text and ".." not in text)
    assert address_of(text.encode()) == text
    assert spelled(parse_address(text)) == text.encode()


@pytest.mark.parametrize(
    ("address", "subject"),
    [
        ("orders.eu", b"orders.eu"),
        ("living room.lamp", b"living%20room.lamp"),
        ("", b"%-"),
        (".", b"%-.%-"),
        ("a..b", b"a.%-.b"),
        (".a.", b"%-.a.%-"),
        ("%-", b"%25-"),
        ("%25-", b"%2525-"),
        ("a.%20.b", b"a.%2520.b"),
        ("a b.%20", b"a%20b.%2520"),
        ("100%", b"100%"),
        ("%2F", b"%2F"),
        ("caf\xe9", b"caf\xc3\xa9"),
        ("a\xa0b", b"a\xc2\xa0b"),
    ],
)
def test_what_a_subject_cannot_hold_is_escaped(address, subject):
    assert spelled(parse_address(address)) == subject
    assert address_of(subject) == address


@pytest.mark.parametrize(
    ("subject", "address"),
    [(b"a\x01b", "a%01b"), (b"\xff.a", "%FF.a"), (b"e\xcc\x81", "e%CC%81"), (b"a\x7f", "a%7F")],
)
def test_bytes_that_are_no_text_are_shown_escaped(subject, address):
    assert address_of(subject) == address
    assert spelled(address_of(subject)) == address.encode()
    assert address_of(address.encode()) == address


@pytest.mark.parametrize(
    "subject", [b"", b".", b"a..b", b".a", b"a.", b"%-..a", b"x." * MAX_LEVELS + b"x"]
)
def test_a_subject_with_an_empty_token_or_too_many_is_none(subject):
    with pytest.raises(InvalidAddressError):
        address_of(subject)
    with pytest.raises(InvalidAddressError):
        pattern_of(subject)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_subject_or_an_error(subject):
    for parse in (address_of, pattern_of):
        with contextlib.suppress(InvalidAddressError):
            parse(subject)
    is_literal(subject)


# Patterns


@pytest.mark.parametrize("text", ["a.*", "*", ">", "a.>", "*.b.>", "*.*", "a", "a.b"])
def test_wildcards_mean_what_ours_mean(text):
    assert pattern_of(text.encode()) == parse_pattern(text)


@pytest.mark.parametrize("text", ["a*", "*a.b", "a>.b", ">a", "a.**", "#", "a.#"])
def test_a_wildcard_inside_a_token_is_a_letter(text):
    assert pattern_of(text.encode()) == Exact(parse_address(text))


@pytest.mark.parametrize("subject", [b">.a", b"*.>.a", b"a..*", b"*."])
def test_a_pattern_that_nats_or_we_cannot_have_is_refused(subject):
    with pytest.raises(InvalidAddressError):
        pattern_of(subject)


def test_what_is_a_wildcard_to_others_is_a_letter_beside_wildcards():
    assert pattern_of(b"#.*") == Wildcard(("#", ONE))
    assert pattern_of(b"a.#.>") == Wildcard(("a", "#", MANY))


def test_escapes_in_a_pattern_mean_what_they_mean_in_a_subject():
    assert pattern_of(b"%-.a%20b.*.%25-") == Wildcard(("", "a b", ONE, "%-"))


@given(st.lists(RAW_TOKENS, min_size=1, max_size=4), st.data())
def test_a_wildcard_stands_for_a_token_whatever_the_others_hold(tokens, data):
    starred = data.draw(st.lists(st.booleans(), min_size=len(tokens), max_size=len(tokens)))
    pattern = [b"*" if star else token for token, star in zip(tokens, starred, strict=True)]
    client = Connection(nats_listener(), QUIET + b"SUB %b 1\r\n" % b".".join(pattern))
    heard = client.ask(pub(b".".join(tokens)))
    internal = tokens[0].startswith((b"$", b"__")) and starred[0]
    assert heard.startswith(b"MSG ") != internal


# Headers and errors


@given(
    st.lists(st.tuples(st.sampled_from([b"A", b"a", b"X-Y"]), st.binary(max_size=9)), max_size=5)
)
def test_headers_come_back_in_order(pairs):
    pairs = [(name, value.replace(b"\r", b"").replace(b"\n", b"").strip()) for name, value in pairs]
    assert decode_headers(encode_headers(pairs)) == pairs


@given(st.text(max_size=30))
def test_an_error_is_one_line_with_two_quotes(text):
    line = encode_error(text.replace("\ud800", ""))
    assert line.count(b"\n") == line.count(b"\r") == 1
    assert line.count(b"'") == 2
