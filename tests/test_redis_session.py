"""Connections: who may say what, who is closed and why, and what hostile bytes can do."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_doubles import Recorder
from hubbub.model.errors import InvalidSettingsError
from hubbub.protocols.redis import transaction
from hubbub.protocols.redis.commands import COMMANDS
from redis_double import Connection, request, small_listener

NOAUTH = b"-NOAUTH Authentication required.\r\n"
WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
HTTP = b"POST /x HTTP/1.1\r\nHost: localhost\r\n\r\nPUBLISH a b\r\n"


@pytest.fixture
def listener():
    return small_listener()


@pytest.fixture
def guarded():
    return small_listener(requirepass="s3cret")


# HTTP


@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "get"])
def test_an_http_request_is_hung_up_on_before_any_command_runs(listener, verb):
    client, recorder = Connection(listener), Recorder(listener.broker)
    assert client.ask(HTTP.replace(b"POST", verb.encode())) == b""
    assert client.closed
    assert not recorder.messages


@pytest.mark.parametrize("line", [b"POST x\r\n", b"Host: x\r\n", request("post", "/")])
def test_the_words_that_redis_hangs_up_on_end_the_connection(listener, line):
    client, recorder = Connection(listener), Recorder(listener.broker)
    assert client.ask(b"PING\r\n" + line + b"PUBLISH a b\r\n") == b"+PONG\r\n"
    assert client.closed
    client.session.receive(b"PUBLISH a b\r\n" + request("PUBLISH", "a", "b"))
    assert not recorder.messages


# Authentication


def test_nothing_is_allowed_before_authentication(guarded):
    client = Connection(guarded)
    for command in COMMANDS:
        name = command.name
        if name not in {"auth", "hello", "quit", "reset"}:
            arguments = ["HELP"] if command.subcommands else ["x"] * (abs(command.arity) - 1)
            assert client.ask(request(name, *arguments)) == NOAUTH, name
    assert client.ask_inline("HELLO 3").startswith(b"-NOAUTH HELLO must be called ")
    assert client.ask_inline("PING") == NOAUTH


@pytest.mark.parametrize(
    "login",
    ["AUTH s3cret", "AUTH default s3cret", "HELLO 2 AUTH default s3cret"],
)
def test_the_password_opens_the_door(guarded, login):
    client = Connection(guarded)
    assert not client.ask_inline(login).startswith(b"-")
    assert client.ask_inline("PING") == b"+PONG\r\n"
    assert client.session.client.subscriber.principal == "default"


@pytest.mark.parametrize("login", ["AUTH wrong", "AUTH nobody s3cret", "HELLO 3 AUTH default x"])
def test_wrong_user_and_wrong_password_are_told_the_same(guarded, login):
    client = Connection(guarded)
    assert client.ask_inline(login, "PING") == WRONGPASS + NOAUTH


def test_requests_are_small_until_authenticated_and_large_right_after(guarded):
    large = request("ECHO", "x" * 20_000)
    assert Connection(guarded).ask(large) == (
        b"-ERR Protocol error: unauthenticated bulk length\r\n"
    )
    client = Connection(guarded)
    assert client.ask(request("AUTH", "s3cret") + large).startswith(b"+OK\r\n$20000\r\n")


def test_reset_asks_for_the_password_again(guarded):
    client = Connection(guarded)
    assert client.ask_inline("AUTH s3cret", "RESET", "PING") == b"+OK\r\n+RESET\r\n" + NOAUTH


def test_the_password_is_shown_nowhere(guarded):
    client = Connection(guarded)
    shown = client.ask_inline("AUTH s3cret", "CONFIG GET *", "INFO", "CLIENT LIST", "COMMAND DOCS")
    assert b"s3cret" not in shown


# Each other


def test_clients_are_listed_with_what_they_are_and_do(listener):
    first, second = Connection(listener), Connection(listener)
    first.ask_inline(
        "CLIENT SETNAME one", "CLIENT SETINFO lib-name lib", "CLIENT SETINFO LIB-VER 9"
    )
    first.ask_inline("SELECT 3", "PSUBSCRIBE a* b*", "SUBSCRIBE c")
    listener.broker.timers.advance(listener.broker.timers.now + 5, 0)
    lines = second.ask_inline("CLIENT LIST").decode().splitlines()[1:]
    one = dict(field.split("=", 1) for field in lines[0].split())
    assert one.items() >= {
        "id": "1", "addr": f"127.0.0.1:{first.port}", "laddr": "127.0.0.1:6379", "name": "one",
        "age": "5", "idle": "5", "flags": "P", "db": "3", "sub": "1", "psub": "2", "ssub": "0",
        "cmd": "subscribe", "resp": "2", "lib-name": "lib", "lib-ver": "9",
    }.items()  # fmt: skip
    assert len(list(filter(None, lines))) == 2
    assert second.ask_inline("CLIENT LIST TYPE pubsub").count(b"id=") == 1
    assert second.ask_inline("CLIENT LIST ID 2 1 2 77").count(b"id=") == 2
    assert first.session.client.subscriber.client == "one"


@pytest.mark.parametrize(
    "options",
    ["ID 1", "ADDR 127.0.0.1:{port}", "TYPE pubsub", "ID 1 USER default", "MAXAGE 1 SKIPME yes"],
)
def test_a_killed_client_is_closed_and_gets_nothing_more(listener, options):
    victim = Connection(listener)
    victim.ask_inline("SUBSCRIBE a")
    listener.broker.timers.advance(listener.broker.timers.now + 5, 0)
    killer = Connection(listener)
    assert killer.ask_inline(f"CLIENT KILL {options.format(port=victim.port)}") == b":1\r\n"
    assert victim.closed
    assert killer.ask_inline("PUBLISH a x") == b":0\r\n"
    assert victim.ask_inline("PUBLISH a x") == b""
    assert killer.ask_inline("CLIENT LIST").count(b"id=") == 1


def test_the_old_form_of_kill_may_hit_oneself(listener):
    client = Connection(listener)
    assert client.ask_inline(f"CLIENT KILL 127.0.0.1:{client.port}", "PING") == b"+OK\r\n"
    assert client.closed


def test_kill_spares_oneself_unless_told_otherwise(listener):
    client = Connection(listener)
    assert client.ask_inline("CLIENT KILL TYPE normal") == b":0\r\n"
    assert client.ask_inline("CLIENT KILL TYPE normal SKIPME yes") == b":0\r\n"
    assert client.ask_inline("CLIENT KILL TYPE normal SKIPME no", "PING") == b":1\r\n"
    assert client.closed


def test_one_client_too_many_is_told_so():
    listener = small_listener(maxclients=1)
    first, second = Connection(listener), Connection(listener)
    assert second.read() == b"-ERR max number of clients reached\r\n"
    assert second.closed
    second.session.disconnected()
    assert b"rejected_connections:1\r\n" in first.ask_inline("INFO stats")


@pytest.mark.parametrize("settings", [{"nonsense": 1}, {"maxclients": "many"}, {"save": "60 1"}])
def test_a_setting_that_means_nothing_is_an_error(settings):
    with pytest.raises(InvalidSettingsError):
        small_listener(**settings)


# Figures


def test_info_counts_what_happens(listener):
    client = Connection(listener)
    other = Connection(listener)
    other.ask_inline("SUBSCRIBE a b", "PSUBSCRIBE c*", "SSUBSCRIBE d")
    client.ask_inline("PING", "nonsense", "PING")
    lines = client.ask_inline("INFO").decode().split("\r\n")
    figures = dict(line.split(":", 1) for line in lines if ":" in line)
    assert figures.items() >= {
        "loading": "0", "role": "master", "connected_clients": "2", "pubsub_clients": "1",
        "total_connections_received": "2", "total_commands_processed": "7", "pubsub_channels": "2",
        "pubsub_patterns": "1", "pubsubshard_channels": "1", "errorstat_ERR": "count=1",
        "total_error_replies": "1",
    }.items()  # fmt: skip
    client.ask_inline("CONFIG RESETSTAT")
    assert b"total_error_replies:0\r\n" in client.ask_inline("INFO stats")


def test_info_gives_the_sections_asked_for(listener):
    client = Connection(listener)
    titles = [line for line in client.ask_inline("INFO replication CLIENTS x").decode().splitlines()
              if line.startswith("#")]  # fmt: skip
    assert titles == ["# Clients", "# Replication"]
    assert client.ask_inline("HELLO 3", "INFO cluster").endswith(
        b"=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n"
    )


def test_a_transaction_is_bounded(listener, monkeypatch):
    monkeypatch.setattr(transaction, "MAX_QUEUED_BYTES", 1000)
    client = Connection(listener)
    replies = client.ask_inline("MULTI", *["ECHO " + "x" * 100] * 6, "EXEC")
    assert b"-OOM command not allowed" in replies
    assert replies.endswith(b"-EXECABORT Transaction discarded because of previous errors.\r\n")


# Commands about commands


def test_every_command_describes_itself_to_a_real_client(listener):
    client = Connection(listener)
    every = client.ask_inline("COMMAND")
    for command in COMMANDS:
        assert client.ask(request("COMMAND", "INFO", command.name))[4:] in every
        docs = client.ask(request("COMMAND", "DOCS", command.name))
        assert command.summary.encode() in docs


@pytest.mark.parametrize("container", [each.name for each in COMMANDS if each.subcommands])
def test_help_lists_every_subcommand(listener, container):
    text = Connection(listener).ask(request(container, "HELP")).decode()
    for subcommand in COMMANDS.named(container.encode()).subcommands.values():
        assert f"+{subcommand.own_name.upper()}" in text


def test_every_subcommand_is_reached_and_checks_its_arity(listener):
    for command in COMMANDS:
        for subcommand in (command, *command.subcommands.values()):
            words = subcommand.name.split("|")
            few = abs(subcommand.arity) - len(words) - 1
            if few >= 0:
                reply = Connection(listener).ask(request(*words, *["x"] * few))
                expected = f"-ERR wrong number of arguments for '{subcommand.name}' command\r\n"
                assert reply == expected.encode()


# Hostile bytes

WORDS = st.one_of(
    st.sampled_from(
        [name for each in COMMANDS
         for name in (each.name, *(sub.own_name for sub in each.subcommands.values()))]
    ).map(str.encode),
    st.sampled_from([b"ON", b"OFF", b"SKIP", b"a", b"*", b"1", b"-1", b"9" * 30, b"\r\n", b"ID",
                     b"TYPE", b"pubsub", b"3", b"2", b"AUTH", b"SETNAME", b"default", b"FILTERBY"]),
    st.binary(max_size=8),
)  # fmt: skip
REQUESTS = st.lists(st.lists(WORDS, min_size=1, max_size=6), max_size=8)


@settings(max_examples=200)
@given(REQUESTS, st.lists(st.integers(0, 400), max_size=5))
def test_any_session_is_answered_the_same_whatever_the_cuts(requests, places):
    stream = b"".join(request(*each) for each in requests)
    whole = Connection(small_listener())
    whole_answer = whole.ask(stream)
    pieces = Connection(small_listener())
    edges = sorted({0, len(stream), *(place for place in places if place < len(stream))})
    answer = b"".join(pieces.ask(stream[start:end]) for start, end in pairwise(edges))
    # Ports and run ids differ from listener to listener, and qbuf is what the cuts left.
    if not {b"info", b"list"} & {word.lower() for each in requests for word in each}:
        assert answer == whole_answer
    assert pieces.closed == whole.closed


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=80), max_size=5))
def test_any_bytes_end_in_replies_or_a_close_and_leave_the_others_alone(pieces):
    listener = small_listener()
    other = Connection(listener)
    hostile = Connection(listener)
    for piece in pieces:
        hostile.session.receive(piece)
    hostile.session.disconnected()
    assert other.ask_inline("PING") == b"+PONG\r\n"


def test_nothing_runs_after_a_protocol_error(listener):
    client, recorder = Connection(listener), Recorder(listener.broker)
    assert client.ask(b"*1\r\n!\r\n" + request("PUBLISH", "a", "b")) == (
        b"-ERR Protocol error: expected '$', got '!'\r\n"
    )
    assert client.closed
    assert client.ask(request("PUBLISH", "a", "b")) == b""
    assert not recorder.messages


def test_a_transaction_has_a_bounded_number_of_commands(listener, monkeypatch):
    monkeypatch.setattr(transaction, "MAX_QUEUED_COMMANDS", 2)
    client = Connection(listener)
    assert client.ask_inline("MULTI", "PING", "PING", "PING", "EXEC") == (
        b"+OK\r\n+QUEUED\r\n+QUEUED\r\n-ERR a transaction has at most 2 commands\r\n"
        b"-EXECABORT Transaction discarded because of previous errors.\r\n"
    )


@pytest.mark.parametrize("line", ["COMMAND", "COMMAND INFO", "COMMAND DOCS"])
def test_the_whole_command_table_is_encoded_once_for_each_protocol(listener, line):
    client = Connection(listener)
    client.session.receive(f"{line}\r\n{line}\r\n".encode())
    first, second = client.outbox.take()
    assert first is second
    client.ask_inline("HELLO 3")
    assert client.ask_inline(line) != first
