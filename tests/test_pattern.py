from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.model import glob
from hubbub.model.errors import InvalidAddressError
from hubbub.model.pattern import MAX_GLOB_BYTES, Exact, Glob, Wildcard, parse_pattern

parts = st.lists(st.sampled_from(["a", "b", "$s", "__i", ""]), min_size=1, max_size=5)
pattern_levels = st.lists(
    st.sampled_from(["a", "b", "$s", "__i", "", "*", "#"]), min_size=1, max_size=5
)


def matches_by_definition(pattern: list[str], levels: list[str]) -> bool:
    """What the three wildcards mean, said as plainly as recursion can."""
    if not pattern:
        return not levels
    head, rest = pattern[0], pattern[1:]
    if head == ">":
        return bool(levels)
    if head == "#":
        return any(matches_by_definition(rest, levels[n:]) for n in range(len(levels) + 1))
    return bool(levels) and head in {"*", levels[0]} and matches_by_definition(rest, levels[1:])


@given(pattern_levels, st.booleans(), parts)
def test_wildcards_mean_what_they_say(pattern, ends_with_many, levels):
    if ends_with_many:
        pattern = [*pattern, ">"]
    hidden = levels[0].startswith(("$", "__")) and pattern[0] in {"*", "#", ">"}
    expected = matches_by_definition(pattern, levels) and not hidden
    assert parse_pattern(".".join(pattern)).matches(".".join(levels)) == expected


@given(parts, parts)
def test_an_exact_pattern_matches_itself_alone_and_reads_as_its_address(one, other):
    pattern = parse_pattern(".".join(one))
    assert pattern.matches(".".join(other)) == (one == other)
    assert str(pattern) == ".".join(one)


@given(pattern_levels, st.booleans())
def test_a_pattern_reads_as_it_was_written(pattern, ends_with_many):
    text = ".".join([*pattern, ">"] if ends_with_many else pattern)
    assert str(parse_pattern(text)) == text


@given(pattern_levels, pattern_levels)
def test_many_levels_before_the_end_are_refused_everywhere(before, after):
    with pytest.raises(InvalidAddressError):
        parse_pattern(".".join([*before, ">", *after]))


@given(st.text(alphabet="ab*?[]", max_size=20), st.integers(MAX_GLOB_BYTES - 3, MAX_GLOB_BYTES + 3))
def test_a_glob_reads_as_it_was_written_up_to_its_limit(text, size):
    assert str(Glob(text.encode())) == text
    if size > MAX_GLOB_BYTES:
        with pytest.raises(InvalidAddressError):
            Glob(b"a" * size)
    else:
        assert Glob(b"a" * size).matches_name(b"a" * size)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("orders.*", ["orders.new"], ["orders", "orders.eu.new"]),
        ("orders.>", ["orders.new", "orders.eu.new"], ["orders"]),
        ("orders.#", ["orders", "orders.eu.new"], ["order"]),
        ("#.created", ["created", "orders.eu.created"], ["orders.eu"]),
        ("orders.#.created", ["orders.created", "orders.a.b.created"], ["orders.a"]),
        (">", ["a", "a.b"], ["$SYS.a", "__consumer_offsets"]),
        ("$SYS.>", ["$SYS.a"], ["$SYS"]),
    ],
)
def test_the_examples_of_the_documentation(pattern, yes, no):
    compiled = parse_pattern(pattern)
    assert [compiled.matches(address) for address in yes] == [True] * len(yes)
    assert [compiled.matches(address) for address in no] == [False] * len(no)


def test_a_text_without_wildcard_levels_is_one_address():
    assert parse_pattern("a*b.c#") == Exact("a*b.c#")
    assert isinstance(parse_pattern("a.*"), Wildcard)


def test_many_levels_stand_only_at_the_end():
    with pytest.raises(InvalidAddressError):
        parse_pattern("a.>.b")


def test_a_pattern_made_to_backtrack_stays_cheap():
    pattern = parse_pattern(".".join(["#", "a"] * 60))
    assert not pattern.matches(".".join(["a"] * 100 + ["b"]))


def by_regular_expression(pattern: str) -> str:
    """Redis's glob as a regular expression, for patterns that both read alike."""
    return fnmatch.translate(pattern)


@given(st.text(alphabet="ab*?", max_size=10), st.text(alphabet="ab", max_size=12))
def test_stars_and_question_marks_match_as_everywhere(pattern, name):
    expected = re.match(by_regular_expression(pattern), name) is not None
    assert glob.matches(pattern.encode(), name.encode()) == expected


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_no_glob_and_no_name_break_the_matcher(pattern, name):
    assert glob.matches(pattern, name) in {True, False}
    assert glob.matches(b"*", name)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (b"h[ae]llo", b"hallo", True),
        (b"h[^e]llo", b"hello", False),
        (b"h[^e]llo", b"hbllo", True),
        (b"h[a-b]llo", b"hbllo", True),
        (b"h[b-a]llo", b"hbllo", True),
        (b"h\\*llo", b"h*llo", True),
        (b"h\\*llo", b"hello", False),
        (b"[\\]]", b"]", True),
        (b"[a", b"a", True),
        (b"[", b"[", False),
        (b"a\\", b"a\\", True),
        (b"*\\", b"x\\", True),
        (b"", b"", True),
        (b"", b"a", False),
        (b"***", b"", True),
        (b"\xff?", b"\xff\x00", True),
    ],
)
def test_classes_escapes_and_odd_ends_match_as_in_redis(pattern, name, expected):
    assert glob.matches(pattern, name) is expected


def test_a_glob_too_long_to_match_quickly_is_refused():
    assert Glob(b"a" * MAX_GLOB_BYTES).matches_name(b"a" * MAX_GLOB_BYTES)
    with pytest.raises(InvalidAddressError):
        Glob(b"a" * (MAX_GLOB_BYTES + 1))
