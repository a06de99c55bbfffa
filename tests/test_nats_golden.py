"""What real clients send, and what they need to hear; what a real nats-server answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from nats_double import Connection, nats_listener

GOLDEN = Path(__file__).parent / "golden" / "nats"
CLOSED = " (closed)"
SETTINGS = {
    "": {},
    "_userpass": {"user": "user", "password": "secret"},
    "_token": {"token": "secret"},
    "_limits": {"max_subscriptions": 2, "max_payload": 100, "max_control_line": 60},
}


# Where we differ on purpose: a leading wildcard leaves names alone that begin with "$", in every
# protocol (docs/protocols/nats.md).
OURS = {r"PUB $foo 2\r\nhi\r\n"}


def lines_of(path):
    """(direction, bytes) of each line."""
    found = [line for line in path.read_text().splitlines() if line[:1] in "<>" and line]
    return [(line[0], line[2:]) for line in found]


def raw(text):
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def pairs():
    for suffix, settings in SETTINGS.items():
        lines = lines_of(GOLDEN / f"nats-server_2.9.10{suffix}.txt")
        for (_, request), (_, reply) in zip(lines[::2], lines[1::2], strict=True):
            if not any(ours in request for ours in OURS):
                yield pytest.param(settings, request, reply, id=f"{suffix[1:]} {request[:60]}")


@pytest.mark.parametrize(("settings", "request_", "reply"), list(pairs()))
def test_the_answer_is_the_one_that_nats_server_gives(settings, request_, reply):
    connection = Connection(nats_listener(**settings))
    assert connection.ask(raw(request_)) == raw(reply.removesuffix(CLOSED))
    assert connection.closed == reply.endswith(CLOSED)


@pytest.mark.parametrize(("settings", "request_", "reply"), list(pairs()))
def test_bytes_that_come_one_by_one_are_answered_alike(settings, request_, reply):
    connection = Connection(nats_listener(**settings))
    stream = raw(request_)
    heard = b"".join(connection.ask(stream[at : at + 1]) for at in range(len(stream)))
    assert heard == raw(reply.removesuffix(CLOSED))
    assert connection.closed == reply.endswith(CLOSED)


CLIENTS = [p for p in sorted(GOLDEN.glob("*.txt")) if not p.stem.startswith("nats-server")]


def recorded(path):
    """The settings, all that the client sent, and all that it was answered."""
    settings = next(
        (SETTINGS[name] for name in ("_userpass", "_token") if path.stem.endswith(name)), {}
    )
    lines = [line for line in lines_of(path) if not line[1].startswith("INFO")]
    requests = b"".join(raw(text) for direction, text in lines if direction == ">")
    replies = b"".join(raw(text) for direction, text in lines if direction == "<")
    return settings, requests, replies


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.stem)
def test_a_client_is_answered_as_it_was_when_recorded(path):
    settings, requests, replies = recorded(path)
    assert Connection(nats_listener(**settings)).ask(requests) == replies


@pytest.mark.parametrize("path", CLIENTS, ids=lambda path: path.stem)
def test_a_client_is_answered_alike_wherever_its_stream_is_cut(path):
    settings, requests, replies = recorded(path)
    listener = nats_listener(**settings)
    for cut in range(len(requests) + 1):
        connection = Connection(listener)
        heard = connection.ask(requests[:cut])
        assert replies.startswith(heard), cut
        assert heard + connection.ask(requests[cut:]) == replies, cut
        connection.session.disconnected()
