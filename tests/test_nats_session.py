"""Connections: whether they live, who may use them, what CONNECT and SUB leave behind, hostile bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.model.errors import InvalidSettingsError
from hubbub.protocols.nats.session import FIRST_PING_SECONDS, FIRST_PING_SPREAD
from nats_double import QUIET, Connection, Delivered, frames, nats_listener, pass_time, pub

PING = b"PING\r\n"
PONG = b"PONG\r\n"
STALE = b"-ERR 'Stale Connection'\r\n"
TOO_LATE = b"-ERR 'Authentication Timeout'\r\n"
VIOLATION = b"-ERR 'Authorization Violation'\r\n"
LATEST_FIRST_PING = FIRST_PING_SECONDS * (1 + FIRST_PING_SPREAD)


@pytest.fixture
def listener():
    return nats_listener()


@pytest.fixture
def impatient():
    return nats_listener(ping_interval=1, ping_max=2)


# Is it there?


def test_the_first_ping_comes_two_seconds_after_connect_and_up_to_a_fifth_later(listener):
    clients = [Connection(listener, QUIET) for _ in range(50)]
    pass_time(listener, FIRST_PING_SECONDS - 0.001)
    assert [client.read() for client in clients] == [b""] * 50
    pass_time(listener, 0.001 + FIRST_PING_SECONDS * FIRST_PING_SPREAD / 2)
    early = [client.read() for client in clients]
    assert 0 < early.count(PING) < 50
    pass_time(listener, FIRST_PING_SECONDS * FIRST_PING_SPREAD / 2)
    assert [first + client.read() for first, client in zip(early, clients, strict=True)] == (
        [PING] * 50
    )


def test_a_client_that_never_said_connect_is_never_pinged(listener):
    client = Connection(listener)
    pass_time(listener, 10_000)
    assert client.read() == b""
    assert not client.closed


def test_a_short_interval_comes_before_the_first_ping(impatient):
    client = Connection(impatient, QUIET)
    pass_time(impatient, 1)
    assert client.read() == PING


def test_a_client_that_leaves_pings_unanswered_is_stale(impatient):
    client = Connection(impatient, QUIET)
    pass_time(impatient, 2)
    assert client.read() == PING * 2
    assert not client.closed
    pass_time(impatient, 1)
    assert client.read() == STALE
    assert client.closed


def test_a_client_that_answers_lives_on(impatient):
    client = Connection(impatient, QUIET)
    for _ in range(20):
        pass_time(impatient, 1)
        assert client.ask(PONG) == PING
    assert not client.closed


def test_a_client_that_sends_data_is_not_cut_off_though_it_never_answers(impatient):
    client = Connection(impatient, QUIET)
    heard = b""
    for _ in range(20):
        heard += client.ask(pub(b"a"))
        pass_time(impatient, 1)
    assert heard + client.read() == PING
    assert not client.closed
    pass_time(impatient, 2)
    assert client.read() == PING + STALE


def test_a_closed_connection_is_not_asked_any_more(impatient):
    ended, gone = Connection(impatient, QUIET), Connection(impatient, QUIET)
    ended.ask(b"NONSENSE\r\n")
    gone.session.disconnected()
    pass_time(impatient, 100)
    assert ended.read() == gone.read() == b""


# Who is it?


@pytest.mark.parametrize("secret", [{"token": "s"}, {"user": "u", "password": "s"}])
def test_who_says_nothing_is_sent_away_after_two_seconds(secret):
    listener = nats_listener(**secret)
    client = Connection(listener)
    assert b'"auth_required":true' in client.info
    pass_time(listener, 1.999)
    assert client.read() == b""
    pass_time(listener, 0.001)
    assert client.read() == TOO_LATE
    assert client.closed


def test_half_a_connect_does_not_stop_the_clock():
    listener = nats_listener(token="s", auth_timeout=1)
    client = Connection(listener, b'CONNECT {"auth_token":')
    pass_time(listener, 1)
    assert client.read() == TOO_LATE


def test_who_said_it_in_time_is_left_alone():
    listener = nats_listener(user="u", password="s")
    client = Connection(listener, b'CONNECT {"verbose":false,"user":"u","pass":"s"}\r\n')
    pass_time(listener, LATEST_FIRST_PING)
    assert client.ask(PONG) == PING
    assert client.session.subscriber.principal == "u"


@pytest.mark.parametrize("said", ['"user":"u","pass":"S"', '"user":"v","pass":"s"', '"user":"u"',
                                  '"pass":"s"', '"auth_token":"s"', '"user":"u","pass":"\\u2603"'])  # fmt: skip
def test_wrong_user_and_wrong_password_are_told_the_same(said):
    client = Connection(nats_listener(user="u", password="s"))
    assert client.ask(b"CONNECT {%b}\r\n" % said.encode() + PING) == VIOLATION
    assert client.closed


def test_a_second_connect_with_a_wrong_password_ends_what_was_open():
    listener = nats_listener(token="s")
    client = Connection(listener, b'CONNECT {"verbose":false,"auth_token":"s"}\r\nSUB a 1\r\n')
    assert client.ask(b'CONNECT {"auth_token":"x"}\r\n') == VIOLATION
    assert client.closed
    assert listener.broker.routes.of("a").observers == ()


def test_the_secret_is_in_no_info():
    client = Connection(nats_listener(user="u", password="s3cret", token="t0ken"))
    assert b"s3cret" not in client.info
    assert b"t0ken" not in client.info


@pytest.mark.parametrize(
    "chosen",
    [{"nonsense": 1}, {"max_payload": "much"}, {"max_payload": 0}, {"ping_interval": 0},
     {"auth_timeout": -1}, {"max_subscriptions": 0}, {"ping_max": 0}],
)  # fmt: skip
def test_a_setting_that_means_nothing_is_an_error(chosen):
    with pytest.raises(InvalidSettingsError):
        nats_listener(**chosen)


def test_info_says_what_clients_go_by(listener):
    first, second = Connection(listener).info, Connection(listener).info
    assert first.startswith(b"INFO {")
    assert first.endswith(b"} \r\n")
    for field in (b'"headers":true', b'"max_payload":1048576', b'"proto":1', b'"client_id":1,'):
        assert field in first
    assert b'"client_id":2,' in second
    assert b"jetstream" not in first


# CONNECT


def test_what_a_second_connect_leaves_out_stays(listener):
    client = Connection(listener, QUIET + b"SUB a 1\r\n")
    client.ask(b'CONNECT {"name":"me"}\r\n')
    assert client.ask(PING + pub(b"a", b"x", headers=b"NATS/1.0\r\n\r\n")) == (
        PONG + b"HMSG a 1 12 13\r\nNATS/1.0\r\n\r\nx\r\n"
    )
    assert client.session.subscriber.client == "me"


def test_a_subscription_made_before_connect_heeds_what_connect_says(listener):
    client = Connection(listener, b"SUB a 1\r\n" + QUIET)
    sent = pub(b"a", b"x", headers=b"NATS/1.0\r\n\r\n")
    assert client.ask(sent) == b"HMSG a 1 12 13\r\nNATS/1.0\r\n\r\nx\r\n"
    client.ask(b'CONNECT {"headers":false,"no_responders":false}\r\n')
    Connection(listener, QUIET).ask(sent)
    assert client.read() == b"MSG a 1 1\r\nx\r\n"


def test_echo_may_be_turned_off_later(listener):
    client = Connection(listener, QUIET + b"SUB a 1\r\n")
    assert client.ask(pub(b"a")) == b"MSG a 1 0\r\n\r\n"
    assert client.ask(b'CONNECT {"echo":false}\r\n' + pub(b"a")) == b""


@pytest.mark.parametrize("depth", [10, 1000, 4000])
def test_a_connect_that_is_nested_deeply_is_no_harm(listener, depth):
    client = Connection(listener)
    text = b'{"x":' + b"[" * depth
    client.session.receive(b"CONNECT " + text + b"\r\n" + PING)
    assert client.closed
    assert client.read() == b""


# SUB and UNSUB


def test_a_client_has_a_bounded_number_of_subscriptions():
    client = Connection(nats_listener(max_subscriptions=2), QUIET + b"SUB a 1\r\nSUB b 2\r\n")
    error = b"-ERR 'maximum subscriptions exceeded'\r\n"
    assert client.ask(b"SUB c 3\r\n" + PING) == error + PONG
    assert client.ask(b"UNSUB 1\r\nSUB c 3\r\n" + PING) == PONG
    assert client.ask(pub(b"a") + pub(b"c")) == b"MSG c 3 0\r\n\r\n"


def test_a_sid_in_use_keeps_its_subscription(listener):
    client = Connection(listener, QUIET + b"SUB a 1\r\nSUB b 1\r\n")
    assert client.ask(pub(b"a") + pub(b"b")) == b"MSG a 1 0\r\n\r\n"


def test_a_disconnected_client_leaves_nothing_behind(listener):
    before = len(listener.broker.observers.match("a.b"))
    client = Connection(
        listener, QUIET + b"SUB a.b 1\r\nSUB a.* 2\r\nSUB > q 3\r\nSUB a.b q 4\r\nUNSUB 1 5\r\n"
    )
    assert len(listener.broker.observers.match("a.b")) == before + 4
    client.session.disconnected()
    client.session.disconnected()
    assert len(listener.broker.observers.match("a.b")) == before
    assert listener.broker.routes.of("a.b").observers == ()
    assert not listener.sessions


@pytest.mark.parametrize("end", [b"NONSENSE\r\n", b"PUB a\r\n", b"SUB a\r\n", b"CONNECT {\r\n"])
def test_nothing_is_done_after_an_error_that_ends_the_connection(listener, end):
    other = Connection(listener, QUIET + b"SUB a 1\r\n")
    client = Connection(listener, QUIET + b"SUB a 1\r\n")
    client.ask(end + pub(b"a"))
    client.ask(pub(b"a"))
    assert client.closed
    assert other.read() == b""
    assert client.session.unparsed_bytes == 0


def test_what_came_before_an_error_counts(listener):
    other = Connection(listener, QUIET + b"SUB a 1\r\n")
    client = Connection(listener, QUIET)
    assert client.ask(pub(b"a") + b"NONSENSE\r\n") == b"-ERR 'Unknown Protocol Operation'\r\n"
    assert other.read() == b"MSG a 1 0\r\n\r\n"


# Hostile bytes

SUBJECTS = st.sampled_from(
    [b"a", b"b", b"a.b", b"a.c", b"*", b">", b"a.*", b"a.>", b"a..b", b"%-", b"x\xff", b"\xc3\xa9"]
)
SIDS = st.sampled_from([b"1", b"2", b"3", b"long-sid"])
PAYLOADS = st.sampled_from([b"", b"x", b"PING\r\n", b"\r\n", b"y" * 300])
HEADERS = st.sampled_from([None, None, b"", b"NATS/1.0\r\nA: b\r\n\r\n", b"blah"])
OPERATIONS = st.one_of(
    st.builds(b"SUB %b %b\r\n".__mod__, st.tuples(SUBJECTS, SIDS)),
    # A group of one member: of several the one that gets a message is chosen at random.
    st.builds(lambda subject, sid: b"sub %b q%b\t%b\n" % (subject, sid, sid), SUBJECTS, SIDS),
    st.builds(lambda sid, limit: b"UNSUB %b %d\r\n" % (sid, limit), SIDS, st.integers(0, 4)),
    st.builds(pub, SUBJECTS, PAYLOADS, st.sampled_from([b"", b"a", b"b", b"a..b"]), HEADERS),
    st.builds(pub, SUBJECTS, PAYLOADS),
    st.sampled_from([b"PING\r\n", b"pong\r\n", b"+OK\r\n", b"INFO {}\r\n"]),
    st.sampled_from(
        [b'CONNECT {"verbose":true}\r\n', b'CONNECT {"verbose":false,"pedantic":false}\r\n',
         b'CONNECT {"echo":false}\r\n', QUIET]
    ),
)  # fmt: skip


def seen(data):
    """What NATS promises of an order: that of each subscription, between the answers."""
    found = [{}]
    for frame in frames(data):
        if isinstance(frame, Delivered) and b" 503" not in (frame.headers or b""):
            found[-1].setdefault(frame.sid, []).append(frame)
        else:
            found += [frame, {}]
    return found


@settings(max_examples=400)
@given(st.lists(OPERATIONS, max_size=25), st.lists(st.integers(0, 1000), max_size=6))
def test_a_session_is_answered_the_same_whatever_the_cuts(operations, places):
    stream = b"".join(operations)
    edges = sorted({0, len(stream), *(place for place in places if place < len(stream))})
    answers = []
    for cuts in ([0, len(stream)], edges):
        listener = nats_listener()
        other = Connection(listener, QUIET + b"SUB a.* 9\r\nUNSUB 9 3\r\nSUB b 8\r\n")
        client = Connection(listener, QUIET)
        heard = b"".join(client.ask(stream[start:end]) for start, end in pairwise(cuts))
        answers.append((seen(heard), client.closed, seen(other.read())))
    assert answers[0] == answers[1]


@settings(max_examples=300)
@given(
    st.lists(OPERATIONS | st.binary(max_size=20), max_size=10).map(b"".join),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    st.integers(0, 400),
)
def test_any_bytes_end_in_answers_or_a_close_and_leave_the_others_alone(stream, spoilt, cut):
    hostile = bytearray(stream)
    for place, byte in spoilt:
        if place < len(hostile):
            hostile[place] = byte
    listener = nats_listener()
    other = Connection(listener, QUIET + b"SUB alive 1\r\n")
    client = Connection(listener, QUIET)
    client.session.receive(bytes(hostile[:cut]))
    client.session.receive(bytes(hostile[cut:]))
    client.session.disconnected()
    other.read()
    assert other.ask(pub(b"alive", b"x") + PING) == b"MSG alive 1 1\r\nx\r\n" + PONG
    assert other.outbox.size == 0


@pytest.mark.parametrize(
    "line", [b"SUB a ", b"PUB a ", b"CONNECT {", b"UNSUB 1 ", b"HPUB a ", b"CONNECT"]
)
def test_a_line_that_never_ends_is_cut_off_at_the_limit(listener, line):
    client = Connection(listener, QUIET)
    heard = b"".join(client.ask(piece) for piece in [line, *[b"x" * 100] * 50])
    assert heard == b"-ERR 'maximum control line exceeded'\r\n"
    assert client.session.unparsed_bytes == 0


@pytest.mark.parametrize("start", [b"PING", b"SUB ", b"+OK "])
def test_a_line_of_nothing_is_not_kept_for_ever(listener, start):
    client = Connection(listener, QUIET)
    client.ask(start)
    for _ in range(200):
        client.ask(b" " * 1000)
    assert client.closed
    assert client.session.unparsed_bytes == 0
