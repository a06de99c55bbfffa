"""Kafka's frames and headers, topic names, and what arrives cut, wrong or hostile."""

from __future__ import annotations

import re
import struct
import tracemalloc
from pathlib import Path

import kio.index
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode

from hubbub.broker.outbox import Outbox
from hubbub.model import errors
from hubbub.model.address import from_levels
from hubbub.model.errors import HubbubError, InvalidAddressError
from hubbub.protocols.kafka.codec import (
    MAX_PRODUCE_BYTES,
    MAX_REQUEST_BYTES,
    FrameBudget,
    FrameBuffer,
    read_body,
    read_header,
    response_frame,
)
from hubbub.protocols.kafka.listener import HANDLERS, KafkaListener
from hubbub.protocols.kafka.mapping import error_code, from_kafka, to_kafka
from hubbub.protocols.kafka.produce_request import MAX_PARTITIONS_PER_REQUEST
from hubbub.protocols.kafka.reader import MalformedRequestError
from hubbub.protocols.kafka.versions import API_VERSIONS, METADATA, PRODUCE, VERSIONS
from kafka_wire import PEER, Wire, frame

GOLDEN = Path(__file__).parent / "golden" / "kafka"
FRAMES = {path.stem: bytes.fromhex(path.read_text()) for path in sorted(GOLDEN.glob("*.hex"))}


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """``data`` in pieces of these sizes, over and over."""
    pieces = []
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


def frames_of(pieces: list[bytes]) -> list[bytes]:
    buffer = FrameBuffer(FrameBudget())
    found = []
    for piece in pieces:
        buffer.feed(piece)
        while (whole := buffer.next_frame()) is not None:
            found.append(bytes(whole))
    return found


# Frames


@given(st.lists(st.sampled_from(sorted(FRAMES)), max_size=6), st.lists(st.integers(1, 700)))
@settings(max_examples=100)
def test_frames_come_out_whole_however_they_are_cut(names, sizes):
    stream = b"".join(FRAMES[name] for name in names)
    assert frames_of(cut(stream, sizes or [1])) == [FRAMES[name][4:] for name in names]


def test_bytes_that_a_paused_session_left_are_joined_with_what_comes_after():
    first, second = FRAMES["metadata_request_v4_kcat"], FRAMES["fetch_request_v11_kcat"]
    buffer = FrameBuffer(FrameBudget())
    buffer.feed(first + second[:20])
    buffer.feed(second[20:])
    assert bytes(buffer.next_frame()) == first[4:]
    assert bytes(buffer.next_frame()) == second[4:]
    assert buffer.next_frame() is None


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /topics HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc",  # a TLS ClientHello
        b"AMQP\x00\x00\x09\x01" + bytes(8),
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00<\x00\x00",
        b"*1\r\n$4\r\nPING\r\n",
        b"CONNECT {}\r\n",
        struct.pack(">ihhi", -1, METADATA, 5, 1),
        struct.pack(">ihhi", 0, METADATA, 5, 1),
        struct.pack(">ihhi", 7, METADATA, 5, 1),
        struct.pack(">ihhi", MAX_REQUEST_BYTES + 1, METADATA, 5, 1),
        struct.pack(">ihhi", MAX_PRODUCE_BYTES + 1, PRODUCE, 9, 1),
        struct.pack(">ihhi", 100, 999, 0, 1),
        struct.pack(">ihhi", 100, -1, 0, 1),
    ],
)
def test_what_is_no_request_closes_the_connection_by_its_first_bytes(greeting):
    wire = Wire()
    wire.session.receive(greeting)
    assert wire.closed
    assert wire.outbox.take() == []


def test_memory_grows_with_what_came_not_with_what_was_announced():
    buffer = FrameBuffer(FrameBudget())
    tracemalloc.start()
    try:
        buffer.feed(struct.pack(">ihhi", MAX_PRODUCE_BYTES, PRODUCE, 9, 1) + bytes(1000))
        assert buffer.next_frame() is None
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_small_responses_are_one_chunk_and_large_ones_keep_their_batches_apart():
    assert response_frame(b"head", b"body") == [b"\0\0\0\x08headbody"]
    stored = bytes(100_000)
    chunks = response_frame(b"head", [b"before", stored, b"after"])
    assert any(chunk is stored for chunk in chunks)
    assert b"".join(chunks) == struct.pack(">i", 100_015) + b"headbefore" + stored + b"after"


# Headers


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_real_clients_headers_are_read(name):
    api, version = re.fullmatch(r"(\w+)_request_v(\d+)_\w+", name).groups()
    header = read_header(memoryview(FRAMES[name])[4:])
    assert kio.index.api_key_map[header.api_key] == api
    assert header.api_version == int(version)
    assert header.client_id
    read_body(memoryview(FRAMES[name])[4:], header)


def test_unknown_tagged_fields_are_passed_over():
    plain = frame(METADATA, 12, topics=(), include_topic_authorized_operations=False)
    assert plain[18:19] == b"\0"  # no tags after the client id
    # One tag, number 200, of three bytes, in the header and at the end of the body.
    tag = b"\x01\xc8\x01\x03abc"
    tagged = plain[4:18] + tag + plain[19:-1] + tag
    header = read_header(memoryview(tagged))
    assert header.client_id == "test"
    assert read_body(memoryview(tagged), header).topics == ()


def test_the_versions_agree_with_kafkas_schemas():
    for api_key, versions in VERSIONS.items():
        for version in range(versions.oldest, versions.newest + 1):
            request = kio.index.load_request_schema(api_key, version)
            assert request.__flexible__ is (version >= versions.flexible)
            kio.index.load_response_schema(api_key, version)


def test_nothing_is_advertised_without_a_handler_and_nothing_handled_without_versions():
    response = Wire().ask(API_VERSIONS, 0)
    assert [entry.api_key for entry in response.api_keys] == sorted(HANDLERS)
    assert HANDLERS.keys() <= VERSIONS.keys()


# Cut, wrong and hostile requests


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_a_request_cut_anywhere_gets_no_answer(name):
    whole = FRAMES[name]
    wire = Wire()
    for size in range(len(whole)):
        outbox = Outbox()
        session = KafkaListener(wire.broker).session(PEER, outbox)
        session.receive(whole[:size])
        assert outbox.take() == []
        session.disconnected()


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_a_request_shorter_than_it_must_be_is_answered_or_closed_on_but_never_raises(name):
    whole = FRAMES[name]
    wire = Wire()
    for size in range(8, len(whole) - 4):
        outbox = Outbox()
        session = KafkaListener(wire.broker).session(PEER, outbox)
        session.receive(struct.pack(">i", size) + whole[4 : 4 + size])
        if outbox.closing:
            assert outbox.take() == []
        session.disconnected()


@given(st.sampled_from(sorted(FRAMES)), st.integers(4, 400), st.binary(max_size=40))
@settings(max_examples=200)
def test_overwritten_requests_never_raise(name, at, noise):
    whole = bytearray(FRAMES[name])
    whole[at : at + len(noise)] = noise
    whole[:4] = struct.pack(">i", len(whole) - 4)
    wire = Wire()
    wire.session.receive(bytes(whole))
    wire.session.disconnected()


@given(st.sampled_from(sorted(HANDLERS)), st.integers(0, 18), st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_as_any_request_never_raise(api_key, version, body):
    wire = Wire()
    head = struct.pack(">hhi", api_key, version, 1)
    wire.session.receive(struct.pack(">i", len(head) + len(body)) + head + body)
    wire.session.disconnected()


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_any_bytes_never_raise(data):
    wire = Wire()
    wire.session.receive(data)
    wire.session.disconnected()


def produce_request(partitions: int) -> bytes:
    """Produce v3 to so many partitions of one topic, with null records."""
    body = struct.pack(">hhii", -1, 1, 1000, 1) + b"\0\x01t" + struct.pack(">i", partitions)
    body += b"".join(struct.pack(">ii", index, -1) for index in range(partitions))
    head = struct.pack(">hhih", PRODUCE, 3, 1, -1)
    return struct.pack(">i", len(head) + len(body)) + head + body


def test_a_produce_request_names_a_bounded_number_of_partitions():
    wire = Wire()
    wire.session.receive(produce_request(MAX_PARTITIONS_PER_REQUEST - 1))
    assert not wire.closed
    wire.session.receive(produce_request(MAX_PARTITIONS_PER_REQUEST))
    assert wire.closed


@pytest.mark.parametrize("version", [3, 9, 13])
def test_absurd_counts_in_a_produce_request_are_malformed(version):
    count = b"\xff\xff\xff\xff\x07" if version >= 9 else b"\x7f\xff\xff\xff"
    null = b"\0" if version >= 9 else b"\xff\xff"
    data = struct.pack(">hhihh", 0, version, 1, -1, 0)[:10] + (b"\0" if version >= 9 else b"")
    request = memoryview(data + null + struct.pack(">hi", 1, 1000) + count)
    with pytest.raises(MalformedRequestError):
        read_body(request, read_header(request))


# Names


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
@settings(max_examples=200)
def test_every_address_comes_back_from_its_topic_name(levels):
    try:
        address = from_levels(levels)
    except HubbubError:
        return
    name = to_kafka(address)
    if name is not None:
        assert re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", name)
        assert from_kafka(name) == address


@given(st.from_regex(r"(_x|[a-zA-Z0-9._-]){1,20}", fullmatch=True))
@settings(max_examples=200)
def test_every_topic_name_that_is_taken_is_shown_as_it_was(name):
    try:
        address = from_kafka(name)
    except InvalidAddressError:
        return
    assert to_kafka(address) == name


def test_names_legal_in_kafka_stay_as_they_are_and_others_are_escaped():
    assert to_kafka(from_levels(["orders", "eu", "created"])) == "orders.eu.created"
    assert to_kafka(from_levels(["a b", "ä"])) == "a_x20b._xC3_xA4"
    assert from_kafka("a_x20b") == "a b"
    assert from_kafka("a_xb") == "a_xb"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "the empty string is not allowed"),
        (".", "'.' is not allowed"),
        ("..", "'..' is not allowed"),
        ("a" * 250, "longer than the max allowed length 249"),
        ("a/b", "other than ASCII alphanumerics"),
        ("a\n", "other than ASCII alphanumerics"),
        ("_xFF", "escapes no text"),
        ("_x0A", "control characters"),
        ("__hubbub_state", "is reserved"),
        ("__hubbub_x20", "is reserved"),
    ],
)
def test_illegal_topic_names_are_refused_in_kafkas_words(name, reason):
    with pytest.raises(InvalidAddressError, match=re.escape(reason)):
        from_kafka(name)


def test_what_kafka_could_not_name_is_not_shown():
    assert to_kafka(from_levels(["", ""])) is None
    assert to_kafka(from_levels(["a" * 250])) is None
    assert to_kafka(from_levels(["ä" * 50])) is None  # six characters each
    assert to_kafka(from_levels(["__hubbub_state"])) is None
    assert to_kafka(from_levels(["__consumer_offsets"])) == "__consumer_offsets"


def test_each_of_our_errors_has_a_code_of_kafkas():
    no_codes = {errors.HubbubError, errors.DataDirectoryLockedError}
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, HubbubError):
            code = error_code(kind.__new__(kind))
            assert (code is ErrorCode.unknown_server_error) is (kind in no_codes), kind
    assert error_code(ValueError()) is ErrorCode.unknown_server_error
