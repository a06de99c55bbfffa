"""Octets on a connection of AMQP: cut anywhere, out of order, too large, too many, too deep."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from amqp_double import Connection, amqp_listener, handshake, pass_time, said
from hubbub.protocols.amqp.codec import (
    CONTENT_HEADER,
    FRAME_HEAD,
    HEARTBEAT,
    PROTOCOL_HEADER,
    encode,
    encode_content,
    encode_method,
    frame,
    split_frames,
)
from hubbub.protocols.amqp.tables import sized

GOLDEN = Path(__file__).parent / "golden" / "amqp"
PUBLISH = encode(1, "basic.publish", routing_key="q")
DECLARE = encode(1, "queue.declare", queue="q")
GET = encode(1, "basic.get", queue="q", no_ack=True)
CONFIRMS = {"basic.ack", "basic.nack"}  # as many as there are chunks


def conversations():
    """All that a client said on a connection, each."""
    for path in sorted(GOLDEN.glob("*.hex")):
        parts = groupby(path.read_text().splitlines()[1:], lambda line: line == "--")
        for number, (_, connection) in enumerate(parts):
            stream = b"".join(bytes.fromhex(line[2:]) for line in connection if line[0] == ">")
            if stream:
                yield pytest.param(stream, id=f"{path.stem}-{number}")


EACH = pytest.mark.parametrize("stream", list(conversations()))


def header(size, *, channel=1, properties=b"\0\0"):
    return frame(2, channel, CONTENT_HEADER.pack(60, 0, size) + properties)


def body(data, *, channel=1):
    return frame(3, channel, data)


def told(stream_pieces):
    """What comes back, in any order; whether the connection is over."""
    listener = amqp_listener()
    client = Connection(listener)
    data = b""
    for piece in stream_pieces:
        client.send(piece)
        data += client.read()
    is_over = client.closed
    client.drop()
    assert not listener.connections
    return sorted(repr(each) for each in said(data) if each[1] not in CONFIRMS), is_over


def uncut(stream):
    """In one piece; frame by frame where a stream is read, which is done between turns."""
    if b"x-stream-offset" not in stream:
        return [stream]
    frames = [frame(*each) for each in split_frames(stream.removeprefix(PROTOCOL_HEADER))]
    return [PROTOCOL_HEADER, *frames]


def cut_at(stream_pieces, cut):
    """With one cut more."""
    for piece in stream_pieces:
        yield from (piece[:cut], piece[cut:]) if 0 < cut < len(piece) else (piece,)
        cut -= len(piece)


def ask(*data, channels=(1,), settings=None, **agreed):
    """The answers to this on a new connection, and whether it is over."""
    client = Connection(amqp_listener(**settings or {})).open(channels, **agreed)
    return client.ask(*data), client.closed


def closes(code, text, where="0.0"):
    return [[0, "connection.close", code, where, text]], True


# --- cut, and with something behind -----------------------------------------------------------------


@EACH
def test_a_conversation_is_answered_the_same_however_it_is_cut(stream):
    base = uncut(stream)
    whole = told(base)
    # All of the short ones; of what is long, where its frames begin and all that is near.
    cuts = range(1, len(stream))
    if len(stream) > 1300:
        cuts = [cut for cut in cuts if cut < 600 or cut % 7 == 0]
    for cut in cuts:
        assert told(cut_at(base, cut)) == whole, cut


@EACH
def test_a_conversation_may_come_octet_by_octet(stream):
    assert told([stream[at : at + 1] for at in range(len(stream))]) == told(uncut(stream))


@EACH
@pytest.mark.parametrize("garbage", [b"\0" * 40, b"\xff" * 40, b"GET / HTTP/1.1\r\n\r\n", b"AMQP"])
def test_garbage_behind_a_conversation_changes_nothing_of_what_was_answered(stream, garbage):
    answers, is_over = told([stream])
    more, ends = told([stream + garbage])
    if is_over:
        assert (more, ends) == (answers, True)
    else:
        ended = [each for each in more if "connection.close'" in each]
        assert sorted(set(more) - set(ended)) == sorted(set(answers))
        assert len(ended) == ends


# --- protocol headers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        b"AMQP\0\0\x09\0", b"AMQP\0\1\0\0", b"AMQP\3\1\0\0", b"HTTP/1.1", b"A" * 8, b"\0", b"AMQX",
        b"AMQP\1\1\0\x09", HEARTBEAT,
    ],
)  # fmt: skip
def test_who_begins_otherwise_is_told_what_is_spoken(start):
    client = Connection(amqp_listener())
    client.send(start)
    assert (client.read(), client.closed) == (PROTOCOL_HEADER, True)


def test_a_protocol_header_in_the_middle_is_no_frame():
    assert ask(PROTOCOL_HEADER + b"\0" * 8)[1]


def test_who_says_nothing_is_disconnected_after_a_while():
    for start in (b"", b"AMQ", PROTOCOL_HEADER, handshake()[:-1]):
        listener = amqp_listener(handshake_timeout=10)
        client = Connection(listener)
        client.send(start)
        pass_time(listener, 9)
        client.read()
        assert not client.closed
        pass_time(listener, 2)
        client.read()
        assert client.closed


# --- frames -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [0, 4, 5, 9, 255])
@pytest.mark.parametrize("channel", [0, 1, 7])
def test_a_type_that_there_is_not_is_an_error(kind, channel):
    text = f'FRAME_ERROR - type {kind}, all octets = <<"abc">>: unknown_frame'
    assert ask(frame(kind, channel, b"abc")) == closes(501, text)


@pytest.mark.parametrize("end", [0, 0xCD, 0xCF])
def test_a_frame_ends_as_frames_do(end):
    answers, is_over = ask(DECLARE[:-1] + bytes([end]) + DECLARE)
    assert is_over
    assert answers[0][2] == 501
    assert answers[0][4].endswith(f": {{invalid_frame_end_marker,{end}}}")
    assert len(answers) == 1


@pytest.mark.parametrize("kind", [1, 2, 3, 8])
def test_a_frame_above_what_was_agreed_is_refused_by_its_size(kind):
    text = f"FRAME_ERROR - type {kind}, all octets = <<>>: {{frame_too_large,%d,4088}}"
    for size in (4089, 2**31, 2**32 - 1):
        answered = ask(FRAME_HEAD.pack(kind, 1, size), frame_max=4096)
        assert answered == closes(501, text % size)


def test_a_frame_may_be_as_large_as_was_agreed():
    data = bytes(4088)
    answers, is_over = ask(DECLARE, PUBLISH, header(4088), body(data), GET, frame_max=4096)
    assert not is_over
    assert answers[-1] == [1, "body", data.decode()]


def test_a_heartbeat_is_of_channel_0_and_empty():
    assert ask(HEARTBEAT) == ([], False)
    text = "UNEXPECTED_FRAME - type 8, all octets = <<>>"
    assert ask(frame(8, 1, b"")) == closes(505, text)
    text = 'FRAME_ERROR - type 8, all octets = <<"x">>: unknown_frame'
    assert ask(frame(8, 0, b"x")) == closes(501, text)


def test_channel_0_carries_no_content_and_only_methods_of_the_connection():
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    assert ask(encode(0, "queue.declare")) == closes(504, text, "50.10")
    assert ask(encode(0, "channel.open")) == closes(504, text, "20.10")
    assert ask(encode(0, "connection.open")) == closes(504, text, "10.40")
    assert ask(header(0, channel=0))[0][0][2] == 505
    assert ask(body(b"", channel=0))[0][0][2] == 505


@pytest.mark.parametrize(("class_id", "method_id"), [(0, 0), (50, 99), (61, 40), (65535, 65535)])
@pytest.mark.parametrize("channel", [0, 1])
def test_a_method_that_there_is_not_is_not_implemented(class_id, method_id, channel):
    ids = class_id.to_bytes(2, "big") + method_id.to_bytes(2, "big")
    text = f"NOT_IMPLEMENTED - unknown method {class_id}.{method_id}"
    assert ask(frame(1, channel, ids)) == closes(540, text, f"{class_id}.{method_id}")


# --- contents -----------------------------------------------------------------------------------------

NOT_HEADER = (
    "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
)
NOT_BODY = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
NOT_METHOD = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"


@pytest.mark.parametrize("method", [PUBLISH, DECLARE, GET, encode(1, "basic.ack", delivery_tag=1)])
def test_no_method_comes_within_a_content(method):
    assert ask(PUBLISH, method) == closes(505, NOT_HEADER, "60.40")
    assert ask(PUBLISH, header(3), method) == closes(505, NOT_BODY, "60.40")
    assert ask(PUBLISH, header(3), body(b"ab"), method) == closes(505, NOT_BODY, "60.40")


def test_the_parts_of_a_content_come_in_their_order():
    assert ask(PUBLISH, body(b"x")) == closes(505, NOT_HEADER, "60.40")
    assert ask(PUBLISH, header(3), header(3)) == closes(505, NOT_BODY, "60.40")
    assert ask(header(3)) == closes(505, NOT_METHOD)
    assert ask(body(b"x")) == closes(505, NOT_METHOD)
    assert ask(PUBLISH, header(0), body(b"")) == closes(505, NOT_METHOD)


def test_a_body_is_no_longer_than_was_announced():
    text = "FRAME_ERROR - content body is longer than announced: 6 of 5 bytes"
    assert ask(PUBLISH, header(5), body(b"123456")) == closes(501, text)
    assert ask(PUBLISH, header(5), body(b"123"), body(b"456")) == closes(501, text)


def test_a_body_comes_in_frames_of_any_size_with_other_channels_in_between():
    answers, is_over = ask(
        *(DECLARE, PUBLISH, header(4), body(b""), body(b"1"), HEARTBEAT),
        *(encode(2, "basic.publish", routing_key="q"), header(2, channel=2), body(b"a", channel=2)),
        *(body(b"234"), body(b"b", channel=2), GET, GET),
        channels=(1, 2),
    )
    assert not is_over
    assert [text for _, name, text in answers if name == "body"] == ["1234", "ab"]


def test_what_is_too_large_ends_its_channel_and_the_rest_of_it_is_passed_over():
    client = Connection(amqp_listener(max_message_size=10)).open()
    text = "PRECONDITION_FAILED - message size 11 is larger than configured max size 10"
    answers = client.ask(DECLARE, PUBLISH, header(11), body(b"0123456789a"), GET)
    assert answers[1:] == [[1, "channel.close", 406, "60.40", text]]
    answers = client.ask(encode(1, "channel.close-ok"), encode(1, "channel.open"), GET)
    assert [name for _, name, *_ in answers] == ["channel.open-ok", "basic.get-empty"]


def test_a_channel_that_ended_within_a_content_can_be_opened_again():
    client = Connection(amqp_listener()).open()
    bad = header(1, properties=b"\x01\0\x01x")  # an expiration that is no number
    [[_, name, code, *_]] = client.ask(PUBLISH, bad, body(b"x"))
    assert (name, code) == ("channel.close", 406)
    answers = client.ask(encode(1, "channel.close-ok"), encode(1, "channel.open"), DECLARE)
    assert [name for _, name, *_ in answers] == ["channel.open-ok", "queue.declare-ok"]


# --- limits -------------------------------------------------------------------------------------------


def test_there_may_be_65535_channels():
    most = 65_535
    numbers = range(1, most + 1)
    client = Connection(amqp_listener(channel_max=most)).open(numbers, channel_max=most)
    [answer] = client.ask(encode(most, "queue.declare", queue="q"))
    assert answer == [most, "queue.declare-ok", {"queue": "q"}]
    client.drop()
    assert not client.listener.connections


def test_there_are_no_more_channels_than_was_agreed():
    client = Connection(amqp_listener()).open((1, 2), channel_max=2)
    text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
    assert client.ask(encode(3, "channel.open")) == closes(530, text, "20.10")[0]


def tuned(**agreed):
    client = Connection(amqp_listener())
    return client.ask(handshake(**agreed))[2:], client.closed


def test_tune_ok_takes_what_is_offered_or_less():
    for agreed in ({"frame_max": 4096}, {"frame_max": 0}, {"channel_max": 0}, {"channel_max": 1}):
        assert tuned(**agreed) == ([[0, "connection.open-ok", {}]], False)
    least = (
        "NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)"
    )
    most = "NOT_ALLOWED - negotiated %s = %d is higher than the maximum allowed value (%d)"
    assert tuned(frame_max=4095) == closes(530, least, "10.31")
    text = most % ("frame_max", 131_073, 131_072)
    assert tuned(frame_max=131_073) == closes(530, text, "10.31")
    text = most % ("channel_max", 2048, 2047)
    assert tuned(channel_max=2048) == closes(530, text, "10.31")


@pytest.mark.parametrize("letter", [b"F", b"A"])
def test_a_table_that_is_nested_too_deep_is_refused(letter):
    nested = b""
    for _ in range(20_000):
        nested = (b"\0" if letter == b"F" else b"") + letter + sized(nested)
    nested = nested if letter == b"F" else b"\0" + nested
    bomb = encode_method("queue.declare", queue="q")[:-4] + sized(nested)
    [[_, name, code, where, _]], is_over = ask(frame(1, 1, bomb))
    assert (name, code, where, is_over) == ("connection.close", 502, "50.10", True)


def test_a_nested_header_of_a_message_harms_nobody():
    nested = b""
    for _ in range(10_000):
        nested = b"\0F" + sized(nested)
    listener = amqp_listener()
    client = Connection(listener).open()
    client.send(DECLARE, PUBLISH, header(1, properties=b"\x20\0" + sized(nested)), body(b"x"))
    client.read()
    other = Connection(listener).open()
    method = encode_method("basic.publish", routing_key="q")
    other.send(DECLARE, encode_content(1, method, b"\0\0", b"y", 4096), GET, GET)
    other.read()
    assert not other.closed


# --- the end ------------------------------------------------------------------------------------------

CLOSE, CLOSE_OK = encode(0, "connection.close", reply_code=200), encode(0, "connection.close-ok")
ERROR = encode(9, "basic.qos")  # on a channel that is not open
CLOSED = [0, "connection.close", 504, "60.10", "CHANNEL_ERROR - expected 'channel.open'"]


def test_who_closes_is_left_to_close_the_socket():
    listener = amqp_listener()
    client = Connection(listener).open(heartbeat=10)
    assert client.ask(CLOSE, DECLARE) == [[0, "connection.close-ok", {}]]
    client.send(DECLARE)
    assert client.read(29) == b""  # and heartbeats are over
    assert not client.hung_up
    client.read(2)
    assert client.hung_up
    assert not listener.connections


def test_a_client_in_error_is_waited_for_until_it_has_said_close_ok():
    client = Connection(amqp_listener()).open()
    assert client.ask(ERROR) == [CLOSED]
    assert client.ask(DECLARE, PUBLISH, header(3), body(b"abc"), HEARTBEAT, ERROR) == []
    assert not client.hung_up
    assert client.ask(CLOSE_OK) == []
    assert client.hung_up


def test_a_client_in_error_is_not_waited_for_without_end():
    client = Connection(amqp_listener()).open()
    assert client.ask(ERROR, seconds=29) == [CLOSED]
    assert not client.hung_up
    client.read(2)
    assert client.hung_up


def test_who_is_refused_has_no_more_time_than_for_logging_in():
    client = Connection(amqp_listener(handshake_timeout=10))
    assert client.ask(PROTOCOL_HEADER, encode(0, "connection.open"))[1][2] == 503
    client.read(9)
    assert not client.hung_up
    client.read(2)
    assert client.hung_up


def test_closes_that_cross_are_both_answered():
    client = Connection(amqp_listener()).open()
    assert client.ask(ERROR, CLOSE) == [CLOSED, [0, "connection.close-ok", {}]]
    assert not client.hung_up
    client.send(CLOSE_OK)
    assert client.hung_up


def test_close_ok_is_found_however_what_is_before_it_is_cut():
    stream = ERROR + DECLARE + frame(3, 1, b"x" * 50) + CLOSE_OK + DECLARE
    for cut in range(len(stream)):
        client = Connection(amqp_listener()).open()
        client.send(stream[:cut])
        client.send(stream[cut:])
        assert (said(client.read()), client.hung_up) == ([CLOSED], True), cut


@pytest.mark.parametrize("nonsense", [FRAME_HEAD.pack(1, 0, 2**31), frame(1, 0, b"")[:-1] + b"x"])
def test_behind_what_is_no_frame_nothing_is_looked_at(nonsense):
    client = Connection(amqp_listener()).open()
    assert client.ask(ERROR) == [CLOSED]
    assert client.ask(nonsense, CLOSE, b"x" * 100_000) == []
    assert client.session.unparsed_bytes == 0


def test_a_publisher_that_was_held_back_is_listened_to_when_it_is_in_error():
    client = Connection(amqp_listener()).open()
    client.send(DECLARE, PUBLISH, header(1), body(b"x"))
    client.session.memory_is_short(True)
    assert client.session.paused
    client.send(ERROR)
    assert not client.session.paused
    client.session.memory_is_short(False)
    assert [name for _, name, *_ in said(client.read())][-1] == "connection.close"
