"""Kafka's four codecs: both ways, with other people's output, and against bombs."""

from __future__ import annotations

from contextlib import suppress

import cramjam
import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.log import compression
from hubbub.model.errors import CorruptBatchError, UnsupportedCompressionError

CODECS = [compression.GZIP, compression.SNAPPY, compression.LZ4, compression.ZSTD]
MIB = 1024 * 1024


@pytest.mark.parametrize("codec", [compression.NONE, *CODECS])
@pytest.mark.parametrize("data", [b"", b"x", b"ab" * 100_000, bytes(range(256)) * 500])
def test_what_was_compressed_comes_back(codec, data):
    assert compression.decompress(codec, compression.compress(codec, data)) == data


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_at_the_limit(codec):
    bomb = compression.compress(codec, bytes(8 * MIB))
    assert len(bomb) < MIB
    with pytest.raises(CorruptBatchError):
        compression.decompress(codec, bomb, MIB)


@pytest.mark.parametrize("codec", CODECS)
def test_exactly_the_limit_is_allowed(codec):
    data = compression.compress(codec, bytes(MIB))
    assert len(compression.decompress(codec, data, MIB)) == MIB


@pytest.mark.parametrize("codec", [compression.GZIP, compression.SNAPPY, compression.LZ4])
def test_every_truncation_is_refused_or_is_a_whole_prefix(codec):
    data = compression.compress(codec, b"abc" * 20)
    for size in range(len(data)):
        try:
            found = compression.decompress(codec, data[:size])
        except CorruptBatchError:
            continue
        assert found != b"abc" * 20


def test_snappy_without_the_java_framing_is_read():
    raw = bytes(cramjam.snappy.compress_raw(b"librdkafka sends this" * 50))
    assert compression.decompress(compression.SNAPPY, raw) == b"librdkafka sends this" * 50


def test_joined_snappy_streams_are_read():
    stream = compression.compress(compression.SNAPPY, b"one")
    assert compression.decompress(compression.SNAPPY, stream + stream) == b"oneone"


def test_a_snappy_length_that_the_input_cannot_hold_allocates_nothing():
    with pytest.raises(CorruptBatchError):
        compression.decompress(compression.SNAPPY, b"\xff\xff\xff\xff\x0f\x00", 1 << 40)


def test_linked_lz4_blocks_and_zstd_without_content_size_are_read():
    linked = lz4.frame.compress(b"z" * 500_000, block_linked=True, store_size=False)
    assert compression.decompress(compression.LZ4, linked) == b"z" * 500_000
    sizeless = zstandard.ZstdCompressor(write_content_size=False).compress(b"z" * 500_000)
    assert compression.decompress(compression.ZSTD, sizeless) == b"z" * 500_000


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_codecs_that_do_not_exist_are_said_so(codec):
    with pytest.raises(UnsupportedCompressionError):
        compression.decompress(codec, b"x")
    with pytest.raises(UnsupportedCompressionError):
        compression.compress(codec, b"x")


@given(st.sampled_from(CODECS), st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_data_or_a_clear_error(codec, data):
    prefix = b"\x82SNAPPY\x00" + bytes(8) if codec == compression.SNAPPY and len(data) % 2 else b""
    with suppress(CorruptBatchError):
        compression.decompress(codec, prefix + data, MIB)
