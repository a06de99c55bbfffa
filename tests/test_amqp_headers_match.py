"""Headers exchanges: x-match and the values that are the same."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.protocols.amqp.arguments import comparables
from hubbub.protocols.amqp.errors import ChannelError
from hubbub.protocols.amqp.headers_match import HeadersMatch, check_match
from hubbub.protocols.amqp.tables import Decimal, Field, table_of


def wanted(arguments: dict[str, Any], headers: dict[str, Any]) -> bool:
    return HeadersMatch(table_of(arguments)).matches(comparables(table_of(headers)))


@pytest.mark.parametrize(
    ("rule", "headers", "expected"),
    [
        ("all", {"a": 1, "b": 2, "c": 3}, True),
        ("all", {"a": 1}, False),
        ("any", {"a": 1}, True),
        ("any", {"a": 2}, False),
        ("any", {}, False),
        (None, {"a": 1, "b": 2}, True),
        (None, {"a": 1}, False),
    ],
)
def test_all_are_wanted_unless_any_is_said(
    rule: str | None, headers: dict[str, Any], expected: bool
) -> None:
    arguments = {"a": 1, "b": 2} | ({} if rule is None else {"x-match": rule})
    assert wanted(arguments, headers) is expected


@pytest.mark.parametrize(
    ("rule", "headers", "expected"),
    [
        ("all", {"a": 1}, True),
        ("all-with-x", {"a": 1}, False),
        ("all-with-x", {"a": 1, "x-b": 2}, True),
        ("any", {"x-b": 2}, False),
        ("any-with-x", {"x-b": 2}, True),
    ],
)
def test_names_with_x_count_only_where_that_is_said(
    rule: str, headers: dict[str, Any], expected: bool
) -> None:
    assert wanted({"x-match": rule, "a": 1, "x-b": 2}, headers) is expected


def test_a_binding_that_wants_nothing_gets_all_or_nothing() -> None:
    assert wanted({}, {"a": 1})
    assert wanted({"x-match": "all"}, {})
    assert not wanted({"x-match": "any"}, {"a": 1})


def test_a_void_value_asks_for_the_header_only() -> None:
    assert wanted({"a": None}, {"a": "whatever"})
    assert wanted({"a": None}, {"a": None})
    assert not wanted({"a": None}, {"b": 1})


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Field("b", 1), Field("l", 1), True),
        (Field("i", 1), Field("d", 1.0), False),
        (Field("f", 1.0), Field("d", 1.0), True),
        (Field("t", True), Field("l", 1), False),
        (Field("S", b"a"), Field("x", b"a"), True),
        (Field("S", b"1"), Field("l", 1), False),
        (Field("T", 1), Field("l", 1), False),
        (Field("T", 1), Field("T", 1), True),
        (Field("D", Decimal(1, 5)), Field("D", Decimal(1, 5)), True),
        (Field("A", [Field("b", 1)]), Field("A", [Field("l", 1)]), True),
        (Field("A", [Field("b", 1)]), Field("A", [Field("t", True)]), False),
        (Field("F", {"a": Field("b", 1)}), Field("F", {"a": Field("l", 1)}), True),
        (Field("F", {"a": Field("b", 1)}), Field("F", {}), False),
    ],
)
def test_values_are_the_same_by_kind_and_not_by_width(
    one: Field, other: Field, expected: bool
) -> None:
    assert wanted({"a": one}, {"a": other}) is expected
    assert wanted({"a": other}, {"a": one}) is expected


def test_a_rule_that_is_none_is_refused() -> None:
    for rule in ("all", "any", "all-with-x", "any-with-x"):
        check_match(table_of({"x-match": rule}))
    check_match({})
    with pytest.raises(ChannelError) as caught:
        check_match(table_of({"x-match": "some"}))
    assert caught.value.text == (
        'Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x'
    )
    with pytest.raises(ChannelError) as caught:
        check_match(table_of({"x-match": 1}))
    assert caught.value.text == "Invalid x-match field type long (value 1); expected longstr"
