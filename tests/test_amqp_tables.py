from __future__ import annotations

import contextlib
import datetime as dt
import math
import struct
import tracemalloc

import pamqp.decode
import pamqp.encode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_values import FIELDS, KEYS, STRINGS, TABLES
from hubbub.protocols.amqp.errors import SyntaxFailure
from hubbub.protocols.amqp.table_check import checked
from hubbub.protocols.amqp.tables import (
    MAX_DEPTH,
    TYPE_NAMES,
    Decimal,
    Field,
    decode_table,
    encode_table,
    field_of,
    plain,
    sized,
    table_of,
)


@given(TABLES)
def test_a_table_is_read_as_it_was_written(table):
    read = decode_table(encode_table(table))
    assert read == table
    assert list(read) == list(table)


@given(TABLES.filter(bool), st.data())
def test_a_table_that_is_cut_is_refused_or_has_less(table, data):
    encoded = encode_table(table)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with contextlib.suppress(SyntaxFailure):
        assert len(decode_table(encoded[:cut])) < len(table)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_a_syntax_error(encoded):
    try:
        table = decode_table(encoded)
    except SyntaxFailure:
        return
    assert decode_table(encode_table(table)) == table


def assert_checked_as_read(encoded):
    """Whether it is a table is found out natively, too."""
    try:
        decode_table(encoded)
    except SyntaxFailure:
        assert not checked(encoded)
    else:
        assert checked(encoded)


@given(TABLES, st.data())
def test_what_is_checked_is_what_could_be_read(table, data):
    encoded = bytearray(encode_table(table))
    assert checked(bytes(encoded))
    for _ in range(data.draw(st.integers(0, 3))):
        if encoded:
            encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    del encoded[data.draw(st.integers(0, len(encoded))) :]
    assert_checked_as_read(bytes(encoded))


@given(st.lists(st.sampled_from([b"\1k", b"t", b"S", b"F", b"A", b"V", b"D", b"d\x7f\xf0", b"f\x7f\x80",
                                 b"\0", b"\0\0\0\2", b"\xff", b"\0\0\0\7", b"x", b"L"])).map(b"".join))  # fmt: skip
def test_pieces_of_tables_are_checked_as_they_are_read(encoded):
    assert_checked_as_read(encoded)


@pytest.mark.parametrize("letter", range(256))
def test_every_letter_is_checked_as_it_is_read(letter):
    for size in range(12):
        assert_checked_as_read(b"\1k" + bytes([letter]) + bytes(size))
        assert_checked_as_read(b"\1k" + bytes([letter]) + b"\x7f\xff" + bytes(size))


@pytest.mark.parametrize("letter", [b"F", b"A"])
@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 5000])
def test_depth_is_checked_as_it_is_read(letter, depth):
    value = b"\0\0\0\0"
    for _ in range(depth - 1):
        value = sized((b"\1k" if letter == b"F" else b"") + letter + value)
    assert_checked_as_read(b"\1k" + letter + value)


# What each letter looks like: the errata of RabbitMQ ("AMQP 0-9-1 Errata", section 3).
WIRE = [
    (b"t\x01", Field("t", True)),
    (b"t\x00", Field("t", False)),
    (b"b\xff", Field("b", -1)),
    (b"B\xff", Field("B", 255)),
    (b"s\xff\xfe", Field("s", -2)),
    (b"u\xff\xfe", Field("u", 65534)),
    (b"I\xff\xff\xff\xff", Field("I", -1)),
    (b"i\xff\xff\xff\xff", Field("i", 2**32 - 1)),
    (b"l" + b"\xff" * 8, Field("l", -1)),
    (b"L" + b"\xff" * 8, Field("L", -1)),
    (b"f\x3f\x80\x00\x00", Field("f", 1.0)),
    (b"d\x3f\xf0" + bytes(6), Field("d", 1.0)),
    (b"D\x02\x00\x00\x01\x3a", Field("D", Decimal(2, 314))),
    (b"S\x00\x00\x00\x02\xff\x00", Field("S", b"\xff\x00")),
    (b"x\x00\x00\x00\x01x", Field("x", b"x")),
    (b"A\x00\x00\x00\x03Vt\x01", Field("A", [Field("V", None), Field("t", True)])),
    (b"T" + bytes(7) + b"\x05", Field("T", 5)),
    (b"F\x00\x00\x00\x03\x01aV", Field("F", {"a": Field("V", None)})),
    (b"V", Field("V", None)),
]


@pytest.mark.parametrize(("wire", "field"), WIRE, ids=lambda value: str(value)[:20])
def test_every_type_has_its_letter_and_size(wire, field):
    assert decode_table(b"\x01k" + wire) == {"k": field}
    assert encode_table({"k": field}) == b"\x01k" + wire
    for cut in range(len(wire)):
        with pytest.raises(SyntaxFailure):
            decode_table(b"\x01k" + wire[:cut])


def test_every_letter_is_tried():
    assert {field.letter for _, field in WIRE} == set(TYPE_NAMES)


@pytest.mark.parametrize("letter", sorted(set(range(256)) - {ord(one) for one in TYPE_NAMES}))
def test_an_unknown_type_is_a_syntax_error(letter):
    with pytest.raises(SyntaxFailure, match=f"0x{letter:02x}"):
        decode_table(b"\x01k" + bytes([letter]) + bytes(16))


def test_any_truth_but_zero_is_true():
    assert decode_table(b"\x01kt\x07") == {"k": Field("t", True)}


@pytest.mark.parametrize("letter", "fd")
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_erlang_does_not_have_is_refused(letter, number):
    with pytest.raises(SyntaxFailure, match="finite"):
        decode_table(b"\x01k" + letter.encode() + struct.pack(f">{letter}", number))


def test_of_a_name_that_comes_twice_the_first_counts():
    assert decode_table(b"\x01kB\x01\x01kB\x02") == {"k": Field("B", 1)}


def test_a_name_that_is_no_utf8_is_kept():
    table = decode_table(b"\x02\xff\xfeV")
    assert encode_table(table) == b"\x02\xff\xfeV"


def nested(depth, letter):
    inner = b""
    for _ in range(depth):
        inner = (b"\x00" if letter == b"F" else b"") + letter + sized(inner)
    return inner if letter == b"F" else b"\x01k" + inner


@pytest.mark.parametrize("letter", [b"A", b"F"])
def test_tables_are_nested_as_deep_as_they_may_and_no_deeper(letter):
    assert decode_table(nested(MAX_DEPTH, letter))
    with pytest.raises(SyntaxFailure, match="nested"):
        decode_table(nested(MAX_DEPTH + 1, letter))


@pytest.mark.parametrize("letter", [b"A", b"F"])
def test_a_nesting_bomb_is_refused_without_recursion(letter):
    with pytest.raises(SyntaxFailure, match="nested"):
        decode_table(nested(20_000, letter))


@pytest.mark.parametrize("letter", [b"S", b"x", b"A", b"F"])
@pytest.mark.parametrize("size", [1, 2**31, 2**32 - 1])
def test_a_size_that_is_not_there_is_refused_before_anything_is_made_for_it(letter, size):
    tracemalloc.start()
    with pytest.raises(SyntaxFailure, match="ends before"):
        decode_table(b"\x01k" + letter + size.to_bytes(4, "big"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("letter", [b"A", b"F"])
def test_a_size_may_not_reach_out_of_the_table_around(letter):
    inner = b"\x01iS" + (3).to_bytes(4, "big") + b"ab"
    if letter == b"A":
        inner = inner[2:]
    with pytest.raises(SyntaxFailure, match="ends before"):
        decode_table(b"\x01k" + letter + sized(inner) + b"\x01zV")


def test_a_frame_full_of_nothing_is_read():
    count = 131_000
    table = decode_table(b"\x01kA" + sized(b"V" * count))
    assert len(table["k"].value) == count


@pytest.mark.parametrize(
    "field",
    [Field("b", 128), Field("u", -1), Field("i", 2**32), Field("l", 2**63), Field("T", -1)],
)
def test_a_number_that_does_not_fit_is_not_written(field):
    with pytest.raises(ValueError, match="is no"):
        encode_table({"k": field})


def test_a_name_that_is_too_long_is_not_written():
    with pytest.raises(ValueError):
        encode_table({"k" * 256: Field("V", None)})


def test_values_of_python_have_the_types_of_rabbitmq():
    table = table_of({"s": "é", "i": 1, "f": 1.5, "t": True, "n": None, "x": [b"y", {"z": 2}]})
    assert {name: field.letter for name, field in table.items()} == {
        "s": "S",
        "i": "l",
        "f": "d",
        "t": "t",
        "n": "V",
        "x": "A",
    }
    assert plain(field_of(table)) == {
        "s": "é",
        "i": 1,
        "f": 1.5,
        "t": True,
        "n": None,
        "x": ["y", {"z": 2}],
    }
    assert field_of(table["s"]) is table["s"]


# pamqp reads and writes the same. It has no letters: a value of Python stands for several, and it
# takes `L` for unsigned and strings for text.

SHARED = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        STRINGS,
        st.none(),
        st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(KEYS, SHARED, max_size=5))
def test_what_pamqp_writes_is_read(values):
    encoded = pamqp.encode.field_table(values)
    table = decode_table(encoded[4:])
    assert plain(Field("F", table)) == values
    assert sized(encode_table(table)) == encoded


@given(st.dictionaries(KEYS, SHARED, max_size=5))
def test_what_is_written_pamqp_reads(values):
    size, read = pamqp.decode.field_table(sized(encode_table(table_of(values))))
    assert read == values
    assert size == 4 + len(encode_table(table_of(values)))


@given(FIELDS)
def test_pamqp_sees_fields_as_long_as_they_are(field):
    if field.letter in "SAFLVdfT":  # where values or errors of its own come in
        return
    encoded = encode_table({"": field})[1:]
    size, _ = pamqp.decode.embedded_value(encoded)
    assert size == len(encoded)


def test_times_are_those_of_pamqp():
    now = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
    table = decode_table(pamqp.encode.field_table({"now": now})[4:])
    assert table == {"now": Field("T", int(now.timestamp()))}
