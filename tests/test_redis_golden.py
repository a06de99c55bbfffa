"""What real clients send, and what they need to hear; what a real redis-server answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from redis_double import Connection, small_listener

GOLDEN = Path(__file__).parent / "golden" / "redis"
CLOSED = " (closed)"


def exchanges(path):
    """Pairs of a request and its reply, as bytes."""
    lines = [line for line in path.read_text().splitlines() if line[0] in "<>"]
    texts = [line[2:] for line in lines]
    return list(zip(texts[::2], texts[1::2], strict=True))


def raw(text):
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


CLIENTS = [
    path for path in sorted(GOLDEN.glob("*.txt")) if not path.stem.startswith("redis-server")
]


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.stem)
def test_a_client_is_answered_request_by_request(path):
    connection = Connection(small_listener())
    for request, reply in exchanges(path):
        assert connection.ask(raw(request)) == raw(reply)


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.stem)
def test_a_client_that_pipelines_gets_the_same_answers(path):
    requests, replies = zip(*exchanges(path), strict=True)
    assert Connection(small_listener()).ask(raw("".join(requests))) == raw("".join(replies))


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.stem)
def test_a_client_cut_into_single_bytes_gets_the_same_answers(path):
    requests, replies = zip(*exchanges(path), strict=True)
    connection = Connection(small_listener())
    stream = raw("".join(requests))
    heard = b"".join(connection.ask(stream[at : at + 1]) for at in range(len(stream)))
    assert heard == raw("".join(replies))


@pytest.mark.parametrize(
    ("requests", "reply"),
    exchanges(GOLDEN / "redis-server_7.0.15.txt"),
    ids=lambda text: text[:40],
)
def test_the_answer_is_the_one_that_redis_gives(requests, reply):
    connection = Connection(small_listener())
    assert connection.ask(raw(requests)) == raw(reply.removesuffix(CLOSED))
    assert connection.closed == reply.endswith(CLOSED)
