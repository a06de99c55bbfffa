"""Frames and headers: bytes off the wire into requests, responses into bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from hubbub.protocols.kafka.primitives import INT32, NO_TAGS
from hubbub.protocols.kafka.produce_request import read_produce
from hubbub.protocols.kafka.reader import (
    MalformedRequestError,
    entity_reader,
    skip_tagged_fields,
)
from hubbub.protocols.kafka.schema import request_type
from hubbub.protocols.kafka.versions import API_VERSIONS, PRODUCE, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

# Kafka's socket.request.max.bytes: clients that batch over many partitions count on it.
MAX_PRODUCE_BYTES = 100 * 1024 * 1024
# All else carries names and numbers, which cost many times their bytes once decoded. A group's
# assignment of ten thousand partitions has half of this.
MAX_REQUEST_BYTES = 1024 * 1024
# What requests that are not whole yet hold together, on all connections of a listener: two of the
# largest and many small ones. Kafka bounds the same with queued.max.request.bytes.
MAX_UNFINISHED_BYTES = 256 * 1024 * 1024

# Size, API key, API version and correlation id: what every request begins with.
_PREFIX = struct.Struct(">ihhi")
_SMALLEST_REQUEST = _PREFIX.size - INT32.size
_HEADER = struct.Struct(">hhih")  # API key, API version, correlation id, size of the client id

# Chunks up to this size are cheaper to join than to hand to the socket one by one.
_JOIN_BYTES = 16 * 1024


class Header(NamedTuple):
    """A request header, and where in the frame the body starts."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None
    body: int


class FrameBudget:
    """Counts the bytes of unfinished frames over all connections of a listener."""

    def __init__(self) -> None:
        self.held = 0

    def take(self, size: int) -> None:
        """Hold ``size`` bytes more. Raises MalformedRequestError, which ends the connection."""
        if self.held + size > MAX_UNFINISHED_BYTES:
            raise MalformedRequestError(
                f"unfinished requests would hold more than {MAX_UNFINISHED_BYTES} bytes"
            )
        self.held += size

    def give_back(self, size: int) -> None:
        """Hold ``size`` bytes no more."""
        self.held -= size


class FrameBuffer:
    """Cuts what arrives into frames, and refuses one by its first bytes, before it is buffered.

    Memory grows with what was received, never with what a length field announces. HTTP verbs, a TLS
    greeting and the other protocols' first bytes read as a length far beyond the limit.
    """

    def __init__(self, budget: FrameBudget) -> None:
        self._budget = budget
        self._data = b""
        self._at = 0  # how much of _data is taken
        self._partial = bytearray()  # a frame of which more is to come, with its size
        self._wanted = _PREFIX.size

    def feed(self, data: bytes) -> None:
        """Take in bytes, cut anywhere."""
        self._data = data if self._at == len(self._data) else self._data[self._at :] + data
        self._at = 0

    def clear(self) -> None:
        """Forget everything: the connection has ended."""
        self._budget.give_back(len(self._partial))
        self._data, self._at, self._partial = b"", 0, bytearray()

    @property
    def empty(self) -> bool:
        """Whether everything fed was taken."""
        return self._at == len(self._data)

    def next_frame(self) -> memoryview | None:
        """The next whole frame, without its size; None until more is fed.

        Raises:
            MalformedRequestError: no request that we serve begins like this.
        """
        if not self._partial:
            whole = self._next_whole()
            if whole is not None:
                return whole
        while not self.empty:
            end = min(self._at + self._wanted - len(self._partial), len(self._data))
            self._budget.take(end - self._at)
            with memoryview(self._data) as data:
                self._partial += data[self._at : end]
            self._at = end
            if len(self._partial) < self._wanted:
                break
            if self._wanted == _PREFIX.size:
                self._wanted = _frame_end(self._partial, 0)
            if len(self._partial) == self._wanted:
                frame, self._partial = self._partial, bytearray()
                self._budget.give_back(len(frame))
                self._wanted = _PREFIX.size
                return memoryview(frame)[INT32.size :]
        self._data, self._at = b"", 0  # an idle connection holds nothing
        return None

    def _next_whole(self) -> memoryview | None:
        """A frame that lies whole in what was fed last: no copy is made of it."""
        if len(self._data) - self._at < _PREFIX.size:
            return None
        start = self._at
        end = _frame_end(self._data, start)
        if end > len(self._data):
            return None
        self._at = end
        return memoryview(self._data)[start + INT32.size : end]


def _frame_end(data: bytes | bytearray, start: int) -> int:
    size: int
    size, api_key, _, _ = _PREFIX.unpack_from(data, start)
    if api_key not in VERSIONS:
        raise MalformedRequestError(f"API key {api_key} is not served")
    limit = MAX_PRODUCE_BYTES if api_key == PRODUCE else MAX_REQUEST_BYTES
    if not _SMALLEST_REQUEST <= size <= limit:
        raise MalformedRequestError(f"a request of {size} bytes")
    return start + INT32.size + size


def read_header(frame: memoryview) -> Header:
    """Request header v1, or v2 where the API version is flexible.

    Raises:
        MalformedRequestError: it is cut short, or its client id is no text.
    """
    try:
        api_key, api_version, correlation_id, size = _HEADER.unpack_from(frame)
        at = _HEADER.size
        client_id = None
        # The client id keeps its 16-bit length even where the header has tagged fields (KIP-482).
        if size >= 0:
            client_id = str(frame[at : at + size], "utf-8")
            at += size
        if api_version >= VERSIONS[api_key].flexible:
            at = end_of_tags(frame, at)
    except (struct.error, UnicodeDecodeError) as error:
        raise MalformedRequestError("the request header is cut short or no text") from error
    if at > len(frame):
        raise MalformedRequestError("the request ends inside its header")
    return Header(api_key, api_version, correlation_id, client_id, at)


def end_of_tags(frame: memoryview, at: int) -> int:
    """Where a structure of which we know no tagged fields ends."""
    if at < len(frame) and frame[at] == 0:  # as good as always
        return at + 1
    return at + skip_tagged_fields(bytes(frame[at:]), 0)


def read_body(frame: memoryview, header: Header) -> Any:
    """The request's entity, as kio's schemas have it. Raises MalformedRequestError.

    What stands after it is ignored, as Kafka's broker does.
    """
    if header.api_key == PRODUCE:
        return read_produce(frame, header.body, header.api_version)
    reader = entity_reader(request_type(header.api_key, header.api_version))
    return reader(bytes(frame), header.body)[0]


def response_head(header: Header) -> bytes:
    """Response header v0, or v1 where the version is flexible.

    ApiVersions always has v0: its client cannot know yet what the broker understands (KIP-511).
    """
    head = INT32.pack(header.correlation_id)
    if header.api_key != API_VERSIONS and header.api_version >= VERSIONS[header.api_key].flexible:
        return head + NO_TAGS
    return head


def response_frame(head: bytes, body: bytes | Iterable[bytes]) -> list[bytes]:
    """A response as chunks to send; stored batches among them go out as they are, uncopied."""
    chunks = [head, body] if isinstance(body, bytes) else [head, *body]
    size = sum(map(len, chunks))
    chunks.insert(0, INT32.pack(size))
    return [b"".join(chunks)] if size <= _JOIN_BYTES else chunks
