"""Replies in both versions of the protocol."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.protocols.redis.codec import (
    RESP2,
    RESP3,
    Failure,
    Push,
    Set,
    Simple,
    Verbatim,
    encode,
    encode_failure,
)

VALUES = [
    (7, b":7\r\n", b":7\r\n"),
    (b"a\r\nb", b"$4\r\na\r\nb\r\n", b"$4\r\na\r\nb\r\n"),
    ("é", b"$2\r\n\xc3\xa9\r\n", b"$2\r\n\xc3\xa9\r\n"),
    (Simple("OK"), b"+OK\r\n", b"+OK\r\n"),
    (None, b"$-1\r\n", b"_\r\n"),
    (True, b":1\r\n", b"#t\r\n"),
    (False, b":0\r\n", b"#f\r\n"),
    (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
    ([1, [b"a", None]], b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n",
     b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n_\r\n"),
    (Set(["a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
    (Push(["a", 1]), b"*2\r\n$1\r\na\r\n:1\r\n", b">2\r\n$1\r\na\r\n:1\r\n"),
    ({"a": 1}, b"*2\r\n$1\r\na\r\n:1\r\n", b"%1\r\n$1\r\na\r\n:1\r\n"),
    (Verbatim("ab"), b"$2\r\nab\r\n", b"=6\r\ntxt:ab\r\n"),
    (Failure("ERR no"), b"-ERR no\r\n", b"-ERR no\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "resp2", "resp3"), VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_in_both_versions(value, resp2, resp3):
    assert encode(value, RESP2) == resp2
    assert encode(value, RESP3) == resp3


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from("\r\n\t ab\x00é")))
def test_an_error_is_one_line_whatever_it_quotes(text):
    line = encode_failure(f"ERR {text}")
    assert line.endswith(b"\r\n")
    assert b"\r" not in line[:-2]
    assert b"\n" not in line[:-2]


def test_bytes_that_are_no_text_come_back_in_an_error_as_they_were():
    quoted = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert encode_failure(f"ERR '{quoted}'") == b"-ERR '\xff\xfe'\r\n"
