"""The codecs a RecordBatch v2 names in its attributes, each decompressing at most what it may.

No output is allocated from a length that the input claims: output grows chunk by chunk, and stops
at the limit.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from hubbub.model.errors import CorruptBatchError, UnsupportedCompressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NONE = 0
GZIP = 1
SNAPPY = 2
LZ4 = 3
ZSTD = 4

# Honest batches are a few times larger inside than out, and brokers take about 1 MiB from a client;
# beyond this factor of 64 it is a bomb (CVE-2023-34455, CVE-2026-27571).
MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024

# What a streaming codec may hand out at once: the limit is overrun by no more than this.
_CHUNK_BYTES = 256 * 1024

# zstandard refuses frames that ask for a larger window; level 22 of the format needs 128 MiB, but
# no producer compresses a batch of 1 MiB with a window beyond the format's recommended 8 MiB.
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024

# snappy-java's framing, which Kafka's Java client uses: magic, version, compatible version, then
# blocks of (length, raw snappy). librdkafka and others send raw snappy without it.
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_XERIAL_VERSIONS = (1).to_bytes(4, "big") * 2
_XERIAL_BLOCK_BYTES = 32 * 1024  # what snappy-java writes


def decompress(codec: int, data: bytes, max_bytes: int = MAX_DECOMPRESSED_BYTES) -> bytes:
    """What ``data`` was before the codec ``codec`` of RecordBatch v2's attributes compressed it.

    Raises:
        CorruptBatchError: it is not what the codec writes, or larger than ``max_bytes``.
        UnsupportedCompressionError: no such codec.
    """
    if codec == NONE:
        return data
    function = _DECOMPRESS.get(codec)
    if function is None:
        raise UnsupportedCompressionError(f"compression codec {codec} does not exist")
    return function(data, max_bytes)


def compress(codec: int, data: bytes) -> bytes:
    """``data`` compressed with the codec ``codec`` of RecordBatch v2's attributes.

    Raises:
        UnsupportedCompressionError: no such codec.
    """
    if codec == NONE:
        return data
    function = _COMPRESS.get(codec)
    if function is None:
        raise UnsupportedCompressionError(f"compression codec {codec} does not exist")
    return function(data)


def _too_large(max_bytes: int) -> CorruptBatchError:
    return CorruptBatchError(f"compressed records are larger than {max_bytes} bytes inside")


def _joined(chunks: Iterable[bytes], max_bytes: int) -> bytes:
    output = bytearray()
    for chunk in chunks:
        output += chunk
        if len(output) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(output)


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        output = decompressor.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise CorruptBatchError(f"gzip: {error}") from error
    if len(output) > max_bytes:
        raise _too_large(max_bytes)
    if not decompressor.eof:
        raise CorruptBatchError("gzip: the stream ends early")
    return output


def _gzip(data: bytes) -> bytes:
    return zlib.compress(data, wbits=zlib.MAX_WBITS | 16)


def _unsnappy(data: bytes, max_bytes: int) -> bytes:
    if not data.startswith(_XERIAL_MAGIC):
        return _unsnappy_block(data, max_bytes)
    return _joined((_unsnappy_block(block, max_bytes) for block in _xerial_blocks(data)), max_bytes)


def _xerial_blocks(data: bytes) -> Iterable[bytes]:
    at = _XERIAL_HEADER_BYTES
    if len(data) < at:
        raise CorruptBatchError("snappy: the header ends early")
    while at < len(data):
        if data.startswith(_XERIAL_MAGIC, at):  # streams may be joined, header and all
            at += _XERIAL_HEADER_BYTES
            continue
        block = at + 4
        end = block + int.from_bytes(data[at:block], "big")
        if end > len(data):
            raise CorruptBatchError("snappy: a block ends early")
        yield data[block:end]
        at = end


def _unsnappy_block(data: bytes, max_bytes: int) -> bytes:
    import cramjam

    if _snappy_length(data) > max_bytes:
        raise _too_large(max_bytes)
    try:
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise CorruptBatchError(f"snappy: {error}") from error


def _snappy_length(data: bytes) -> int:
    """The varint that raw snappy begins with: how many bytes will come out, 32 bits at most."""
    length = 0
    for index, byte in enumerate(data[:5]):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            break
    else:
        raise CorruptBatchError("snappy: no length")
    # A block may claim 4 GiB with a few bytes; what snappy emits per input byte is below 64.
    if length > 64 * len(data):
        raise CorruptBatchError("snappy: the length is beyond what the input can hold")
    return length


def _snappy(data: bytes) -> bytes:
    import cramjam

    output = bytearray(_XERIAL_MAGIC + _XERIAL_VERSIONS)
    for at in range(0, len(data), _XERIAL_BLOCK_BYTES):
        block = bytes(cramjam.snappy.compress_raw(data[at : at + _XERIAL_BLOCK_BYTES]))
        output += len(block).to_bytes(4, "big") + block
    return bytes(output)


def _unlz4(data: bytes, max_bytes: int) -> bytes:
    import lz4.frame

    decompressor = lz4.frame.LZ4FrameDecompressor()

    def chunks() -> Iterable[bytes]:
        remaining = data
        while not decompressor.eof:
            chunk = decompressor.decompress(remaining, max_length=_CHUNK_BYTES)
            if not chunk and decompressor.needs_input and not decompressor.eof:
                raise CorruptBatchError("lz4: the frame ends early")
            yield chunk
            remaining = b""

    try:
        return _joined(chunks(), max_bytes)
    except (RuntimeError, EOFError) as error:
        raise CorruptBatchError(f"lz4: {error}") from error


def _lz4(data: bytes) -> bytes:
    import lz4.frame

    # Linked blocks, lz4's default, are what old Kafka clients cannot read (KIP-57).
    return bytes(lz4.frame.compress(data, block_linked=False))


def _unzstd(data: bytes, max_bytes: int) -> bytes:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    stream = decompressor.stream_reader(data, read_across_frames=True)
    try:
        return _joined(iter(lambda: stream.read(_CHUNK_BYTES), b""), max_bytes)
    except zstandard.ZstdError as error:
        raise CorruptBatchError(f"zstd: {error}") from error


def _zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


_DECOMPRESS: dict[int, Callable[[bytes, int], bytes]] = {
    GZIP: _gunzip,
    SNAPPY: _unsnappy,
    LZ4: _unlz4,
    ZSTD: _unzstd,
}
_COMPRESS: dict[int, Callable[[bytes], bytes]] = {
    GZIP: _gzip,
    SNAPPY: _snappy,
    LZ4: _lz4,
    ZSTD: _zstd,
}
