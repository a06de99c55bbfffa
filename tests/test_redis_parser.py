"""Redis requests: the same whatever the cuts, and Redis's own words for what is wrong with them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hubbub.protocols.redis import parser
from hubbub.protocols.redis.parser import RequestParser
from redis_double import request

FRAMES = {
    "multibulk": (request("PUBLISH", "a", "b"), [[b"PUBLISH", b"a", b"b"]]),
    "line ends inside": (request("ECHO", b"\r\n$1\r\n"), [[b"ECHO", b"\r\n$1\r\n"]]),
    "an empty argument": (request("ECHO", ""), [[b"ECHO", b""]]),
    "nothing to do": (b"*0\r\n*-1\r\n\r\n \r\n", []),
    "inline": (b"PING\r\nping\n  ECHO  x \r\n", [[b"PING"], [b"ping"], [b"ECHO", b"x"]]),
    "inline quotes": (
        b"""a "b \\x41\\n\\q\\"" 'c \\' \\n'\r\n""",
        [[b"a", b'b A\nq"', b"c ' \\n"]],
    ),
    "an empty word": (b"ECHO ''\r\n", [[b"ECHO", b""]]),
    "both kinds": (b"PING\r\n" + request("PING") + b"PING\r\n", [[b"PING"]] * 3),
}

FAILURES = {
    b"*x\r\n": "invalid multibulk length",
    b"*\r\n": "invalid multibulk length",
    b"*01\r\n": "invalid multibulk length",
    b"*1048577\r\n": "invalid multibulk length",
    b"*99999999999999999999999\r\n": "invalid multibulk length",
    b"*1\r\n$-1\r\n": "invalid bulk length",
    b"*1\r\n$x\r\n": "invalid bulk length",
    b"*1\r\n$536870912\r\n": "invalid bulk length",
    b"*1\r\n:1\r\n": "expected '$', got ':'",
    b"*1\r\nPING\r\n": "expected '$', got 'P'",
    b'"unfinished\r\n': "unbalanced quotes in request",
    b"'unfinished\r\n": "unbalanced quotes in request",
    b'"a"b\r\n': "unbalanced quotes in request",
    b"x" * (parser.MAX_LINE_BYTES + 1): "too big inline request",
    b"*" + b"1" * parser.MAX_LINE_BYTES: "too big mbulk count string",
    b"*1\r\n$" + b"1" * parser.MAX_LINE_BYTES: "too big bulk count string",
    b"GET /x HTTP/1.1\r\n": "",
    b"OPTIONS * HTTP/1.0\r\n": "",
}


class Stream:
    """A parser and what it left of the bytes before."""

    def __init__(self):
        self.parser = RequestParser()
        self.kept = b""

    def feed(self, data):
        self.kept += data

    def take(self, limit=0):
        taken, used = self.parser.requests(self.kept, limit)
        self.kept = self.kept[used:]
        return taken


def parse(*pieces, **settings):
    requests = Stream()
    for name, value in settings.items():
        setattr(requests.parser, name, value)
    taken = []
    for piece in pieces:
        requests.feed(piece)
        taken += requests.take()
    return taken, requests.parser.failure


def cut(data, places):
    edges = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_cut_in_two_anywhere_is_the_same_frame(name):
    data, expected = FRAMES[name]
    for at in range(len(data) + 1):
        assert parse(data[:at], data[at:]) == (expected, None)


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_fed_byte_by_byte_is_the_same_frame(name):
    data, expected = FRAMES[name]
    assert parse(*(data[at : at + 1] for at in range(len(data)))) == (expected, None)


def test_a_truncated_request_is_waited_for():
    data = request("PUBLISH", "channel", "payload")
    for end in range(len(data)):
        assert parse(data[:end]) == ([], None)


@pytest.mark.parametrize(("data", "failure"), FAILURES.items(), ids=lambda value: str(value)[:30])
def test_what_is_wrong_is_said_in_redis_words_and_ends_everything(data, failure):
    before = request("PING")
    assert parse(before + data + request("PING")) == ([[b"PING"]], failure)


@pytest.mark.parametrize(
    ("data", "failure"),
    [(data, failure) for data, failure in FAILURES.items() if len(data) < 100],
    ids=lambda value: str(value)[:30],
)
def test_what_is_wrong_does_not_depend_on_the_cuts(data, failure):
    assert parse(*(data[at : at + 1] for at in range(len(data)))) == ([], failure)


LIKELY = st.sampled_from(
    [b"*1\r\n", b"*2\r\n", b"$4\r\n", b"PING", b"\r\n", b"\r", b"\n", b"*", b"$", b'"', b"'", b"\\x",
     b"-1", b"0", b" ", b"ECHO a", b"\x00", b"\xff", b"*-1\r\n", b"$0\r\n", b"HTTP/1.1"]
)  # fmt: skip
BYTES = st.one_of(st.binary(max_size=60), st.lists(LIKELY, max_size=20).map(b"".join))


@settings(max_examples=300)
@given(BYTES, st.data())
@example(b"*1\r\n$4\r\nPINGxxPING\r\n", None)
def test_any_bytes_parse_the_same_whatever_the_cuts(data, draw):
    places = (
        draw.draw(st.lists(st.integers(0, len(data)), max_size=8)) if draw else range(len(data))
    )
    assert parse(*cut(data, places)) == parse(data)


@settings(max_examples=100)
@given(st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=5), max_size=5))
def test_every_request_survives_the_wire(requests):
    assert parse(b"".join(request(*each) for each in requests)) == (requests, None)


def test_requests_come_in_the_number_asked_for():
    requests = Stream()
    requests.feed(request("PING") * 3)
    assert [len(requests.take(1)), len(requests.take(1)), len(requests.take(0))] == [1, 1, 1]
    assert requests.take() == []


def test_an_announced_length_takes_no_memory():
    requests = Stream()
    requests.feed(b"*1048576\r\n$33554432\r\n")
    assert requests.take() == []
    assert requests.kept == b""
    assert requests.parser.failure is None


def test_more_than_a_whole_request_may_hold_is_hung_up_on_in_silence():
    half = parser.MAX_BULK_BYTES
    announced = b"*3\r\n$%d\r\n" % half
    requests = Stream()
    requests.parser.max_request_bytes = half + 1000
    requests.feed(announced + b"x" * half + b"\r\n$1000\r\n")
    assert requests.take() == []
    assert requests.parser.failure == ""


@pytest.mark.parametrize(
    ("data", "failure"),
    [
        (b"*11\r\n", "unauthenticated multibulk length"),
        (b"*10\r\n$16385\r\n", "unauthenticated bulk length"),
        (b"*10\r\n$16384\r\n", None),
    ],
)
def test_before_authentication_requests_are_small(data, failure):
    assert parse(data, trusted=False) == ([], failure)
    assert parse(data) == ([], None)


def test_the_longest_line_is_still_a_line():
    line = b"x" * (parser.MAX_LINE_BYTES - 1)
    assert parse(line + b"\r\n") == ([[line]], None)
