from __future__ import annotations

import datetime as dt

import pamqp.commands
import pamqp.header
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_values import KEYS, PROPERTIES, STRINGS, TABLES
from hubbub.protocols.amqp import properties as codec
from hubbub.protocols.amqp.codec import CONTENT_HEADER
from hubbub.protocols.amqp.errors import SyntaxFailure
from hubbub.protocols.amqp.methods import BASIC_PROPERTIES
from hubbub.protocols.amqp.properties import (
    Properties,
    check_properties,
    decode_headers,
    decode_properties,
    encode_properties,
    replace,
    replace_headers,
)
from hubbub.protocols.amqp.tables import plain, table_of


@given(PROPERTIES)
def test_properties_are_read_as_they_were_written(properties):
    encoded = encode_properties(properties)
    check_properties(encoded)
    assert decode_properties(encoded) == properties
    assert decode_headers(encoded) == properties.headers


@given(PROPERTIES)
def test_properties_that_are_cut_or_longer_are_refused(properties):
    encoded = encode_properties(properties)
    for wrong in [*(encoded[:cut] for cut in range(len(encoded))), encoded + b"\0"]:
        with pytest.raises(SyntaxFailure):
            decode_properties(wrong)
        with pytest.raises(SyntaxFailure):
            check_properties(wrong)
        with pytest.raises(SyntaxFailure):
            replace_headers(wrong, None)


@given(st.binary(max_size=100))
def test_any_bytes_are_properties_or_a_syntax_error(encoded):
    try:
        properties = decode_properties(encoded)
    except SyntaxFailure:
        return
    assert decode_properties(encode_properties(properties)) == properties


@given(PROPERTIES, st.none() | TABLES)
def test_headers_are_replaced_and_nothing_else(properties, headers):
    encoded = encode_properties(properties)
    properties.headers = headers
    assert replace_headers(encoded, headers) == encode_properties(properties)


@given(PROPERTIES)
def test_properties_are_replaced_and_taken_out(properties):
    encoded = encode_properties(properties)
    properties.expiration, properties.priority, properties.reply_to = None, 7, "to"
    changed = replace(encoded, expiration=None, priority=7, reply_to="to")
    assert changed == encode_properties(properties)


def test_no_properties_are_two_bytes():
    assert encode_properties(Properties()) == codec.NONE == b"\0\0"
    assert decode_properties(b"\0\0") == Properties()
    assert decode_headers(b"\0\0") is None


def test_the_flags_stand_in_the_order_of_the_specification():
    for index, (name, kind) in enumerate(BASIC_PROPERTIES):
        value = {"shortstr": "v", "table": {}, "octet": 1, "timestamp": 1}[kind]
        encoded = encode_properties(Properties(**{name: value}))
        assert int.from_bytes(encoded[:2], "big") == 0x8000 >> index


@pytest.mark.parametrize("flag", [1, 2])
def test_flags_that_class_basic_does_not_have_are_refused(flag):
    with pytest.raises(SyntaxFailure, match=f"0x000{flag}"):
        decode_properties(bytes([0, flag, 0, 0]))


def test_strings_that_are_no_utf8_are_kept():
    encoded = b"\x80\x00\x02\xff\xfe"
    assert encode_properties(decode_properties(encoded)) == encoded


def test_only_headers_that_are_asked_for_are_read():
    hostile = b"\x20\x00\x00\x00\x00\x03\x01k?"
    check_properties(hostile)
    with pytest.raises(SyntaxFailure, match="0x3f"):
        decode_headers(hostile)
    assert replace_headers(hostile, None) == codec.NONE


@pytest.mark.parametrize(
    "properties",
    [
        Properties(priority=256),
        Properties(timestamp=-1),
        Properties(message_id="x" * 256),
    ],
)
def test_a_value_that_does_not_fit_is_not_written(properties):
    with pytest.raises(ValueError):
        encode_properties(properties)


# cluster-id is reserved: pamqp has it under another name and wants it empty.
SHARED = st.fixed_dictionaries(
    {},
    optional={
        name: {
            "shortstr": STRINGS,
            "octet": st.integers(1, 2) if name == "delivery_mode" else st.integers(0, 9),
            "timestamp": st.integers(0, 2**31),
            "table": st.dictionaries(KEYS, STRINGS | st.integers(-(2**31), 2**31)),
        }[kind]
        for name, kind in BASIC_PROPERTIES
        if name != "cluster_id"
    },
)


def pamqp_properties(values):
    theirs = {("message_type" if name == "type" else name): one for name, one in values.items()}
    if "timestamp" in theirs:
        theirs["timestamp"] = dt.datetime.fromtimestamp(theirs["timestamp"], dt.UTC)
    return theirs


@given(SHARED)
def test_properties_of_pamqp_are_read(values):
    theirs = pamqp.commands.Basic.Properties(**pamqp_properties(values))
    header = pamqp.header.ContentHeader(body_size=5, properties=theirs)
    read = decode_properties(header.marshal()[CONTENT_HEADER.size :])
    if read.headers is not None:
        read.headers = {name: plain(field) for name, field in read.headers.items()}
    # It does not send an empty string.
    assert read == Properties(**{name: value for name, value in values.items() if value != ""})


@given(SHARED)
def test_pamqp_reads_properties(values):
    ours = dict(values)
    if "headers" in ours:
        ours["headers"] = table_of(ours["headers"])
    header = pamqp.header.ContentHeader()
    header.unmarshal(CONTENT_HEADER.pack(60, 0, 5) + encode_properties(Properties(**ours)))
    assert header.body_size == 5
    for name, value in pamqp_properties(values).items():
        assert getattr(header.properties, name) == value
