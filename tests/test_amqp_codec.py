from __future__ import annotations

import pamqp.commands
import pamqp.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amqp_values import ANY_NAMES, KEYS, PROPERTIES, STRINGS, arguments_of
from hubbub.protocols.amqp import constants, errors
from hubbub.protocols.amqp.codec import (
    FRAME_BYTES,
    HEARTBEAT,
    decode_content_header,
    decode_method,
    encode,
    encode_content,
    encode_method,
    frame,
    method_spec,
    split_frames,
)
from hubbub.protocols.amqp.errors import (
    AmqpError,
    ChannelError,
    ConnectionFailure,
    FrameFailure,
    SyntaxFailure,
)
from hubbub.protocols.amqp.methods import METHODS
from hubbub.protocols.amqp.properties import encode_properties
from hubbub.protocols.amqp.tables import plain, table_of

SPECS = sorted(METHODS.values())
EACH = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
FEW = settings(max_examples=25)  # of each method


def ids(spec):
    return spec.class_id.to_bytes(2, "big") + spec.method_id.to_bytes(2, "big")


@EACH
@FEW
@given(data=st.data())
def test_a_method_is_read_as_it_was_written(spec, data):
    fields = data.draw(arguments_of(spec))
    payload = encode_method(spec.name, **fields)
    method = decode_method(payload)
    assert (method.name, method.class_id, method.method_id, method.content) == (
        spec.name,
        spec.class_id,
        spec.method_id,
        spec.content,
    )
    assert {name: getattr(method.args, name) for name in fields} == fields
    assert decode_method(memoryview(payload)) == method
    assert encode(7, spec.name, **fields) == frame(constants.FRAME_METHOD, 7, payload)


@EACH
@FEW
@given(data=st.data())
def test_a_method_that_is_cut_or_longer_is_refused(spec, data):
    payload = encode_method(spec.name, **data.draw(arguments_of(spec)))
    for wrong in [*(payload[:cut] for cut in range(len(payload))), payload + b"\0"]:
        with pytest.raises(FrameFailure) as caught:
            decode_method(wrong)
        if len(wrong) >= 4:
            assert (caught.value.class_id, caught.value.method_id) == spec[1:3]


@EACH
@FEW
@given(fields=st.binary(max_size=60))
def test_any_fields_are_those_of_the_method_or_refused(spec, fields):
    try:
        method = decode_method(ids(spec) + fields)
    except ConnectionFailure:
        return
    args = {name: getattr(method.args, name) for name, _ in spec.fields}
    assert decode_method(encode_method(spec.name, **args)) == method


def test_what_cannot_be_decoded_is_said_as_rabbitmq_says_it():
    with pytest.raises(FrameFailure) as caught:
        decode_method(bytes.fromhex("0032000a0000ff"))
    assert caught.value.code == 501
    assert caught.value.reply_text == "FRAME_ERROR - cannot decode <<0,0,255>>"
    assert (caught.value.class_id, caught.value.method_id) == (50, 10)


@pytest.mark.parametrize("pair", [(0, 0), (10, 0), (50, 99), (65535, 65535)])
def test_a_method_that_does_not_exist_is_refused(pair):
    with pytest.raises(FrameFailure) as caught:
        decode_method(b"".join(one.to_bytes(2, "big") for one in pair))
    assert (caught.value.class_id, caught.value.method_id) == pair


def test_names_are_utf8_but_for_those_beside_a_content():
    with pytest.raises(FrameFailure, match="Malformed UTF-8 in shortstr"):
        decode_method(encode_method("queue.declare", queue="\udcff"))
    payload = encode_method("basic.publish", routing_key="\udcff\udcfe")
    assert decode_method(payload).args.routing_key == "\udcff\udcfe"
    assert b"\x02\xff\xfe" in payload


def test_a_table_that_is_wrong_within_is_a_syntax_error():
    good = encode_method("queue.declare", queue="q", arguments=table_of({"k": True}))
    with pytest.raises(SyntaxFailure, match="no such type"):
        decode_method(good.replace(b"kt", b"k?"))


def test_bits_share_octets_from_the_lowest_on():
    payload = encode_method("exchange.declare", durable=True, nowait=True)
    # ticket, name, type "direct", then passive durable auto-delete internal nowait
    assert payload[4:] == b"\0\0\0\x06direct" + bytes([0b10010]) + bytes(4)


def test_a_bit_that_means_nothing_is_passed_over():
    payload = encode_method("basic.ack", delivery_tag=1)
    assert decode_method(payload[:-1] + b"\xfe").args.multiple is False


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("queue.declare", {"queue": "q" * 256}),
        ("queue.declare", {"ticket": 65536}),
        ("basic.ack", {"delivery_tag": -1}),
        ("basic.qos", {"prefetch_size": 2**32}),
    ],
)
def test_a_value_that_does_not_fit_is_not_written(name, fields):
    with pytest.raises(ValueError):
        encode_method(name, **fields)


def test_a_field_that_a_method_does_not_have_is_not_written():
    with pytest.raises(TypeError):
        encode_method("queue.declare", name="q")


# Frames


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 65535), st.binary(max_size=50))))
def test_frames_are_split_as_they_were_joined(frames):
    joined = b"".join(frame(*one) for one in frames)
    assert list(split_frames(joined)) == frames
    for cut in range(len(joined)):
        whole = list(split_frames(joined[:cut]))
        assert whole == frames[: len(whole)]


def test_a_frame_ends_as_frames_do():
    broken = bytearray(frame(1, 0, b"abc"))
    broken[-1] = 0
    with pytest.raises(FrameFailure, match="end marker 0"):
        list(split_frames(bytes(broken)))


def test_a_heartbeat_is_what_the_specification_says():
    assert bytes.fromhex("08 0000 00000000 ce") == HEARTBEAT


@given(PROPERTIES, st.binary(max_size=100), st.integers(FRAME_BYTES + 1, 60), ANY_NAMES)
def test_a_content_is_cut_to_frames_that_fit(properties, body, frame_max, key):
    encoded = encode_properties(properties)
    method = encode_method("basic.return", reply_code=312, routing_key=key)
    first, header, *bodies = split_frames(encode_content(3, method, encoded, body, frame_max))
    assert first == (constants.FRAME_METHOD, 3, method)
    assert header[:2] == (constants.FRAME_HEADER, 3)
    assert decode_content_header(header[2]) == (60, len(body), encoded)
    assert {one[:2] for one in bodies} <= {(constants.FRAME_BODY, 3)}
    assert b"".join(payload for _, _, payload in bodies) == body
    assert all(payload for _, _, payload in bodies)
    assert all(len(payload) + FRAME_BYTES <= frame_max for _, _, payload in bodies)


def test_without_a_frame_max_a_body_is_one_frame():
    frames = encode_content(1, encode_method("basic.get-ok"), b"\0\0", bytes(200_000), 0)
    assert len(list(split_frames(frames))) == 3


def test_a_content_header_that_is_cut_is_refused():
    header = bytes.fromhex("003c 0000 0000000000000005 0000")
    assert decode_content_header(header) == (60, 5, b"\0\0")
    for cut in range(12):
        with pytest.raises(SyntaxFailure):
            decode_content_header(header[:cut])


# pamqp

PAMQP = {
    "bit": st.booleans(),
    "octet": st.integers(0, 255),
    "short": st.integers(0, 2**16 - 1),
    "long": st.integers(0, 2**32 - 1),
    "longlong": st.integers(0, 2**63 - 1),
    "shortstr": STRINGS,
    "longstr": STRINGS,
    "table": st.dictionaries(KEYS, STRINGS | st.booleans() | st.integers(0, 2**40)),
}
# pamqp wants these as they are, for nobody uses them.
FIXED = {"ticket", "insist", "capabilities", "out_of_band", "channel_id", "cluster_id"}
FIXED |= {"known_hosts"}
# It looks at what names are made of.
CHECKED = {"queue": "a", "exchange": "b", "destination": "c", "source": "d", "virtual_host": "/"}
THEIR_METHODS = {
    (theirs.index >> 16, theirs.index & 0xFFFF): theirs
    for theirs in pamqp.commands.INDEX_MAPPING.values()
}


def test_pamqp_knows_the_methods_but_one_class():
    # access.request is deprecated and not in pamqp.
    assert {pair for pair in METHODS if pair[0] != 30} == set(THEIR_METHODS)


@pytest.mark.parametrize(
    "spec", [one for one in SPECS if one.class_id != 30], ids=lambda spec: spec.name
)
@FEW
@given(data=st.data())
def test_what_pamqp_writes_is_read_and_what_is_written_pamqp_reads(spec, data):
    theirs = THEIR_METHODS[spec.class_id, spec.method_id]
    assert len(theirs.__slots__) == len(spec.fields)
    kinds = {name: kind for name, kind in spec.fields if name not in FIXED}
    names = {name: their for (name, _), their in zip(spec.fields, theirs.__slots__, strict=True)}
    values = {
        name: CHECKED.get(name) or data.draw(PAMQP[kind], label=name)
        for name, kind in kinds.items()
    }
    object_ = theirs(**{names[name]: value for name, value in values.items()})
    raw = pamqp.frame.marshal(object_, 5)
    [(_, channel, payload)] = split_frames(raw)
    assert channel == 5
    method = decode_method(payload)
    ours = {}
    for name, value in values.items():
        read = getattr(method.args, name)
        ours[name] = read
        if isinstance(read, bytes):
            read = read.decode()
        if isinstance(read, dict):
            read = {key: plain(field) for key, field in read.items()}
        assert read == value
    _, channel, read = pamqp.frame.unmarshal(encode(5, spec.name, **ours))
    assert channel == 5
    assert {name: getattr(read, names[name]) for name in values} == values


# Errors


def test_soft_errors_are_of_the_channel_and_hard_ones_of_the_connection():
    for code in constants.ReplyCode:
        hard = code in constants.HARD_ERRORS
        assert type(errors.amqp_error(code, "x")) is (ConnectionFailure if hard else ChannelError)
    assert constants.ReplyCode.NOT_FOUND not in constants.HARD_ERRORS
    assert constants.ReplyCode.CHANNEL_ERROR in constants.HARD_ERRORS


@pytest.mark.parametrize(
    ("error", "code", "reply_text"),
    [
        (
            errors.not_found("no queue 'q' in vhost '/'"),
            404,
            "NOT_FOUND - no queue 'q' in vhost '/'",
        ),
        (errors.access_refused("no"), 403, "ACCESS_REFUSED - no"),
        (errors.resource_locked("no"), 405, "RESOURCE_LOCKED - no"),
        (errors.precondition_failed("no"), 406, "PRECONDITION_FAILED - no"),
        (errors.frame_error("no"), 501, "FRAME_ERROR - no"),
        (errors.syntax_error("no"), 502, "SYNTAX_ERROR - no"),
        (errors.command_invalid("no"), 503, "COMMAND_INVALID - no"),
        (errors.channel_error("no"), 504, "CHANNEL_ERROR - no"),
        (errors.unexpected_frame("no"), 505, "UNEXPECTED_FRAME - no"),
        (errors.not_allowed("no"), 530, "NOT_ALLOWED - no"),
        (errors.not_implemented("no"), 540, "NOT_IMPLEMENTED - no"),
        (errors.internal_error(), 541, "INTERNAL_ERROR"),
        (
            errors.message_too_large(10, 5),
            406,
            "PRECONDITION_FAILED - message size 10 is larger than configured max size 5",
        ),
    ],
)
def test_a_reply_text_begins_with_the_name_of_its_code(error, code, reply_text):
    assert isinstance(error, AmqpError)
    assert error.code == code
    assert error.reply_text == reply_text
    assert isinstance(error, ConnectionFailure) == (code in constants.HARD_ERRORS)


@given(st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace").decode()))
def test_a_reply_text_fits_a_short_string(text):
    error = errors.not_found(text)
    raw = error.reply_text.encode()
    assert len(raw) <= 255
    assert len(raw) < 253 or error.reply_text.endswith("...") or text in error.reply_text
    encode(1, "channel.close", reply_code=error.code, reply_text=error.reply_text)


def test_every_method_is_found_by_its_name():
    assert [method_spec(spec.name) for spec in SPECS] == SPECS
