"""Requests read by schema, from clients old, new and hostile."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import struct
import types
import typing
import uuid
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kio.schema.errors import ErrorCode
from kio.schema.index import api_key_map, schema_name_map
from kio.serial import entity_writer
from kio.static.constants import EntityType

from hubbub.protocols.kafka.reader import (
    MalformedRequestError,
    entity_reader,
    read_varint,
    skip_tagged_fields,
)
from hubbub.protocols.kafka.schema import make, module_of, request_type, response_type

HEARTBEAT, JOIN_GROUP, OFFSET_COMMIT, FETCH, METADATA = 12, 11, 8, 1, 3
REQUESTS = [
    (key, version)
    for key, name in sorted(api_key_map.items())
    for version, kinds in sorted(schema_name_map[name].items())
    if EntityType.request in kinds
]
SAMPLES = {
    "int8": 1,
    "int16": 2,
    "int32": 3,
    "int64": 4,
    "uint16": 5,
    "uint32": 6,
    "float64": 1.5,
    "bool": True,
    "string": "näme",
    "bytes": b"\x00bytes",
    "records": b"records",
    "uuid": uuid.UUID(int=7),
    "error_code": ErrorCode.none,
    "timedelta_i32": timedelta(milliseconds=-1),
    "timedelta_i64": timedelta(milliseconds=1234),
}


def write(entity):
    buffer = io.BytesIO()
    entity_writer(type(entity))(buffer, entity)
    return buffer.getvalue()


def read(kind, data):
    return entity_reader(kind)(data, 0)


def sample(kind, *, null):
    """An entity with every field set, the nullable ones to null if so wished."""
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            field.name: sample_field(hints[field.name], field.metadata, null=null)
            for field in dataclasses.fields(kind)
        }
    )


def sample_field(hint, metadata, *, null):
    if typing.get_origin(hint) is types.UnionType:
        if null and "tag" not in metadata:
            return None
        hint = next(one for one in typing.get_args(hint) if one is not types.NoneType)
    if typing.get_origin(hint) is tuple:
        element = typing.get_args(hint)[0]
        return tuple(sample_field(element, metadata | {"tag": None}, null=null) for _ in range(2))
    if "kafka_type" in metadata:
        return SAMPLES[metadata["kafka_type"]]
    return sample(hint, null=null)


@pytest.mark.parametrize("null", [False, True])
@pytest.mark.parametrize(("key", "version"), REQUESTS)
def test_every_request_of_every_version_reads_back_as_written(key, version, null):
    entity = sample(request_type(key, version), null=null)
    data = write(entity)
    assert read(type(entity), data) == (entity, len(data))
    assert read(type(entity), data + b"beyond") == (entity, len(data))
    for end in range(len(data)):
        with pytest.raises(MalformedRequestError):
            read(type(entity), data[:end])


def test_tagged_fields_left_out_have_their_defaults_and_unknown_ones_are_skipped():
    kind = request_type(FETCH, 12)
    entity = sample(kind, null=False)
    plain = dataclasses.replace(entity, cluster_id=None)
    data = write(plain)
    assert data.endswith(b"\x00")
    unknown = b"\x02\x07\x01x\x8f\x4e\x03abc"  # tags 7 and 9999
    assert read(kind, data[:-1] + unknown)[0] == plain
    known_between = b"\x03\x00\x03\x02id"[:1] + b"\x00\x03\x03id" + unknown[1:]
    assert read(kind, data[:-1] + known_between)[0] == dataclasses.replace(plain, cluster_id="id")


@pytest.mark.parametrize(
    ("key", "version", "data"),
    [
        (HEARTBEAT, 4, b"\x02g\0\0\0\1\x02m\0\x01\x07\x7fab"),  # a tag longer than the request
        (HEARTBEAT, 4, b"\x02g\0\0\0\1\x02m\0\xff\xff\xff\xff\x07"),  # two thousand million tags
        (HEARTBEAT, 4, b"\xff\xff\xff\xff\x0fg"),  # a string of 4 GiB
        (HEARTBEAT, 4, b"\xff\xff\xff\xff\xff\xff\xff\xff\x01g"),  # a varint without end
        (HEARTBEAT, 4, b"\x00\0\0\0\1\x02m\0\0"),  # a null that may not be
        (HEARTBEAT, 4, b"\x02\xff\0\0\0\1\x02m\0\0"),  # no UTF-8
        (HEARTBEAT, 0, b"\xff\xfeg\0\0\0\1\0\1m"),  # a length of -2
        (JOIN_GROUP, 9, b"\x02g" + bytes(8) + b"\1\0\2c" + b"\xff\xff\xff\xff\x0f"),
        (JOIN_GROUP, 2, b"\0\1g" + bytes(8) + b"\0\0\0\1c" + struct.pack(">i", 2**31 - 1)),
        (JOIN_GROUP, 2, b"\0\1g" + bytes(8) + b"\0\0\0\1c" + struct.pack(">i", -7)),
        (OFFSET_COMMIT, 2, b"\0\1g\0\0\0\1\0\0" + struct.pack(">qi", 2**63 - 1, 0)),
        (METADATA, 12, b"\xff\xff\xff\xff\x07"),
    ],
)
def test_what_does_not_hold_together_is_refused_before_it_costs_anything(key, version, data):
    with pytest.raises(MalformedRequestError):
        read(request_type(key, version), data)


def test_a_string_longer_than_kafka_s_longest_is_refused():
    kind = request_type(HEARTBEAT, 4)
    fits = kind(group_id="g" * 32767, generation_id=1, member_id="m")
    assert read(kind, write(fits))[0] == fits
    with pytest.raises(MalformedRequestError):
        read(kind, write(dataclasses.replace(fits, group_id="g" * 32768)))


def test_a_tagged_field_that_is_longer_than_it_says_is_refused():
    kind = request_type(FETCH, 12)
    data = write(dataclasses.replace(sample(kind, null=False), cluster_id=None))[:-1]
    for size in (2, 4):
        with pytest.raises(MalformedRequestError):
            read(kind, data + b"\x01\x00" + bytes([size]) + b"\x03id\x00\x00")


@settings(max_examples=200)
@given(st.sampled_from(REQUESTS), st.binary(max_size=200))
def test_no_bytes_raise_anything_but_malformed(request, data):
    with contextlib.suppress(MalformedRequestError):
        read(request_type(*request), data)


@given(st.integers(0, 2**31 - 1))
def test_varints_read_back(value):
    data = bytearray()
    rest = value
    while rest >= 0x80:
        data.append(rest & 0x7F | 0x80)
        rest >>= 7
    data.append(rest)
    assert read_varint(bytes(data), 0) == (value, len(data))


def test_a_section_of_unknown_tags_is_skipped():
    assert skip_tagged_fields(b"..\x02\x07\x01x\x08\x00rest", 2) == 8
    assert skip_tagged_fields(b"\x00", 0) == 1


def test_entities_are_made_without_the_fields_that_a_version_lacks():
    old = module_of(response_type(HEARTBEAT, 0))
    new = module_of(response_type(HEARTBEAT, 4))
    made = [make(one, "HeartbeatResponse", error_code=ErrorCode.none) for one in (old, new)]
    assert not hasattr(made[0], "throttle_time")
    assert made[1].throttle_time == timedelta(0)
    assert [write(one) for one in made] == [b"\0\0", b"\0\0\0\0\0\0\0"]
