"""Who gets a message, how it looks to them, and what its publisher is told."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker_doubles import DenyList, Recorder
from hubbub.log.batch import encode
from hubbub.model.address import Address, parse_address
from hubbub.model.errors import InvalidAddressError
from hubbub.model.message import Message
from hubbub.model.settings import TopicSettings
from hubbub.protocols.nats import mapping
from hubbub.protocols.nats.codec import decode_headers
from nats_double import (
    QUIET,
    WALL_MS,
    Connection,
    Delivered,
    frames,
    messages_of,
    nats_listener,
    pub,
)

NO_ECHO = b'CONNECT {"verbose":false,"pedantic":false,"echo":false,"headers":true,"no_responders":true}\r\n'
NO_HEADERS = b'CONNECT {"verbose":false,"pedantic":false}\r\n'
HEADERS = b"NATS/1.0\r\nA: 1\r\nA: 2\r\n\r\n"
NOBODY = b"HMSG inbox 9 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"


@pytest.fixture
def listener():
    return nats_listener()


@pytest.fixture
def publisher(listener):
    return Connection(listener, QUIET)


def client(listener, *lines, hello=QUIET):
    return Connection(listener, hello + b"".join(line.encode() + b"\r\n" for line in lines))


def numbered(subject, count):
    return b"".join(pub(subject, b"%d" % number) for number in range(count))


NUMBERS = [b"%d" % number for number in range(5000)]


# To whom


def test_a_message_goes_once_to_each_subscription_that_matches(listener, publisher):
    subscriber = client(
        listener, "SUB a.b 1", "SUB a.* 2", "SUB *.b 3", "SUB a.> 4", "SUB > 5", "SUB a.b 6",
        "SUB a 7", "SUB a.b.> 8", "SUB a.*.* 9", "SUB * 10", "SUB b.* 11",
    )  # fmt: skip
    assert publisher.ask(pub(b"a.b", b"x")) == b""
    got = subscriber.messages()
    assert {message.sid for message in got} == {b"1", b"2", b"3", b"4", b"5", b"6"}
    assert len(got) == 6
    assert {(message.subject, message.payload) for message in got} == {(b"a.b", b"x")}


def test_leading_wildcards_leave_internal_names_alone(listener, publisher):
    subscriber = client(listener, "SUB > 1", "SUB *.x 2", "SUB $SYS.> 3", "SUB __own.* 4")
    publisher.ask(pub(b"$SYS.x") + pub(b"__own.x") + pub(b"_INBOX.x"))
    assert [(message.sid, message.subject) for message in subscriber.messages()] == [
        (b"3", b"$SYS.x"), (b"4", b"__own.x"), (b"1", b"_INBOX.x"), (b"2", b"_INBOX.x"),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 2047, 2048, 2049, 5000])
def test_a_run_of_publishes_in_one_chunk_reaches_everyone_whole_and_in_order(listener, count):
    exact, pattern = client(listener, "SUB a 1"), client(listener, "SUB * 7")
    recorder = Recorder(listener.broker)
    own = client(listener, "SUB a 1", "SUB b 2")
    heard = own.ask(numbered(b"a", count) + pub(b"b", b"end") + b"PING\r\n")
    assert exact.payloads() == NUMBERS[:count]
    assert pattern.payloads() == [*NUMBERS[:count], b"end"]
    assert [message.value for message in recorder.messages] == [*NUMBERS[:count], b"end"]
    *messages, pong = frames(heard)
    assert [message.payload for message in messages] == [*NUMBERS[:count], b"end"]
    assert pong == b"PONG"


def test_subjects_that_alternate_in_a_chunk_stay_in_publish_order(listener, publisher):
    subscriber = client(listener, "SUB > 1")
    publisher.ask(b"".join(pub(b"abc"[n % 3 : n % 3 + 1], b"%d" % n) for n in range(300)))
    assert subscriber.payloads() == NUMBERS[:300]


def test_a_subscription_counts_from_where_its_sub_stands_in_the_chunk(listener):
    one = client(listener)
    stream = pub(b"a", b"0") + b"SUB a 1\r\n" + pub(b"a", b"1") + b"UNSUB 1\r\n" + pub(b"a", b"2")
    assert [message.payload for message in messages_of(one.ask(stream))] == [b"1"]


# UNSUB with a maximum


@pytest.mark.parametrize(
    ("before", "limit", "after", "got"),
    [(0, 2, 5, 2), (1, 2, 5, 2), (2, 2, 5, 2), (3, 2, 5, 3), (0, 1, 5, 1), (3, 0, 5, 3), (0, 9, 5, 5)],
)  # fmt: skip
def test_the_maximum_counts_what_was_delivered_since_sub(
    listener, publisher, before, limit, after, got
):
    subscriber = client(listener, "SUB a 1")
    publisher.ask(numbered(b"a", before))
    subscriber.session.receive(b"UNSUB 1 %d\r\n" % limit)
    publisher.ask(numbered(b"a", after))
    assert len(subscriber.messages()) == got


def test_the_maximum_may_be_raised_and_lowered_while_it_is_not_reached(listener, publisher):
    subscriber = client(listener, "SUB a 1", "UNSUB 1 2", "UNSUB 1 4", "SUB b 2", "UNSUB 2 4")
    subscriber.ask(b"UNSUB 2 2\r\n")
    publisher.ask(numbered(b"a", 9) + numbered(b"b", 9))
    assert Counter(message.sid for message in subscriber.messages()) == {b"1": 4, b"2": 2}


def test_a_sid_is_free_when_its_maximum_is_reached(listener, publisher):
    subscriber = client(listener, "SUB a 1", "UNSUB 1 1")
    publisher.ask(numbered(b"a", 3))
    assert subscriber.payloads() == [b"0"]
    assert listener.broker.routes.of(Address("a")).observers == ()
    subscriber.ask(b"SUB b 1\r\n")
    publisher.ask(numbered(b"a", 3) + numbered(b"b", 3))
    assert subscriber.payloads() == [b"0", b"1", b"2"]


# Queue groups


def test_each_message_goes_to_one_member_and_all_members_get_some(listener, publisher):
    members = [client(listener, "SUB a q 1") for _ in range(3)]
    publisher.ask(numbered(b"a", 300))
    shares = [member.payloads() for member in members]
    assert sorted(chain(*shares)) == sorted(NUMBERS[:300])
    assert all(len(share) > 30 for share in shares)  # of about 100; by chance once in 10^15
    assert all(share == sorted(share, key=int) for share in shares)


def test_members_share_whether_messages_come_together_or_one_by_one(listener, publisher):
    members = [client(listener, "SUB a q 1") for _ in range(2)]
    for number in range(100):
        publisher.ask(pub(b"a", b"%d" % number))
    shares = [member.payloads() for member in members]
    assert sorted(chain(*shares), key=int) == NUMBERS[:100]
    assert all(shares)


def test_a_member_whose_maximum_is_reached_is_passed_over(listener, publisher):
    short = client(listener, "SUB a q 1", "UNSUB 1 1")
    long = client(listener, "SUB a q 1")
    publisher.ask(numbered(b"a", 40))
    first, rest = short.payloads(), long.payloads()
    assert len(first) == 1
    assert sorted(first + rest, key=int) == NUMBERS[:40]
    publisher.ask(pub(b"a", b"x"))
    assert long.payloads() == [b"x"]


def test_when_all_members_have_their_maximum_the_rest_is_nobodys(listener, publisher):
    members = [client(listener, "SUB a q 1", "UNSUB 1 3") for _ in range(2)]
    publisher.ask(numbered(b"a", 10))
    assert [len(member.messages()) for member in members] == [3, 3]


def test_a_member_without_echo_is_passed_over_for_its_own_messages(listener):
    member, other = client(listener, "SUB a q 1", hello=NO_ECHO), client(listener, "SUB a q 1")
    member.ask(numbered(b"a", 50))
    assert other.payloads() == NUMBERS[:50]
    own = messages_of(other.ask(numbered(b"a", 50)))
    assert len(member.messages()) + len(own) == 50


def test_two_patterns_of_one_queue_name_are_one_group(listener, publisher):
    members = [client(listener, "SUB a.b q 1"), client(listener, "SUB a.> q 1")]
    publisher.ask(numbered(b"a.b", 100))
    counts = [len(member.messages()) for member in members]
    assert sum(counts) == 100
    assert all(counts)


def test_each_group_and_each_plain_subscription_gets_its_own_copy(listener, publisher):
    one, two = client(listener, "SUB a q1 1"), client(listener, "SUB a q2 2")
    plain, both = client(listener, "SUB a 3"), client(listener, "SUB a q1 4", "SUB a 5")
    publisher.ask(numbered(b"a", 20))
    assert two.payloads() == plain.payloads() == NUMBERS[:20]
    mixed = both.messages()
    assert len([message for message in mixed if message.sid == b"5"]) == 20
    assert len(one.messages()) + len([m for m in mixed if m.sid == b"4"]) == 20


def test_a_member_that_leaves_takes_nothing_along(listener, publisher):
    leaver, other = client(listener, "SUB a q 1"), client(listener, "SUB a q 1")
    leaver.session.disconnected()
    publisher.ask(numbered(b"a", 10))
    assert other.payloads() == NUMBERS[:10]


# Echo


def test_without_echo_a_client_hears_others_only(listener):
    mute, other = client(listener, "SUB a 1", hello=NO_ECHO), client(listener, "SUB a 1")
    assert mute.ask(pub(b"a", b"mine")) == b""
    assert other.payloads() == [b"mine"]
    other.ask(pub(b"a", b"theirs"))
    assert mute.payloads() == [b"theirs"]


# No responders


def test_a_request_that_nobody_got_is_answered_so(listener):
    asker = client(listener, "SUB inbox 9")
    assert asker.ask(pub(b"a", b"?", b"inbox")) == NOBODY
    assert asker.ask(pub(b"a", b"?", b"inbox", HEADERS)) == NOBODY
    assert asker.ask(pub(b"a..b", b"?", b"inbox")) == NOBODY
    assert asker.ask(pub(b"a", b"?")) == b""


def test_a_request_that_somebody_got_is_not(listener):
    asker = client(listener, "SUB inbox 9")
    responder = client(listener, "SUB a q 1")
    assert asker.ask(pub(b"a", b"?", b"inbox")) == b""
    assert responder.read() == b"MSG a 1 inbox 1\r\n?\r\n"


def test_a_subscriber_of_another_protocol_is_a_responder_and_so_is_a_topic(listener):
    asker = client(listener, "SUB inbox 9")
    listener.broker.create_topic(Address("stored"), 1)
    assert asker.ask(pub(b"stored", b"?", b"inbox")) == b""
    Recorder(listener.broker)
    assert asker.ask(pub(b"a", b"?", b"inbox")) == b""


def test_without_echo_only_oneself_is_nobody(listener):
    asker = client(listener, "SUB inbox 9", "SUB a 1", "SUB a q 2", hello=NO_ECHO)
    assert asker.ask(pub(b"a", b"?", b"inbox")) == NOBODY


def test_with_echo_one_may_answer_oneself(listener):
    asker = client(listener, "SUB inbox 9", "SUB > 1")
    got = messages_of(asker.ask(pub(b"a", b"?", b"inbox")))
    assert [message.sid for message in got] == [b"1"]


@pytest.mark.parametrize(
    "lines", [[], ["SUB other 9"], ["SUB inbox q 9"], ["SUB inbox 9", "UNSUB 9"]]
)
def test_nobody_is_only_told_to_a_plain_subscription_of_the_asker(listener, lines):
    elsewhere = client(listener, "SUB inbox 9")
    assert client(listener, *lines).ask(pub(b"a", b"?", b"inbox")) == b""
    assert elsewhere.read() == b""


def test_nobody_is_told_once_and_to_patterns_too(listener):
    asker = client(listener, "SUB _INBOX.* 1", "SUB _INBOX.* 2", "SUB _INBOX.> q 3")
    [told] = messages_of(asker.ask(pub(b"a", b"?", b"_INBOX.x")))
    assert told == Delivered(b"_INBOX.x", b"1", b"", b"NATS/1.0 503\r\n\r\n", b"")


def test_nobody_does_not_count_against_a_maximum(listener):
    asker = client(listener, "SUB inbox 9", "UNSUB 9 1")
    assert asker.ask(pub(b"a", b"?", b"inbox") * 3) == NOBODY * 3
    assert asker.ask(pub(b"inbox", b"x") * 3) == b"MSG inbox 9 1\r\nx\r\n"


def test_only_who_asked_for_it_is_told_of_nobody(listener):
    hello = b'CONNECT {"verbose":false,"headers":true}\r\n'
    assert client(listener, "SUB inbox 9", hello=hello).ask(pub(b"a", b"?", b"inbox")) == b""


def test_a_responder_that_earlier_requests_of_the_chunk_use_up_is_nobody(listener):
    asker = client(listener, "SUB inbox 9", "SUB a 1", "UNSUB 1 1")
    got = b"MSG a 1 inbox 1\r\n?\r\n"
    assert asker.ask(pub(b"a", b"?", b"inbox") * 2) == got + NOBODY
    worker = client(listener, "SUB b q 1", "UNSUB 1 2")
    stream = pub(b"b", b"plain") + pub(b"b", b"?", b"inbox") * 3
    assert asker.ask(stream) == NOBODY * 2
    assert worker.payloads() == [b"plain", b"?"]


def test_what_was_published_before_comes_before_nobody(listener):
    asker = client(listener, "SUB inbox 9", "SUB b 1")
    heard = asker.ask(pub(b"b", b"x") + pub(b"a", b"?", b"inbox") + pub(b"b", b"y"))
    assert heard == b"MSG b 1 1\r\nx\r\n" + NOBODY + b"MSG b 1 1\r\ny\r\n"


# Reply subjects and headers


def test_a_reply_subject_is_passed_on_as_it_is(listener, publisher):
    subscriber = client(listener, "SUB a 1")
    for reply in (b"_INBOX.x.1", b"a..b", b"*", b"42", b"%-", b"\xff"):
        publisher.ask(pub(b"a", b"x", reply))
        assert subscriber.read() == b"MSG a 1 %b 1\r\nx\r\n" % reply


@pytest.mark.parametrize("reply", ["$JS.ACK.x", "_R_.x"])
def test_a_reply_subject_that_is_the_servers_own_is_refused(listener, publisher, reply):
    subscriber = client(listener, "SUB a 1")
    heard = publisher.ask(pub(b"a", b"x", reply.encode()) + b"PING\r\n")
    violation = f"-ERR 'Permissions Violation for Publish with Reply of \"{reply}\"'\r\n"
    assert heard == violation.encode() + b"PONG\r\n"
    assert subscriber.read() == b""


@pytest.mark.parametrize("reply", [b"r\x0b5", b"\x00", b"r\x7f", b"\x1f."])
def test_a_reply_subject_with_a_control_character_is_refused(listener, publisher, reply):
    """nats-server passes it on, and clients that take it for a blank lose their place."""
    subscriber = client(listener, "SUB a 1")
    heard = publisher.ask(pub(b"a", b"x", reply) + b"PING\r\n")
    assert heard.startswith(b"-ERR 'Permissions Violation for Publish with Reply of ")
    assert heard.endswith(b"PONG\r\n")
    assert subscriber.read() == b""


@pytest.mark.parametrize("block", [HEADERS, b"blah", b"\r\n", b"NATS/1.0\nA:\x00\xff\n\n"])
def test_a_header_block_is_passed_on_as_it_is(listener, publisher, block):
    with_headers, without = (
        client(listener, "SUB a 1"),
        client(listener, "SUB a 1", hello=NO_HEADERS),
    )
    publisher.ask(pub(b"a", b"x", headers=block) + pub(b"a", b"y", b"r", block) + pub(b"a", b"z"))
    assert with_headers.messages() == [
        Delivered(b"a", b"1", b"", block, b"x"),
        Delivered(b"a", b"1", b"r", block, b"y"),
        Delivered(b"a", b"1", b"", None, b"z"),
    ]
    assert without.read() == b"MSG a 1 1\r\nx\r\nMSG a 1 r 1\r\ny\r\nMSG a 1 1\r\nz\r\n"


# Messages of others

BYTES = st.binary(max_size=20) | st.sampled_from(
    [b"\r\n", b"\r\nMSG a 1 1\r\nx\r\n", b" x ", b"\x00", b"NATS/1.0\r\n\r\n", b":", b""]
)
TEXTS = st.text(max_size=12) | BYTES.map(lambda raw: raw.decode("latin-1"))


def address_or_none(text):
    try:
        return parse_address(text)
    except InvalidAddressError:
        return None


FOREIGN = st.builds(
    Message,
    address=st.just(Address("a")),
    value=st.none() | BYTES,
    key=st.none() | BYTES,
    headers=st.lists(st.tuples(TEXTS, st.none() | BYTES), max_size=4).map(tuple),
    message_id=st.none() | TEXTS,
    content_type=st.none() | TEXTS,
    correlation_id=st.none() | BYTES,
    reply_to=st.none() | TEXTS.map(address_or_none),
    expiry_ms=st.none() | st.integers(0, 1000),
)


@settings(max_examples=400)
@given(st.lists(FOREIGN, min_size=1, max_size=3))
def test_a_message_of_another_protocol_is_one_frame_whatever_it_holds(messages):
    listener = nats_listener()
    full = client(listener, "SUB a 1")
    bare = client(listener, "SUB a 1", hello=NO_HEADERS)
    for message in messages:
        listener.broker.publish(message)
    replies = [
        b"" if message.reply_to is None else mapping.spelled(message.reply_to)
        for message in messages
    ]
    got = full.messages()
    assert [(frame.subject, frame.payload, frame.reply) for frame in got] == [
        (b"a", message.value or b"", reply)
        for message, reply in zip(messages, replies, strict=True)
    ]
    assert bare.messages() == [frame._replace(headers=None) for frame in got]
    for message, frame in zip(messages, got, strict=True):
        slots = (message.key, message.content_type, message.message_id, message.correlation_id)
        wanted = sum(slot is not None for slot in slots) + sum(bool(n) for n, _ in message.headers)
        assert (frame.headers is not None) == bool(wanted)
        if wanted:
            first, *lines = frame.headers.removesuffix(b"\r\n\r\n").split(b"\r\n")
            assert first == b"NATS/1.0"
            assert len(lines) == wanted
            assert all(b":" in line and b"\n" not in line and b"\r" not in line for line in lines)


def test_a_message_of_another_protocol_shows_what_it_has(listener):
    subscriber = client(listener, "SUB a 1")
    listener.broker.publish(
        Message(
            Address("a"), b"v", b"k\r\nX: y", (("plain", b"1"), ("plain", None), ("to: x", b"2")),
            message_id="id", content_type="text/plain", correlation_id=b"c",
            reply_to=Address("back here."),
        )
    )  # fmt: skip
    [message] = subscriber.messages()
    assert message.reply == b"back%20here.%-"
    assert decode_headers(message.headers) == [
        (b"hubbub-key", b"k%0D%0AX: y"), (b"Content-Type", b"text/plain"), (b"Nats-Msg-Id", b"id"),
        (b"Correlation-Id", b"c"), (b"plain", b"1"), (b"plain", b""), (b"to%3A%20x", b"2"),
    ]  # fmt: skip


def test_a_tombstone_is_an_empty_payload(listener):
    subscriber = client(listener, "SUB a 1", hello=NO_HEADERS)
    listener.broker.publish(Message(Address("a"), None, b"k"))
    assert subscriber.read() == b"MSG a 1 0\r\n\r\n"


def test_text_that_utf8_cannot_carry_does_not_stop_a_message(listener):
    subscriber = client(listener, "SUB a 1")
    odd = "\ud800"
    listener.broker.publish(
        Message(Address("a"), b"v", None, ((odd, b"h"),), message_id=odd, content_type=odd)
    )
    [message] = subscriber.messages()
    assert (message.payload, len(decode_headers(message.headers))) == (b"v", 3)


# To others


def test_others_see_a_message_of_ours_with_all_that_it_has(listener, publisher):
    recorder = Recorder(listener.broker)
    block = (
        b"NATS/1.0\r\nPlain: one \r\nplain:two\r\nno header\r\nHUBBUB-KEY: k\r\n"
        b"Content-Type: text/plain\r\nNats-Msg-Id: 7\r\nCorrelation-Id:c\r\nNats-Msg-Id: 8\r\n\r\n"
    )
    publisher.ask(pub(b"a.b", b"v", b"_INBOX.x", block))
    assert recorder.messages == [
        Message(
            Address("a.b"), b"v", b"k",
            (("Plain", b"one"), ("plain", b"two"), ("Nats-Msg-Id", b"8")),
            WALL_MS, message_id="7", content_type="text/plain", reply_to=Address("_INBOX.x"),
            correlation_id=b"c",
        )
    ]  # fmt: skip


@pytest.mark.parametrize("reply", [b"a..b", b"x." * 201 + b"x"])
def test_others_do_not_see_a_reply_subject_that_is_no_address(listener, publisher, reply):
    recorder = Recorder(listener.broker)
    publisher.ask(pub(b"a", b"v", reply))
    assert [message.reply_to for message in recorder.messages] == [None]


def test_a_message_that_another_took_apart_comes_back_as_it_was(listener, publisher):
    """What a foreign observer publishes again, as a bridge does, keeps its slots."""
    recorder = Recorder(listener.broker)
    publisher.ask(pub(b"a", b"v", b"r", b"NATS/1.0\r\nhubbub-key: k\r\nA: b\r\n\r\n"))
    subscriber = client(listener, "SUB a 1")
    listener.broker.publish(recorder.messages[0])
    assert subscriber.messages() == [
        Delivered(b"a", b"1", b"r", b"NATS/1.0\r\nhubbub-key: k\r\nA: b\r\n\r\n", b"v")
    ]


# Stored


def stored(listener, name):
    topic = listener.broker.topics.get(Address(name))
    return [
        record.message
        for partition in topic.partitions
        for record in listener.broker.decode(partition.log.read(0, 1 << 20), partition)
    ]


def test_what_a_topic_captures_is_stored_with_its_headers(listener, publisher):
    listener.broker.create_topic(Address("orders"), 1, TopicSettings(captures=("orders.>",)))
    block = b"NATS/1.0\r\nhubbub-key: k\r\nA: 1\r\nA: 2\r\n\r\n"
    publisher.ask(pub(b"orders", b"1") + pub(b"orders.eu", b"2", b"r", block) + pub(b"other", b"3"))
    assert stored(listener, "orders") == [
        Message(Address("orders"), b"1", timestamp_ms=WALL_MS),
        Message(Address("orders.eu"), b"2", b"k", (("A", b"1"), ("A", b"2")), WALL_MS,
                reply_to=Address("r")),
    ]  # fmt: skip


def test_a_run_is_stored_in_order(listener, publisher):
    listener.broker.create_topic(Address("orders"), 1)
    publisher.ask(numbered(b"orders", 3000))
    assert [message.value for message in stored(listener, "orders")] == NUMBERS[:3000]


# Refused


def violation(subject, why=""):
    return f"-ERR 'Permissions Violation for Publish to \"{subject}\"{why}'\r\n".encode()


def test_a_reserved_name_cannot_be_published_to_and_the_connection_stays(listener, publisher):
    before = len(stored(listener, "__hubbub_state"))
    subscriber = client(listener, "SUB __hubbub_state 1", "SUB a 2")
    heard = publisher.ask(pub(b"a", b"1") + pub(b"__hubbub_state", b"x") + pub(b"a", b"2"))
    assert heard == violation("__hubbub_state")
    assert publisher.ask(b"PING\r\n") == b"PONG\r\n"
    assert subscriber.payloads() == [b"1", b"2"]
    assert len(stored(listener, "__hubbub_state")) == before


def test_who_may_not_publish_is_told_so_and_reaches_nobody():
    denials = DenyList()
    denials.denied.add(("publish", "no"))
    listener = nats_listener(access=denials)
    subscriber = client(listener, "SUB > 1")
    asker = client(listener, "SUB inbox 9")
    assert asker.ask(pub(b"no", b"x") + pub(b"no", b"x", headers=HEADERS)) == violation("no") * 2
    assert asker.ask(pub(b"no", b"x", b"inbox")) == violation("no")
    subscriber.session.disconnected()
    assert asker.ask(pub(b"no", b"x", b"inbox")) == violation("no")  # and nothing of nobody
    assert subscriber.read() == b""


def test_a_refused_publish_is_not_acknowledged():
    denials = DenyList()
    denials.denied.add(("publish", "no"))
    verbose = Connection(nats_listener(access=denials))
    assert verbose.ask(pub(b"no", b"x")) == violation("no")
    assert verbose.ask(pub(b"__hubbub_state", b"x")) == violation("__hubbub_state")
    assert verbose.ask(pub(b"yes", b"x")) == b"+OK\r\n"


def test_who_may_not_subscribe_is_told_so_and_gets_nothing():
    denials = DenyList()
    denials.denied |= {("subscribe", "no.*"), ("receive", "no.x")}
    listener = nats_listener(access=denials)
    asker = client(listener)
    text = "-ERR 'Permissions Violation for Subscription to \"no.*\"{}'\r\n"
    assert asker.ask(b"SUB no.* 1\r\n") == text.format("").encode()
    assert asker.ask(b"SUB no.* q 1\r\n") == text.format(' using queue "q"').encode()
    assert asker.ask(b"SUB > 1\r\nSUB no.> q 2\r\n" + pub(b"no.x") + pub(b"yes")) == (
        b"MSG yes 1 0\r\n\r\n"
    )


def test_a_message_too_large_for_its_topic_is_refused_and_the_others_are_not(listener, publisher):
    listener.broker.create_topic(Address("small"), 1, TopicSettings(max_message_bytes=300))
    subscriber = client(listener, "SUB small 1")
    large = pub(b"small", b"x" * 400)
    heard = publisher.ask(pub(b"small", b"1") + large + pub(b"small", b"2"))
    assert heard.startswith(b'-ERR \'Permissions Violation for Publish to "small": ')
    assert len(frames(heard)) == 1
    assert publisher.ask(b"PING\r\n") == b"PONG\r\n"
    assert subscriber.payloads() == [b"1", b"2"]
    assert [message.value for message in stored(listener, "small")] == [b"1", b"2"]


# Slow consumers


def test_a_client_that_does_not_read_is_cut_off_between_messages_and_told_why(listener, publisher):
    slow, other = client(listener, "SUB a 1"), client(listener, "SUB a 1")
    slow.outbox.limit = 1000
    for number in range(20):
        publisher.ask(pub(b"a", b"%d" % number + b"x" * 100))
    assert slow.outbox.overflowed
    assert slow.closed
    *whole, farewell = frames(slow.read())
    assert farewell == b"-ERR 'Slow Consumer'"
    assert [message.sid for message in whole] == [b"1"] * len(whole)
    assert listener.slow_consumers == 1
    assert len(other.messages()) == 20
    [observer] = listener.broker.routes.of(Address("a")).observers
    assert observer.session is other.session


def test_what_a_client_sends_itself_in_one_chunk_is_bounded_too(listener):
    greedy = client(listener, "SUB a 1", "SUB a 2", "SUB a 3")
    greedy.outbox.limit = 1000
    heard = greedy.ask(pub(b"a", b"x" * 100) * 20)
    assert frames(heard)[-1] == b"-ERR 'Slow Consumer'"
    assert listener.slow_consumers == 1
    assert greedy.ask(pub(b"a", b"x")) == b""


def test_the_limit_is_the_listeners_setting():
    listener = nats_listener(max_pending=500)
    slow = client(listener, "SUB a 1")
    Connection(listener, QUIET).ask(pub(b"a", b"x" * 600))
    assert slow.read() == b"-ERR 'Slow Consumer'\r\n"


# One rendering


def test_one_rendering_is_shared_by_all_who_number_their_subscriptions_alike(listener, publisher):
    alike = [
        client(listener, "SUB a 1"),
        client(listener, "SUB * 1"),
        client(listener, "SUB a q 1"),
    ]
    others = [client(listener, "SUB a 2"), client(listener, "SUB a 1", hello=NO_HEADERS)]
    publisher.ask(pub(b"a", b"x" * 10_000))
    first, *rest = [each.outbox.take() for each in alike]
    assert [len(chunks) for chunks in (first, *rest)] == [1, 1, 1]
    assert all(chunks[0] is first[0] for chunks in rest)
    assert all(each.outbox.take()[0] is not first[0] for each in others)


def test_styles_are_let_go_with_the_last_who_uses_them(listener):
    one = client(listener, "SUB a some-sid")
    assert (b"some-sid", True) in listener._styles
    one.session.disconnected()
    del one
    assert (b"some-sid", True) not in listener._styles


@pytest.mark.parametrize("size", [1, 200, 4000])
def test_a_tombstone_after_a_message_with_headers_is_a_frame_of_its_own(size):
    """A head is written again only where it differs, and that of a tombstone does."""
    listener = nats_listener()
    topic = listener.broker.create_topic(Address("t"), 1)
    client = Connection(listener, QUIET)
    client.ask(b"SUB t 1\r\n")
    headers = (("reply-to", b"r" * size), ("h", b"1"))
    records = [(0, b"k", b"hello", headers), *[(0, None, None, ())] * 3, (0, None, b"", ())]
    listener.broker.append(topic.partitions[0], encode(records))
    heard = client.read()
    head, _, rest = heard.partition(b"\r\n")
    assert head.startswith(b"HMSG t 1 " + b"r" * size + b" ")
    assert rest.endswith(b"\r\n\r\nhello\r\n" + b"MSG t 1 0\r\n\r\n" * 4)


def test_a_key_from_a_nats_header_decides_where_a_message_is_stored():
    listener = nats_listener()
    broker = listener.broker
    by_key = broker.create_topic(Address("by.key"), 8)
    broker.create_topic(Address("compacted"), 1, TopicSettings(compact=True))
    client = Connection(listener, QUIET)
    for number in range(16):
        block = b"NATS/1.0\r\nhubbub-key: k%d\r\n\r\n" % number
        size = len(block)
        assert client.ask(b"HPUB by.key %d %d\r\n%b\r\n" % (size, size, block)) == b""
        assert client.ask(b"HPUB compacted %d %d\r\n%b\r\n" % (size, size, block)) == b""
    spread = [partition.log.end_offset for partition in by_key.partitions]
    for number in range(16):
        broker.publish(Message(Address("by.key"), b"", key=b"k%d" % number))
    again = [partition.log.end_offset for partition in by_key.partitions]
    assert again == [2 * count for count in spread]
    assert broker.topics.get(Address("compacted")).partitions[0].log.end_offset == 16


def test_one_who_is_cut_off_by_what_it_published_itself_subscribes_to_nothing_more():
    listener = nats_listener()
    client = Connection(listener, QUIET)
    client.ask(b"SUB a 1\r\n")
    client.outbox.limit = 100
    client.session.receive(b"PUB a 200\r\n" + b"x" * 200 + b"\r\nSUB b 2\r\n")
    assert client.outbox.overflowed
    assert listener.broker.routes.of(Address("b")).observers == ()
